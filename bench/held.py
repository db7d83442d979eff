"""Measure the memory that spans hold until they are exported, for prompts of any size.

    python bench/part.py held ROUNDS [WAY…]

Every ended span is kept, as a batch keeps it that waits for its exporter. `held_bytes` is what Python's
allocators hold more for each further span, all told; `over_empty_bytes` is that less
a span that has only its name.
`attributes_bytes` are the characters of the span's values, 8 for a number: what travels.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from calling import OFFICIAL, OURS, SIZES, Talk, begun, reported
from instrumentations import Telemetry
from stubbed import Stub

FIRST, LAST = 40, 120  # spans kept when the memory is read
"""By then whatever is made once has been made."""


def size_of(value: Any) -> int:
    """Return the bytes of an attribute's value."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return 8


def traced(call: Callable[[], Any]) -> float:
    """Return the bytes that each further call leaves behind."""
    sizes = []
    for number in range(LAST + 1):
        if number in {FIRST, LAST}:
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        call()
    return (sizes[1] - sizes[0]) / (LAST - FIRST)


def empty(telemetry: Telemetry) -> float:
    """Return the bytes of a kept span that has a name and nothing else."""
    tracer = telemetry.tracers.get_tracer("bench")
    return traced(lambda: tracer.start_span("empty").end())


def measure(_rounds: int, *names: str) -> dict[str, dict[str, float]]:
    """Return a row for each size and way; memory has no noise, so rounds are not asked."""
    stub, telemetry = Stub(), Telemetry(keep=True)
    names = names or (OURS, OFFICIAL)
    places, standing = begun(names, stub, telemetry)
    tracemalloc.start()
    rows = {}
    for name in names:
        for number in SIZES:
            talk = Talk(stub, number, 0, reported(name))
            with places.standing(standing[name]):
                held = traced(talk.again)
            span = telemetry.arrived[-1]
            rows[f"a kept span, {number} messages, {name}"] = {
                "held_bytes": round(held),
                "over_empty_bytes": round(held - empty(telemetry)),
                "attributes": len(span.attributes),
                "attributes_bytes": sum(map(size_of, span.attributes.values())),
            }
            telemetry.arrived.clear()
    return rows
