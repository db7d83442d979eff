"""Where a wire format has a word, a body may have anything: found by fuzzing, in three dialects."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from tokentrace import dialects
from tokentrace.prompt import Prompt, Usage

CORPUS = Path(__file__).parents[1] / "corpus"
NAMED = {"anthropic": "anthropic.messages", "openai": "openai.chat"}
UNHASHABLE = (["a", "b"], {"a": 1})


def bodies():
    for path in sorted(CORPUS.rglob("*.json")):
        held = json.loads(path.read_text("utf-8"))
        folder = path.parent.name
        api = held.get("api") or NAMED.get(folder) or next(a for a, m in dialects.DIALECTS.items() if m == folder)  # fmt: skip
        yield pytest.param(api, held["body"], id=f"{folder}-{path.stem}")


def texts(value, path=()):
    """Yield the path of each text inside a value."""
    if isinstance(value, str):
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, inner in pairs:
        yield from texts(inner, (*path, key))


def put(body, path, odd):
    """Return the body with something else at a path."""
    changed = copy.deepcopy(body)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    return changed


@pytest.mark.parametrize(("api", "body"), list(bodies()))
@pytest.mark.parametrize("odd", UNHASHABLE, ids=["list", "object"])
def test_what_is_no_word_is_no_error(api, body, odd):
    """A list or an object in the place of any text of a body gives a prompt."""
    for path in texts(body):
        assert isinstance(dialects.find(api).parse(put(body, path, odd)), Prompt)


EVENTS = [
    {"type": "response.completed", "response": {"id": "r", "status": "completed"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 3}, "model": "m"},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}, "event_type": "stream-end"},
    {"messageStop": {"stopReason": "end"}, "candidates": [{"finishReason": "STOP"}]},
]


@pytest.mark.parametrize("api", dialects.DIALECTS)
@pytest.mark.parametrize("odd", UNHASHABLE, ids=["list", "object"])
def test_what_is_no_word_in_an_event_is_no_error(api, odd):
    """The same in the events of a stream, and in whole answers."""
    for event in EVENTS:
        for path in texts(event):
            changed = put(event, path, odd)
            assert isinstance(dialects.find(api).fold(Usage(), changed), Usage)
            assert isinstance(dialects.find(api).usage(changed), Usage)
