"""Beginnings of texts found in one look at a long one: the same places as by searching for each."""

from __future__ import annotations

import random

import pytest

from odd_texts import hostile, prose
from tokentrace.counting import finding, tags
from tokentrace.counting.finding import HEAD, Places
from tokentrace.counting.tags import Tag, find_tags

CASES = 150


def searched(text, head):
    """Return every place of a beginning, by the plainest way there is."""
    return [at for at in range(len(text)) if text.startswith(head, at)]


@pytest.fixture
def eager(monkeypatch):
    """Look at every text in one go, however short it is and however little is looked for."""
    monkeypatch.setattr(finding, "WORTHWHILE", 0)
    monkeypatch.setattr(finding, "FEW", 0)


@pytest.mark.usefixtures("eager")
def test_places_are_those_of_a_plain_search():
    """All places are found, wherever they lie, whatever characters the text has."""
    rng = random.Random(1)
    for _ in range(CASES):
        parts = [rng.choice((hostile, prose))(rng, rng.randint(8, 40)) for _ in range(6)]
        chosen = [rng.choice(parts) for _ in range(12)]
        text = "".join(part[rng.randrange(3) :] for part in chosen)
        heads = [part[:HEAD] for part in parts]
        heads += [text[at : at + HEAD] for at in rng.sample(range(len(text)), 5)]
        found = Places(text, heads)
        for head in heads:
            true = searched(text, head)
            assert found.of(head) == (true if len(true) <= finding.MOST else None)


@pytest.mark.usefixtures("eager")
def test_one_look_finds_what_is_long_enough(monkeypatch):
    """A beginning of 47 bytes is found without a search of its own, at every offset."""
    monkeypatch.setattr(finding, "_searched", lambda *_: pytest.fail("it was searched for"))
    head = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"[: finding.SHORTEST]
    for offset in range(2 * finding.STEP):
        for end in ("", ".", "汉" * 5):
            text = "é" * (offset % 3) + "-" * offset + head + end
            assert Places(text, [head]).of(head) == [offset + offset % 3]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("run", range(12, 49))
def test_a_beginning_of_dashes_is_found_like_others(run):
    """Where what is read of a beginning stands in it more than once, its places are the same."""
    head = ("ab" + "-" * run + "|" + "some words that follow them, one by one")[:HEAD]
    other = head[1:] + "c"
    text = f"{head}. {'-' * 200}\n{other}\n {'-' * 99}ab{'-' * run}|\n{head}"
    found = Places(text, [head, other, text[60 : 60 + HEAD]])
    for one in (head, other):
        assert found.of(one) == searched(text, one)
    assert found.of(text[60 : 60 + HEAD]) is None


@pytest.mark.usefixtures("eager")
def test_what_stands_too_often_is_not_told():
    """A beginning at more places than are worth telling is None, alone and in one look."""
    head = "the same line of sixty characters again and again, it says so"[:HEAD]
    text = (head + "\n") * (finding.MOST + 1)
    assert Places(text, [head]).of(head) is None
    assert finding._searched(text, head) is None
    assert len(Places(text[len(head) :], [head]).of(head)) == finding.MOST


def shaped(rng, needle):
    """Return a text in one of the forms in which a tag is found again."""
    import json

    form = rng.randrange(5)
    if form == 0:
        return json.dumps({"key": needle})
    if form == 1:
        return json.dumps({"key": needle}, ensure_ascii=False)
    if form == 2:
        return "ctx:\n    " + needle.replace("\n", "\n    ")
    return needle.strip() if form == 3 else needle


def test_tags_of_a_long_text_are_those_of_a_short_one(monkeypatch):
    """The same tags are found, at the same places, in one look at a text and one by one."""
    rng = random.Random(2)
    hits = 0
    for _ in range(CASES):
        made = [
            Tag(f"c{i}", rng.choice((hostile, prose))(rng, rng.randint(1, 60))) for i in range(20)
        ]
        made += [Tag("inner", tag.text[5:90]) for tag in made[:5]]
        made += [Tag("near", tag.text[:60] + "?" + tag.text[60:]) for tag in made[:5]]
        body = [shaped(rng, rng.choice(made).text) for _ in range(15)]
        text = "".join(part + rng.choice((" ", "\n", ", ", "")) for part in body)
        monkeypatch.setattr(finding, "WORTHWHILE", 2**30)
        alone = find_tags(text, made)
        monkeypatch.setattr(finding, "WORTHWHILE", 0)
        assert find_tags(text, made) == alone
        hits += len(alone)
    assert hits > 10 * CASES


@pytest.mark.parametrize("indent", ["  ", "\t", "        "])
def test_an_indented_tag_whose_first_line_is_short(indent):
    """A tag is found indented where its beginning holds the first line's end, in a long text too."""
    lines = ["def go():", "    return compute(first_argument, second_argument)", "", "# end"]
    needle = "\n".join(lines)
    text = "x" * finding.WORTHWHILE + "\n" + needle.replace("\n", "\n" + indent) + "\nrest"
    others = [
        Tag(f"o{i}", f"{i} " + "other words, of which none stands there at all " * 3)
        for i in range(20)
    ]
    found = find_tags(text, [*others, Tag("code", needle)])
    assert [(hit.tag.name, hit.start) for hit in found] == [("code", finding.WORTHWHILE + 1)]


def test_escaped_beginnings_are_those_of_the_escaped_text():
    """What a form begins with is told by the beginning of the needle alone."""
    rng = random.Random(3)
    for _ in range(500):
        needle = hostile(rng, rng.randint(HEAD, 80))
        if not tags._is_plain(needle[:HEAD]):
            forms = [form[:HEAD] for form in tags._escaped(needle)]
            assert set(forms) <= {*tags._escaped_heads(needle[:HEAD]), needle[:HEAD]}
