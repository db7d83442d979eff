"""How much of each trace this process has made: back ends drop what is beyond their bound, silently.

Tempo takes 5,000,000 bytes of a trace by default (``max_bytes_per_trace``, 3.0.3, 2026-08), answers
that all went well, and keeps no word of the rest. Only spans with our attributes are weighed, and
about: the spans of others lie in the same trace.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from tokentrace import _failsafe
from tokentrace.fitting import BOUND, NEAR

MOST_TRACES = 256

_traces: OrderedDict[int, list[int]] = OrderedDict()
_largest = [0, 0]
_near: set[int] = set()
_lock = threading.Lock()


def add(span: Any, size: int) -> None:
    """Weigh a span of about ``size`` bytes that has ended; warn once where its trace is near the bound."""
    trace = span.get_span_context().trace_id
    with _lock:
        known = _traces.setdefault(trace, [0, 0])
        known[0] += 1
        known[1] += size
        _traces.move_to_end(trace)
        if len(_traces) > MOST_TRACES:
            _traces.popitem(last=False)
        if known[1] > _largest[1]:
            _largest[:] = known
        near = known[1] >= NEAR * BOUND
        if near and len(_near) < MOST_TRACES:
            _near.add(trace)
        spans, total = known
    if near:
        _failsafe.warn_once(
            "trace size",
            "a trace holds %d spans of about %d bytes; Tempo drops what comes after %d by default: "
            "end the span that is open around the turns, so that each turn is a trace of its own",
            spans,
            total,
            BOUND,
        )


def status() -> dict[str, int]:
    """Return spans and bytes of the largest trace, and how many came near the bound."""
    spans, size = _largest
    return {"largest_spans": spans, "largest_bytes": size, "near_bound": len(_near)}


def reset() -> None:
    """Forget all traces (tests, and the child after a fork)."""
    global _lock  # noqa: PLW0603 - what another thread held at the fork stays held in the child
    _lock = threading.Lock()
    _traces.clear()
    _near.clear()
    _largest[:] = 0, 0
