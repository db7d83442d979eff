"""Shares add up: whatever is laid over a prompt, its tokens are those of the whole text."""

from __future__ import annotations

import json
import textwrap
from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokentrace.counting import vocab
from tokentrace.counting.claims import Lens, lay
from tokentrace.counting.sections import find
from tokentrace.counting.store import STORE
from tokentrace.counting.tags import Tag
from tokentrace.counting.text import ruler
from tokentrace.names import Templates

ENCODINGS = ("o200k_base", "cl100k_base")
PLACE = ("user", 0)

WORDS = (
    *("retry", " the", "deploy", "'s", " don't", "memory", "short", "SYSTEM", "  ", "\n", "\n\n"),
    *("記憶", "短い", "答え", "Привет", "مرحبا", "क्षि", "🙂", "👩‍👩‍👧", "🇩🇪", "e\u0301", "\u200d"),
    *("{", "}", '"', "\\", ",", ":", "# ", "<a1>", "</a1>", "123456", "<|endoftext|>", "\ud800"),
)
texts = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)
components = st.one_of(texts, st.just(""), st.just("dev"), texts.map(lambda t: t * 3))
WAYS = (
    lambda inner, outer: inner,
    lambda inner, outer: f"{outer} {inner}",
    lambda inner, outer: f"{inner}{inner}{outer}",
    lambda inner, outer: json.dumps({"a": inner, "b": [outer]}),
    lambda inner, outer: json.dumps({"a": inner, "b": outer}, ensure_ascii=False, indent=2),
    lambda inner, outer: f"# {outer[:9]}\n{textwrap.indent(inner, '    ')}\n## B\n{outer}",
    lambda inner, outer: f"<rules>{inner}</rules>\n<rules>{outer}</rules>",
)


@st.composite
def prompts(draw):
    """Draw a prompt and the components in it: nested, repeated, escaped, indented, overlapping."""
    tags, text = [], ""
    for i in range(draw(st.integers(1, 5))):
        inner = draw(components)
        tags.append(Tag(f"c{i}", inner))
        text = draw(st.sampled_from(WAYS))(inner, text)
        if draw(st.booleans()):
            tags.append(Tag(f"outer{i}", text))
    if len(text) > 40:
        start = draw(st.integers(0, len(text) - 20))
        tags += [Tag("left", text[start : start + 20]), Tag("right", text[start + 7 : start + 33])]
    return text, draw(st.permutations(tags)) if draw(st.booleans()) else tags


def by_first_byte(name, text, claims, role):
    """Return the tokens by owner, counted token by token: the rule, word for word."""
    vocabulary = vocab.load(name)
    owners = [role] * len(text)
    for claim in claims:
        owners[claim.start : claim.end] = [claim.name] * (claim.end - claim.start)
    sizes = [len(c.encode("utf-8", "surrogatepass")) for c in text]
    of_bytes = [owner for owner, size in zip(owners, sizes, strict=True) for _ in range(size)]
    lengths = [vocabulary.lengths[rank] for rank in vocabulary.encode(text)]
    counted = {}
    for start in list(accumulate(lengths, initial=0))[:-1]:
        counted[of_bytes[start]] = counted.get(of_bytes[start], 0) + 1
    return counted


def shared(tally):
    """Return the owners that have tokens."""
    return {name: tokens for name, tokens in tally.components.items() if tokens}


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=150)
@given(prompt=prompts())
@example(prompt=("", [Tag("x", "")]))
@example(prompt=("🙂" * 40, [Tag("x", "🙂" * 16), Tag("y", "🙂" * 17)]))
def test_shares_are_those_of_the_rule(name, prompt):
    """The sum is the whole text's count, and each token is its first byte's owner's."""
    text, tags = prompt
    measure = ruler(name)
    tally = Lens(tags).spread(text, "user", measure, PLACE)
    assert tally.total == measure.tokens(text)[0] == len(vocab.load(name).encode(text))
    assert shared(tally) == by_first_byte(name, text, lay(text, tags, find(text)), "user")
    assert not tally.error


@settings(max_examples=100)
@given(prompt=prompts())
def test_claims_are_sorted_and_disjoint(prompt):
    """No character has two owners, and every claim has text."""
    text, tags = prompt
    borders = [b for c in lay(text, tags, find(text)) for b in (c.start, c.end)]
    assert borders == sorted(borders)
    assert all(0 <= b <= len(text) for b in borders)
    assert all(a < b for a, b in zip(borders[::2], borders[1::2], strict=True))


@settings(max_examples=50)
@given(prompt=prompts())
def test_sums_hold_however_the_lens_came_about(prompt):
    """Sections on or off, tags one by one or at once, folded or not: the sum is the same."""
    text, tags = prompt
    measure = ruler("o200k_base")
    total = measure.tokens(text)[0]
    for i in range(len(tags) + 1):
        grown = Lens(tags[:i]).spread(text, "user", measure, PLACE)
        assert grown.total == total
    STORE.clear()
    fresh = Lens(tags).spread(text, "user", measure, PLACE)
    assert fresh.components == grown.components
    for sections in (False, ["rules", "a"]):
        assert Lens(tags, sections=sections).spread(text, "user", measure, PLACE).total == total
    assert sum(Templates().fold(fresh.components).values()) == total


@pytest.mark.parametrize("name", ENCODINGS)
def test_long_text_with_many_tags(name):
    """A hundred kilobytes of tags in all forms share exactly, as counted token by token."""
    bodies = [f'note {i}: "naïve" 記憶 don\'t\n\tretry {i * 7919} 🙂\n' * 12 for i in range(40)]
    tags = [Tag(f"n{i}", body) for i, body in enumerate(bodies)]
    forms = (str, json.dumps, lambda t: textwrap.indent(t, "  "))
    text = "\n--\n".join(forms[i % 3](body) for i, body in enumerate(bodies)) + "\n{\n"
    tally = Lens(tags).spread(text, "system", ruler(name), ("system", 0))
    assert {f"n{i}" for i in range(40)} < set(tally.components)
    assert tally.total == len(vocab.load(name).encode(text))
    assert shared(tally) == by_first_byte(name, text, lay(text, tags, find(text)), "system")


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_token_across_a_border_belongs_to_its_first_byte(name):
    """Where a token spans two owners the left one has it."""
    text = "prefix and then " + "something else entirely"
    tags = [Tag("right", "thing else entirely")]
    tally = Lens(tags).spread(text, "user", ruler(name), PLACE)
    assert tally.components == {"user": 4, "right": 2}


def test_a_template_is_shown_after_its_second_filling():
    """Lens and templates together: the first call folds a context's keys, the second shows them."""
    templates = Templates()
    lens, measure = Lens(saw=templates.saw), ruler("o200k_base")
    shown = []
    for goal in ("ship it", "fix the build"):
        secret = json.dumps({"salary_of_ann": 1, "salary_of_bob": 2})
        text = f"SYSTEM CONTEXT (JSON): {json.dumps({'core_goal': goal, 'phase': goal})}"
        for place, part in ((("user", 0), text), (("user", 1), secret)):
            tally = lens.spread(part, "user", measure, place)
            shown.append(templates.fold(tally.components))
            assert sum(shown[-1].values()) == tally.total
    context_first, secret_first, context_second, secret_second = map(set, shown)
    assert context_first == secret_first == secret_second == {"user", "section.other"}
    assert context_second == {"user", "section.core_goal", "section.phase"}
