"""Tags found again, claims without overlaps, and the lens that shares the tokens."""

from __future__ import annotations

import gc
import json
import textwrap
import time
import weakref
from itertools import pairwise

import pytest

from tokentrace.counting import claims
from tokentrace.counting.claims import Claim, Lens, flatten, lay
from tokentrace.counting.sections import Section, find
from tokentrace.counting.store import STORE
from tokentrace.counting.tags import Hit, Tag, find_tags

LINE = "The user prefers short answers."
LINES = 'def run():\n    return "naïve 🙂"\n\n# a comment\twith \\ in it'


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    yield
    STORE.clear()


class Quarters:
    """A ruler whose tokens are four characters each, from the start of the text."""

    name = "quarters"

    def __init__(self, error=0):
        self.calls = []
        self.error = error

    def tokens(self, text):
        self.calls.append("tokens")
        return -(-len(text) // 4), self.error

    def shares(self, text, borders):
        self.calls.append("shares")
        cuts = [0, *borders, len(text)]
        return [-(-b // 4) - -(-a // 4) for a, b in pairwise(cuts)], self.error


def found(text, *tags):
    """Return what the tags claim of the text, as it stands there."""
    return [text[h.start : h.end] for h in find_tags(text, [Tag("x", t) for t in tags])]


def owners(text, tags=(), sections=()):
    """Return the claimed texts by name."""
    return [(c.name, text[c.start : c.end]) for c in lay(text, tags, sections)]


# ── where tags are found ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text", [LINE, LINES, "记忆：用户喜欢简短的回答，请不要重复问题。", "🙂" * 16]
)
@pytest.mark.parametrize(
    "put",
    [
        lambda t: t,
        lambda t: f"before {t} after",
        lambda t: f"1. {t}\n2. other",
        lambda t: "CONTEXT " + json.dumps({"a": [t]}),
        lambda t: "CONTEXT " + json.dumps({"a": [t]}, ensure_ascii=False, indent=2),
        lambda t: f"{{'memory': {json.dumps(t)}}}",
        lambda t: "before:\n" + textwrap.indent(t, "    ") + "\nafter",
        lambda t: "- " + textwrap.indent(t, "  ").strip() + "\n- next",
        lambda t: "rows:\n" + textwrap.indent(t, "\t", lambda _line: True),
    ],
)
def test_tag_is_found_in_every_form(text, put):
    """As it stands, in an f-string, JSON-escaped both ways, and indented, once each."""
    assert len(found(put(text), text)) == 1


def test_claims_cover_the_whole_form():
    """The claim holds all of the escaped or indented text, and nothing around it."""
    escaped = json.dumps(LINES)
    assert found(f"x {escaped} y", LINES) == [escaped[1:-1]]
    indented = textwrap.indent(LINES, "   ")
    assert found(f"x\n{indented}\ny", LINES) == [indented.strip()]


def test_found_twice_counts_twice():
    """Each occurrence is claimed, whatever its form."""
    text = f"{LINES}\n{LINES}\n{json.dumps(LINES)}\n{textwrap.indent(LINES, '  ')}"
    assert len(found(text, LINES)) == 4


def test_occurrences_of_one_tag_do_not_overlap():
    """A text that overlaps itself is claimed from the left."""
    tag = "abababababababab"
    assert found("ab" * 8 + "ab" * 8 + "ab", tag) == [tag, tag]
    assert found("aaaa" + "a" * 40 + "b", "a" * 40 + "b") == ["a" * 40 + "b"]


def test_many_occurrences_are_all_found():
    """Beginnings that stand everywhere hide nothing."""
    tag = "=" * 40 + "end"
    assert len(found(("=" * 200 + "end\n") * 50, tag)) == 50


def test_wrong_indent_is_not_the_tag():
    """Lines set in differently, or one line of many, are another text."""
    assert found("one two three four\n  five\n   six", "one two three four\nfive\nsix") == []
    assert found("  five six seven eight", "one two three four\nfive six seven eight") == []
    assert found("xx five\nyy six seven eight", "five\nsix seven eight") == []


def test_stripped_tag_is_found_where_nothing_else_is():
    """A builder that strips its parts does not lose the tag; a short rest claims nothing."""
    assert found(f"a {LINE} b", f"\n  {LINE}\n\n") == [LINE]
    assert found("a short one b", "        short one        ") == []


@pytest.mark.parametrize("tag", ["", " ", "\n\n\n", " " * 40])
def test_blank_tags_claim_nothing(tag):
    """Empty text and mere white space are nobody's."""
    assert found("a b\n\n\n" + " " * 80, tag) == []


@pytest.mark.parametrize(
    "text",
    [
        "dev",
        "  dev\n",
        "a\ndev\nb",
        "a\r\n\tdev \r\nb",
        '{"role": "dev", "x": 1}',
        '["dev"]',
        '{"a": ["x" , "dev" ]}',
        '[\n  "x",\n  "dev"\n]',
    ],
)
def test_short_tag_claims_what_stands_alone(text):
    """A whole part, a whole line and a whole JSON string value are claimed."""
    assert found(text, "dev") == ["dev"]


@pytest.mark.parametrize(
    "text",
    [
        "the dev team",
        "devops",
        "dev team",
        "a\nmy dev",
        '{"dev": 1}',
        '{"role": "devops"}',
        '{"role": "the dev"}',
        'he said "dev" twice',
        'call("dev", 1)',
        "dev" + " " * 100 + "team",
        "team" + " " * 100 + "dev",
    ],
)
def test_short_tag_claims_nothing_else(text):
    """Words in running text, keys and pieces of values are not claimed."""
    assert found(text, "dev") == []


def test_sixteen_characters_are_long():
    """From 16 characters on a tag is claimed inside a line; 15 are short."""
    assert found("a 0123456789abcdef b", "0123456789abcdef") == ["0123456789abcdef"]
    assert found("a 0123456789abcde b", "0123456789abcde") == []


def test_short_tag_of_two_lines():
    """A short tag may be several whole lines, and a value with an escaped line end."""
    assert found("x\na\nb\ny", "a\nb") == ["a\nb"]
    assert found('{"k": "a\\nb"}', "a\nb") == ["a\\nb"]
    assert found("x\nca\nb\ny", "a\nb") == []


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("a" * 1_000_000, "aaaa"),
        ("a" * 1_000_000, "xxxxxxxxxxxxxxxx\na"),
        ("a" * 500_000 + "\\", '"' + "a" * 40 + "b"),
        ("\n" * 500_000, "one line of text\nx"),
        (" a\n" * 300_000, "one line of text\na"),
    ],
)
def test_search_is_bounded(text, tag):
    """A text made to look like the tag everywhere takes well under a second."""
    start = time.thread_time()
    find_tags(text, [Tag("x", tag)])
    assert time.thread_time() - start < 1


# ── who owns what ────────────────────────────────────────────────────────────────────────────────


def test_innermost_tag_wins():
    """A tag inside another takes its own text, the rest stays with the outer, also at its edges."""
    inner = "the inner text of the tag"
    for outer in (f"before {inner} after", f"{inner} after", f"before {inner}"):
        laid = owners(outer, [Tag("outer", outer), Tag("inner", inner)])
        assert ("inner", inner) in laid
        assert "".join(text for _, text in laid) == outer
        assert {name for name, _ in laid} == {"inner", "outer"}


def test_three_levels_nest():
    """Each level owns what no deeper one does."""
    a, b, c = "<" * 20, "[" * 20, "." * 20
    text = a + b + c + b + a
    tags = [Tag("a", text), Tag("b", b + c + b), Tag("c", c)]
    assert owners(text, tags) == [("a", a), ("b", b), ("c", c), ("b", b), ("a", a)]


def test_same_text_belongs_to_the_first_name():
    """A function that returns another's text as it is does not take it over."""
    assert owners(LINE, [Tag("memory", LINE), Tag("context", LINE)]) == [("memory", LINE)]


def test_crossing_tags_are_cut_where_the_later_starts():
    """No character is owned twice."""
    text = "aaaaaaaaaaaaaaaaaaBBBBBBcccccccccccccccccc"
    tags = [Tag("left", text[:24]), Tag("right", text[18:])]
    assert owners(text, tags) == [("left", text[:18]), ("right", text[18:])]


def test_tags_win_over_sections():
    """A tag takes its text from sections inside and around it."""
    text = '# Notes\n{"goal": "a rather long value", "b": 2}\nend of notes'
    block = '{"goal": "a rather long value", "b": 2}'
    assert owners(text, [Tag("ctx", block)], find(text)) == [
        ("section.Notes", "# Notes\n"),
        ("ctx", block),
        ("section.Notes", "\nend of notes"),
    ]
    value = "a rather long value"
    laid = owners(text, [Tag("v", value)], find(text))
    assert ("v", value) in laid
    assert ("section.goal", '"goal": "') in laid


def test_innermost_section_wins():
    """A deeper heading takes its text from the one above."""
    text = "# A\none\n## B\ntwo\n# C\nthree"
    assert owners(text, (), find(text)) == [
        ("section.A", "# A\none\n"),
        ("section.B", "## B\ntwo\n"),
        ("section.C", "# C\nthree"),
    ]


def test_names_are_normalised():
    """Names from code and from prompts are spelled for telemetry."""
    hits = [Hit(0, 2, Tag("my notes", "ab"))]
    parts = [Section(2, 4, "<script>", "xml"), Section(4, 4, "empty", "xml")]
    assert [c.name.rpartition("-")[0] for c in flatten(hits, parts)] == [
        "my_notes",
        "section._script_",
    ]


def test_nothing_to_claim():
    """Without tags and sections nobody owns anything."""
    assert lay(LINE, (), ()) == []
    assert lay(LINE, [Tag("x", "not in the text at all")], ()) == []
    assert lay(LINE, [Tag("x", LINE)], ()) == [Claim(0, len(LINE), "x")]


# ── the lens ─────────────────────────────────────────────────────────────────────────────────────

USER = ("user", 0)
BLOCK = 'CONTEXT: {"goal": "ship", "files": ["a", "b"]} and now go on'


def test_plain_text_is_measured_once_and_whole():
    """Text without tags and sections belongs to its role."""
    ruler = Quarters(error=2)
    tally = Lens().spread("12345678", "user", ruler, USER)
    assert (tally.components, tally.error, ruler.calls) == ({"user": 2}, 2, ["tokens"])
    assert Lens().spread("", "user", ruler, USER).components == {}


def test_tokens_are_shared_among_owners():
    """Sections, tags and the role get their tokens from one measurement."""
    ruler = Quarters()
    tally = Lens([Tag("order", "go on")]).spread(BLOCK, "user", ruler, USER)
    assert ruler.calls == ["shares"]
    assert tally.total == -(-len(BLOCK) // 4)
    assert list(tally.components) == ["user", "section.goal", "section.files"]
    assert not tally.details


def test_an_owner_named_like_the_role_adds_up():
    """A tag that bears the role's name joins it."""
    tally = Lens([Tag("user", LINE)]).spread(f"{LINE} more", "user", Quarters(), USER)
    assert tally.components == {"user": 9}


def test_a_result_may_be_changed_by_its_owner():
    """The tally is the caller's: what the store keeps does not change with it."""
    lens = Lens()
    first = lens.spread(BLOCK, "user", Quarters(), USER)
    before = dict(first.components)
    first.components.clear()
    assert lens.spread(BLOCK, "user", Quarters(), USER).components == before


def test_a_known_text_is_not_searched_again(monkeypatch):
    """The second time nothing is found, laid or measured again."""
    lens, ruler = Lens([Tag("order", "go on")]), Quarters()
    first = lens.spread(BLOCK, "user", ruler, USER)
    monkeypatch.setattr(claims, "find_tags", None)
    monkeypatch.setattr(claims.sectioning, "find", None)
    again = Lens([Tag("order", "go on")]).spread(BLOCK, "user", ruler, USER)
    assert again.components == first.components
    assert ruler.calls == ["shares"]


def test_an_estimate_is_measured_again():
    """Shares that may become better with time are asked for each time."""
    ruler = Quarters(error=5)
    for _ in range(2):
        assert Lens().spread(BLOCK, "user", ruler, USER).error == 5
    assert ruler.calls == ["shares", "shares"]


def test_only_new_tags_are_searched_for(monkeypatch):
    """A tag more costs one search of a known text; tags that went away are forgotten."""
    searched = []

    def spy(text, tags):
        searched.append([tag.name for tag in tags])
        return find_tags(text, tags)

    monkeypatch.setattr(claims, "find_tags", spy)
    a, b, text = Tag("a", "first tag of the text"), Tag("b", "second tag of text"), LINE * 5
    text = f"{text} {a.text} {b.text}"
    spread = [Lens(tags).spread(text, "user", Quarters(), USER) for tags in ([a], [a, b], [b])]
    assert searched == [["a"], ["b"], ["b"]]
    assert [sorted(s.components) for s in spread] == [
        ["a", "user"],
        ["a", "b", "user"],
        ["b", "user"],
    ]
    assert len({s.total for s in spread}) == 1


@pytest.mark.parametrize("role", ["history", "tool_results", "tools", "reasoning"])
def test_data_keeps_its_role(role):
    """Braces and headings of answers, calls, results and definitions are no prompt structure."""
    assert list(Lens().spread(BLOCK, role, Quarters(), USER).components) == [role]
    tagged = Lens([Tag("t", '"goal": "ship", "files"')]).spread(BLOCK, role, Quarters(), USER)
    assert sorted(tagged.components) == sorted(["t", role])


@pytest.mark.parametrize("role", ["user", "tool_results"])
def test_only_named_sections(role):
    """A list of names looks for these only, in every role."""
    tally = Lens(sections=["files", "absent"]).spread(BLOCK, role, Quarters(), USER)
    assert sorted(tally.components) == ["section.files", role]
    assert Lens(sections="files").version == Lens(sections=["files"]).version


def test_sections_off():
    """False, or a list of no names, finds no section."""
    for off in (False, []):
        assert list(Lens(sections=off).spread(BLOCK, "user", Quarters(), USER).components) == [
            "user"
        ]


def test_each_setting_has_its_own_memory():
    """What was found with one setting is not used for another."""
    for setting, expected in ((True, 3), (False, 1), (["goal"], 2), (True, 3)):
        tally = Lens(sections=setting).spread(BLOCK, "user", Quarters(), USER)
        assert len(tally.components) == expected


def test_version_changes_with_tags_and_sections_only():
    """Equal lenses have equal versions; what was counted unseen is shown to who wants to see it."""
    a, b = Tag("a", "a" * 20), Tag("b", "b" * 20)
    versions = [
        Lens().version,
        Lens([a]).version,
        Lens([a, b]).version,
        Lens([b, a]).version,
        Lens([Tag("c", a.text)]).version,
        Lens(sections=False).version,
        Lens(sections=["x"]).version,
        Lens([a], sections=["x"]).version,
    ]
    assert len(set(versions)) == len(versions)
    assert Lens([a], hit=print).version == Lens([Tag("a", a.text)]).version
    assert Lens([a], saw=print).version != Lens([a]).version


def test_found_tags_are_reported():
    """Each tag of a text is reported once a text, known or new; a lost one never."""
    tags = [Tag("in", LINE), Tag("lost", "not in the text at all")]
    hits = []
    lens = Lens(tags, hit=hits.append)
    for _ in range(2):
        lens.spread(f"{LINE} {LINE}", "user", Quarters(), USER)
    assert hits == [tags[0], tags[0]]


def test_seen_sections_are_reported():
    """Place, form, name and a digest of the content; later ones of a name are told apart."""
    seen = []
    lens = Lens(saw=lambda *event: seen.append(event))
    text = 'A: {"x": 1, "y": 2}\nB: {"x": 3,"z": 2}\n<rules>be kind</rules>'
    for _ in range(2):
        lens.spread(text, "user", Quarters(), USER)
    places = [(place, form, name) for place, form, name, _ in seen[:5]]
    assert places == [
        (USER, "json", "x"),
        (USER, "json", "y"),
        ((*USER, "#1"), "json", "x"),
        (USER, "json", "z"),
        (USER, "xml", "rules"),
    ]
    assert seen[5:] == seen[:5]
    assert all(isinstance(digest, bytes) and b"kind" not in digest for *_, digest in seen)


def test_digest_is_of_the_content_not_of_its_neighbours():
    """The last key of a block has the digest it has further up."""
    seen = []
    lens = Lens(saw=lambda *event: seen.append(event[2:]))
    for text in ('{"a": [1, 2, 3], "b": 2}', '{"b": 2, "a": [1, 2, 3]}'):
        lens.spread(text, "user", Quarters(), USER)
    assert len(set(seen)) == 2


def test_text_shorter_than_all_tags_is_not_searched(monkeypatch):
    """A short text costs no search for long tags."""
    monkeypatch.setattr(claims, "find_tags", None)
    tally = Lens([Tag("x", "x" * 100)]).spread("short one", "user", Quarters(), USER)
    assert tally.components == {"user": 3}


def test_large_texts_leave_only_a_digest(monkeypatch):
    """A text beyond the bound is remembered without being kept."""
    monkeypatch.setattr(claims, "LARGEST_KEY", 50)
    ruler = Quarters()
    for _ in range(2):
        assert len(Lens().spread(BLOCK, "user", ruler, USER).components) == 3
    assert ruler.calls == ["shares"]
    assert BLOCK not in repr(list(STORE._entries))


def test_tags_of_a_past_session_are_let_go():
    """The store holds no tag that its text does not hold."""

    class Watched(str):
        __slots__ = ("__weakref__",)

    text = Watched("a tag that is found nowhere")
    gone = weakref.ref(text)
    Lens([Tag("x", text)]).spread(LINE * 3, "user", Quarters(), USER)
    del text
    gc.collect()
    assert len(STORE) == 1
    assert gone() is None
