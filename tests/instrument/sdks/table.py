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


def shorter(body: dict[str, Any], report: Any) -> dict[str, Any]:
    """Return a body of `Row.longer` as it would have been: a guard's ``compress``."""
    return json.loads(json.dumps(body).replace(TEXT * MANY, TEXT))


def taken(stream: Any) -> Any:
    """Take one item of a stream and let go of it."""
    item = next(iter(stream))
    del stream
    gc.collect()
    return item
