"""What a row of the table of SDKs is: one api of one SDK, and each way to call it."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from instrument.loopback import Answer

TEXT = "Why does the pod restart?"
MANY = 200


@dataclass(frozen=True)
class Form:
    """One way to make a call.

    Attributes:
        do: a function, plain or async, of the server's URL and the request; it returns plain data.
        answer: what the server answers.
        reported: the input tokens that must be known at the end.
        fails: the caller sees an error.
    """

    do: Callable[[str, Mapping[str, Any]], Any]
    answer: Answer
    reported: int | None
    fails: bool = False


@dataclass(frozen=True)
class Row:
    """One api of one SDK. ``request`` are the arguments of its function; they hold `TEXT` once."""

    name: str
    sdk: str
    api: str
    provider: str
    model: str
    request: Mapping[str, Any]
    forms: Mapping[str, Form]

    def longer(self) -> Row:
        """Return the row with a request that is far above any bound of its count."""
        text = json.dumps(self.request).replace(TEXT, TEXT * MANY)
        return replace(self, request=json.loads(text))


# What most SDKs are asked to do: who does it, what the server answers, whether the usage is known then.
USUAL = {
    "plain": ("plain", "plain", True),
    "async": ("awaited", "plain", True),
    "stream": ("stream", "stream", True),
    "async stream": ("stream_async", "stream", True),
    "early exit": ("early_exit", "stream", False),
    "async early exit": ("early_exit_async", "stream", False),
    "dropped": ("dropped", "stream", False),
    "refused": ("plain", "refused", False),
    "async refused": ("awaited", "refused", False),
    "stream refused": ("stream", "refused", False),
    "async stream refused": ("stream_async", "refused", False),
    "broken stream": ("stream", "broken", False),
    "async broken stream": ("stream_async", "broken", False),
    "error in a stream": ("stream", "odd", False),
}
FAILING = {"refused", "broken", "odd"}


def usual(
    *functions: Callable[..., Any],
    without: tuple[str, ...] = (),
    reported: int = 31,
    **answers: Answer,
) -> dict[str, Form]:
    """Return the usual forms that these functions can do with these answers, by their names."""
    known = {function.__name__: function for function in functions}
    return {
        name: Form(known[who], answers[what], reported if told else None, fails=what in FAILING)
        for name, (who, what, told) in USUAL.items()
        if who in known and what in answers and name not in without
    }


def shorter(body: dict[str, Any], report: Any) -> dict[str, Any]:
    """Return a body of `Row.longer` as it would have been: a guard's ``compress``."""
    return json.loads(json.dumps(body).replace(TEXT * MANY, TEXT))


def taken(stream: Any) -> Any:
    """Take one item of a stream and let go of it."""
    item = next(iter(stream))
    del stream
    gc.collect()
    return item
