"""The openai SDK without its transport: what is left of a call is `create()` and what wraps it.

The SDK's own work on 1,000 messages takes two hundred milliseconds, in which half a millisecond of an
instrumentation is lost. So its schema transform only copies the list of messages and each message, as
its result is made of fresh objects too, and `SyncAPIClient.request` gives an answer that is there
already. `create()`, its arguments and the answer are the SDK's own; everything that wraps
`create()` or `request` runs as it does in an application.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WORDS = "the pod restarts because its memory limit is lower than what the cache needs at start "
MODEL = "gpt-4.1"
PER_MESSAGE = 198  # tokens, about
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "ok"},
        }
    ],
}


def messages(number: int) -> list[dict[str, Any]]:
    """Return a conversation of about 200 tokens a message."""
    talk: list[dict[str, Any]] = [{"role": "system", "content": "You are a careful SRE. " + WORDS}]
    for index in range(number - 1):
        role = ("user", "assistant")[index % 2]
        talk.append({"role": role, "content": f"{index}: " + WORDS * 11})
    return talk


NOTES = (
    "restarted", "replicas=3", "OOMKilled,", "the", "node-17", "was", "cordoned", "at", "14:05:33", "and",
    "p99", "latency", "rose", "to", "812ms.", "ConfigMap", "'gateway-limits'", "changed", "(rev 4471),",
    "deployment/checkout", "is", "waiting", "for", "its", "readiness", "probe;", "retry", "after", "30s",
)  # fmt: skip


def note(noise: random.Random, words: int) -> str:
    """Return a text as an operator's agent reads them: words, numbers, names and signs."""
    return " ".join(noise.choices(NOTES, k=words))


def transformed(data: Any, absent: tuple[type, ...], *, fresh: bool) -> Any:
    """Return a request's body without what was not given, as the SDK's transform does.

    Args:
        data: the arguments of `create()`.
        absent: the types of what stands for an argument that was not given.
        fresh: with a list and dicts of its own; the texts are the caller's objects in either case.
    """
    body = {key: value for key, value in data.items() if not isinstance(value, absent)}
    if fresh:
        body["messages"] = [dict(message) for message in body["messages"]]
    return body


class Stub:
    """A client whose calls reach no transport; it bears the address whose counts are known to be exact.

    Args:
        fresh: hand over copies of the messages, as the SDK does; else the caller's own.
    """

    def __init__(self, *, fresh: bool = True) -> None:
        import openai
        from openai import _types as kinds
        from openai._base_client import SyncAPIClient
        from openai.resources.chat.completions import completions
        from openai.types.chat import ChatCompletion

        used = {"prompt_tokens": 0, "completion_tokens": 1, "total_tokens": 1}
        self.answer = ChatCompletion.model_validate(ANSWER | {"usage": used})
        answer = self.answer

        def request(_self: Any, _cast_to: Any, _options: Any, **_others: Any) -> Any:
            return answer

        if not hasattr(completions, "maybe_transform"):
            raise SystemExit(f"openai {openai.__version__} has no maybe_transform to stub")
        SyncAPIClient.request = request
        self.fresh = fresh
        names = ("NotGiven", "Omit")
        absent = tuple(getattr(kinds, name) for name in names if hasattr(kinds, name))
        completions.maybe_transform = lambda data, _type: transformed(
            data, absent, fresh=self.fresh
        )
        self.client = openai.OpenAI(api_key="bench", base_url="https://api.openai.com/v1")

    def call(self, talk: list[dict[str, Any]], tokens: int) -> Any:
        """Make a call that the provider says had so many tokens of input."""
        usage = self.answer.usage
        usage.prompt_tokens, usage.total_tokens = tokens, tokens + 1
        return self.client.chat.completions.create(model=MODEL, messages=talk)


class Places:
    """Where instrumentations wrap the SDK; what stands there can be kept and put back.

    So ways take turns in one process, each instrumented once, whatever it costs to begin.
    """

    def __init__(self) -> None:
        import openai
        from openai._base_client import SyncAPIClient
        from openai.resources.chat.completions import Completions

        self._places = [
            (Completions, "create"),
            (openai.OpenAI, "request"),
            (SyncAPIClient, "request"),
            (SyncAPIClient, "post"),
        ]

    def kept(self) -> list[Any]:
        """Return what stands at each place; None where nothing of its own does."""
        return [vars(owner).get(name) for owner, name in self._places]

    def put(self, kept: list[Any]) -> None:
        """Put back what `kept` gave."""
        for (owner, name), value in zip(self._places, kept, strict=True):
            if value is not None:
                setattr(owner, name, value)
            elif name in vars(owner):
                delattr(owner, name)

    @contextmanager
    def standing(self, kept: list[Any]) -> Iterator[None]:
        """Put back what was kept, and then what stood there."""
        before = self.kept()
        self.put(kept)
        try:
            yield
        finally:
            self.put(before)
