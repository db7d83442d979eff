"""Opt-in content: what looks like a key is masked, and the application's hook has the last word."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokentrace
from tokentrace import schema
from tokentrace.instrument import content, state
from tokentrace.testing import capture

KEYS = {
    "sk-proj-abcdefghijklmnop1234": "a key of OpenAI's",
    "sk-ant-api03-ABCDEFGHIJKLMNOP": "a key of Anthropic's",
    "AKIAABCDEFGHIJKLMNOP": "a key of AWS",
    "AIzaSyA1234567890abcdefghijk": "a key of Google's",
    "ghp_abcdefghijklmnopqrstuvwx": "a token of GitHub's",
    "Bearer eyJhbGciOi.J9.abc-def": "a header",
}
FORMS = (
    "{}",
    "use {} here",
    '{{"authorization": "{}"}}',
    "curl -H 'Authorization: {}' https://x.test",
    "https://x.test/v1?api_key={}&n=1",
    "password={}\n",
)


def traced(body, **settings):
    """Return the content on the span of one call that sends ``body``."""
    with capture(capture_content=True, guard=False, **settings) as captured:
        with tokentrace.llm_call(body, api="openai.chat") as call:
            call.response({"usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    (span,) = captured.spans
    return span.attributes.get(schema.INPUT_MESSAGES)


def said(text, **more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text, **more}]}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS, ids=KEYS.values())
def test_keys_are_masked_in_captured_content(key, form):
    """Whoever opts in to content does not opt in to keys."""
    shown = traced(said(form.format(key)))
    assert key.split()[-1] not in shown
    assert content.MASKED in shown


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("the key to it is patience", "the key to it is patience"),
        ("a risk-taking desk-bound basic idea", "a risk-taking desk-bound basic idea"),
        ("see https://x.test/a@b:c", "see https://x.test/a@b:c"),
        ("postgres://ada:lovelace@db:5432/x", f"postgres://{content.MASKED}@db:5432/x"),
        ("x?key=abc&y=1", f"x?key={content.MASKED}&y=1"),
    ],
)
def test_words_stay(text, kept):
    """Only what stands where keys stand is masked."""
    assert content.masked(text) == kept


def test_a_secret_under_its_own_name_is_masked_whatever_it_looks_like():
    """A field that is called like a secret holds one; in a tool's arguments, too."""
    shown = traced(said("x", api_key="plain", nested={"password": "plain", "note": "kept"}))
    assert "plain" not in shown
    assert "kept" in shown


def test_the_hook_has_the_last_word():
    """Each text goes through the hook; roles and types, which are no texts, do not."""
    parts = [{"type": "text", "text": "ada lives here"}]
    body = said(parts)
    shown = json.loads(traced(body, redact=lambda text: text.replace("ada", "[name]")))
    assert shown["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "[name] lives here"}]}
    ]
    assert body == said(parts), "the request itself is as it was"


@pytest.mark.parametrize(
    "redact",
    [lambda _: 1 / 0, lambda _: None, lambda _: b"bytes", lambda _: 7],
    ids=["raises", "none", "bytes", "number"],
)
def test_a_hook_that_fails_tells_nothing(redact, caplog):
    """Where the hook raises or returns no text there is no content, and that is counted."""
    assert traced(said("swordfish"), redact=redact) is None
    assert [kind for kind in tokentrace.status()["errors"] if kind.startswith("callback redact:")]
    assert "swordfish" not in caplog.text


@pytest.mark.parametrize("odd", ["text", 7, b""])
def test_a_hook_that_is_none_is_refused_at_once(odd):
    """What cannot be called is a mistake in the code, told where it is made."""
    with pytest.raises(TypeError, match="redact= takes a callable"):
        tokentrace.instrument(capture_content=True, redact=odd)
    assert state.settings is None


def test_a_hook_alone_captures_nothing():
    """``redact`` is no opt-in."""
    with capture(redact=str.upper, guard=False) as captured:
        with tokentrace.llm_call(said("hello"), api="openai.chat"):
            pass
    assert schema.INPUT_MESSAGES not in captured.spans[0].attributes


def test_keys_are_masked_before_anything_is_cut():
    """A key that lies across the cut does not leave its first half."""
    text = "x " * 970 + "sk-abcdefghijklmnopqrstuvwxyz0123456789" + " y" * 3_000
    assert "sk-abc" not in traced(said(text))


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_any_body_is_masked_without_an_error(held):
    """Whatever a body holds, it comes out as JSON."""
    tree = content._redacted({"messages": held}, content.masked)
    assert isinstance(json.dumps(tree), str)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "sk-" * 60_000,
            "bearer " * 30_000,
            "://a:" * 40_000,
            "://" + "a" * 200_000,
            "key=" * 50_000,
        ),
        *(
            "'token' : '" * 20_000,
            "://a:b" * 30_000,
            "-" * 200_000,
            "AKIA" * 50_000,
            "x-key" * 40_000,
        ),
    ],
    ids=lambda text: text[:8],
)
def test_masking_is_linear(text):
    """Eight times the text takes no sixty-four times the time, whatever is nearly a key."""
    short, long = (min(cpu(part) for _ in range(5)) for part in (text[: len(text) // 8], text))
    assert long < 32 * max(short, 0.0005)


def cpu(text):
    begun = time.thread_time()
    content.masked(text)
    return time.thread_time() - begun


PIECES = (
    *("sk-", "gsk_", "ghp_", "AIza", "AKIA", "Bearer ", "BASIC ", "://", "key=", "x-api-key=", '"token": "'),
    *("paſſword=", "ſecret=", "toKen=", "'authorızation': '", "abcDEF0123456789", "u:p@h", " ", "&", "é"),
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12))
def test_words_that_are_looked_for_first_hide_no_key(pieces):
    """What no word of a pattern stands in, the pattern would have left as it is."""
    text = "".join(pieces)
    whole = text
    for _, pattern, instead in content.MASKS:
        whole = pattern.sub(instead, whole)
    assert content.masked(text) == whole


def whole_and_told(monkeypatch, body, most):
    """Return what is told of a body, and what would be if each of its texts were masked."""
    monkeypatch.setattr(content, "_told", lambda value, _most: value)
    whole = content.captured(body, most)
    monkeypatch.undo()
    monkeypatch.setattr(state, "settings", SETTINGS)
    return whole, content.captured(body, most)


SETTINGS = SimpleNamespace(capture_content=True, redact=None)


@pytest.mark.parametrize("most", [64, 300, 2_000, 20_000])
@pytest.mark.parametrize("size", [0, 1, 30, 3_000])
def test_only_what_can_be_told_is_masked(monkeypatch, size, most):
    """Of a long conversation the newest messages are masked; what is told is the same."""
    monkeypatch.setattr(state, "settings", SETTINGS)
    talk = [
        {"role": "user", "content": "token=" + "k" * (n * size % 97)} if n % 3 else {"role": "tool"}
        for n in range(400)
    ]
    whole, told = whole_and_told(monkeypatch, {"messages": talk, "system": "Be brief."}, most)
    assert told == whole
    assert "null" not in told[schema.INPUT_MESSAGES]


def test_older_messages_are_not_looked_into(monkeypatch):
    """The cost follows what is told, not the length of the conversation."""
    seen = []
    hook = SimpleNamespace(capture_content=True, redact=lambda text: seen.append(text) or text)
    monkeypatch.setattr(state, "settings", hook)
    content.captured(
        {"messages": [{"role": "user", "content": f"{n}"} for n in range(5_000)]}, 2_000
    )
    assert 10 < len(seen) < 200
    assert seen[-1] == "4999"
