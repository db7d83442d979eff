"""A prompt's text for those who asked for it: keys masked, redacted by the application's own hook.

Keys are known by their form or by the name that they stand under. Every pattern is bounded or
possessive: the time is linear in the text. What is masked is masked before anything is cut, so that no
half of a key is left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tokentrace import _failsafe, schema
from tokentrace.dialects import _reading
from tokentrace.fitting import dumped
from tokentrace.instrument import state

Redact = Callable[[str], str]

MASKED = "[masked]"
HELD = (
    *("instructions", "system", "systemInstruction", "preamble", "chat_history", "messages"),
    *("contents", "input", "prompt", "message"),
)
STRUCTURE = frozenset({"role", "type"})  # values that are words of the wire, and no text
DEPTH, NODES = 64, 100_000
CALLED = (
    r"(?:api[-_]?key|access[-_]?key|authorization|client[-_]?secret|passw(?:or)?d|secret|token)"
)
NAMED = re.compile(rf"(?:x-)?{CALLED}\Z", re.ASCII | re.IGNORECASE)
# What is replaced, and by what. Nothing is looked for where none of its words stands in a text, whatever
# their case: to look for a word costs a hundredth of a pattern.
NAMES = ("key", "author", "secret", "passw", "token")
MASKS = (
    (
        ("sk-", "gsk_", "xox", "gho_", "ghp_", "ghs_", "ghu_", "aiza"),
        re.compile(r"\b(sk-|gsk_|xox[abprs]-|gh[opsu]_|AIza)[\w-]{12,}+", re.ASCII),
        rf"\1{MASKED}",
    ),
    (("akia",), re.compile(r"\bAKIA[0-9A-Z]{16}\b", re.ASCII), MASKED),
    (
        ("bearer", "basic"),
        re.compile(r"\b(bearer|basic)[ \t]{1,4}[\w.~+/=-]{8,}+", re.ASCII | re.IGNORECASE),
        rf"\1 {MASKED}",
    ),
    (
        ("://",),
        re.compile(r"://[^\s/@:\"]{1,256}+:[^\s/@\"]{1,256}+@"),
        f"://{MASKED}@",
    ),
    (
        NAMES,
        re.compile(rf"\b((?:x-)?(?:key|{CALLED}))=[^\s&\"',;]++", re.ASCII | re.IGNORECASE),
        rf"\1={MASKED}",
    ),
    (
        NAMES,
        re.compile(
            rf"([\"'](?:x-)?{CALLED}[\"'][ \t]{{0,4}}:[ \t]{{0,4}}[\"'])[^\"'\s]++", re.IGNORECASE
        ),
        rf"\1{MASKED}",
    ),
)


class RedactError(Exception):
    """A hook gave back something that is no text."""


def captured(body: Mapping[str, Any], most: int | None) -> dict[str, str]:
    """Return the attribute with a request's text, nothing where nobody asked for it.

    Of a prompt over ``most`` bytes the newest messages stay; what was left out or cut bears a mark,
    see `fitting.dumped`. Where the application's hook fails, that is counted, and no text is told.
    """
    settings = state.settings
    if settings is None or not settings.capture_content:
        return {}
    whole = {key: _told(body[key], most) for key in HELD if key in body}
    tree, error = _failsafe.outcome_of(_redacted, whole, settings.redact or masked)
    if error is not None:
        _failsafe.record(error, "callback redact")
        return {}
    return {schema.INPUT_MESSAGES: dumped(tree, most)}


def _told(value: Any, most: int | None) -> Any:
    """Return a list with nothing in the place of its older entries, for which there is no room anyway.

    Of each entry only what no mask makes shorter is taken into account.
    """
    if most is None or not isinstance(value, list):
        return value
    room, kept = most, 0
    for entry in reversed(value):
        room -= _least(entry)
        kept += 1
        if room < 0:
            break
    return [*[None] * (len(value) - kept), *value[len(value) - kept :]]


def _least(entry: Any) -> int:
    """Return the bytes that an entry takes at least as JSON, however short its texts become."""
    return 3 + sum(len(key) + 4 for key in entry) if type(entry) is dict else 3


def masked(text: str) -> str:
    """Return a text without what looks like a key, a token or a password."""
    folded = text.casefold()
    for words, pattern, instead in MASKS:
        if any(word in folded for word in words):
            text = pattern.sub(instead, text)
    return text


def _redacted(whole: Mapping[str, Any], redact: Redact) -> Any:
    return _walked(whole, redact, 0, [NODES])


def _walked(value: Any, redact: Redact, depth: int, left: list[int]) -> Any:
    """Return a value with each text in it redacted; what is no JSON stays a name of its type."""
    left[0] -= 1
    if isinstance(value, str):
        return _text(value, redact)
    if isinstance(value, bool | int | float) or value is None:
        return value
    held = None if isinstance(value, list | tuple) else _reading.fields(value)
    if left[0] < 0 or depth > DEPTH or (held is None and not isinstance(value, list | tuple)):
        return f"<{type(value).__name__}>"
    if held is None:
        return [_walked(one, redact, depth + 1, left) for one in value]
    return {
        masked(str(key)): _field(str(key), one, redact, depth + 1, left)
        for key, one in list(held.items())
    }


def _field(key: str, value: Any, redact: Redact, depth: int, left: list[int]) -> Any:
    if key in STRUCTURE and isinstance(value, str):
        return masked(value)
    if isinstance(value, str) and NAMED.match(key):
        return MASKED
    return _walked(value, redact, depth, left)


def _text(text: str, redact: Redact) -> str:
    """Return a text as the hook leaves it, masked once more.

    Raises:
        RedactError: the hook gave back no text.
    """
    told = redact(masked(text))
    if not isinstance(told, str):
        raise RedactError(type(told).__name__)
    return told if redact is masked else masked(told)
