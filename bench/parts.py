"""Where the instructions of a call go: callgrind counts them with everything, and with part after part left out.

    python bench/parts.py [--json]

Each line has one part less than the line above it; what a part takes is what is missing then, with all that
nobody asks for any more without it. Encoding, and a span with as many attributes and the histogram records, are counted
by themselves; so is the official instrumentation with content off, where it is installed. Thousands of
instructions that are added to a bare call, medians of calls with 10 and with 1,000 messages of 200 tokens,
of which none or two are new. Needs valgrind; takes two minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module, util
from pathlib import Path
from typing import Any
from unittest import mock

import table_of
from counted_calls import SIZES, UNHURRIED, Counted, one, run, switch
from instructions import counted

from insights import PARTS

ROWS = tuple((size, new) for size in SIZES for new in (0, 2))
CHILD = "BENCH_PARTS"  # of the environment: set where the works run
ALL = "tokentrace, all of it"
ENCODING = "encoding the new texts once"
SPAN = "a span of as many attributes, two histogram records"
REST = "the rest: reading, comparing, attribution, guard, lineage"
WITHOUT: tuple[tuple[str, dict[str, Any]], ...] = (
    *((name, {place: nothing}) for name, (place, nothing) in PARTS.items()),
    ("marks of the text, for learning", {"tokentrace.counting.marks.of_prompt": lambda *_: None}),
    (
        "learning from what is reported",
        {
            "tokentrace.instrument.learning.answered": lambda *_: None,
            "tokentrace.instrument.learning.told": lambda record, *_: record,
        },
    ),
    ("sections", {"tokentrace.counting.sections.likely": lambda *_: False}),
)


@contextmanager
def left_out(parts: int) -> Iterator[None]:
    """Replace the entry points of the first parts by ones that do nothing."""
    unseen = import_module("tokentrace.counting.waste").UNSEEN
    with ExitStack() as stack:
        for _, places in WITHOUT[:parts]:
            for place, nothing in places.items():
                stack.enter_context(mock.patch(place, nothing or (lambda *_: unseen)))
        yield


def works(counter: Counted) -> None:
    """Call bare, with everything, and with more and more left out; encode; and make a span like ours."""
    from calling import OFFICIAL, OURS, Talk, begun
    from calling import counted as tokens
    from instrumentations import Telemetry
    from stubbed import Stub

    import_module("tokentrace.instrument.counts").BUDGET = UNHURRIED
    stub, telemetry = Stub(), Telemetry(keep=True)
    peers = (OFFICIAL,) if util.find_spec("opentelemetry.instrumentation.genai") else ()
    places, standing = begun((OURS, *peers), stub, telemetry)
    switch("on")
    for size, new in ROWS:
        talk = partial(Talk, stub, size, new, tokens)
        for way in ("bare", *peers):
            with places.standing(standing[way]):
                one(counter, f"{size} {new}/{way}", talk())
        with places.standing(standing[OURS]):
            for parts in range(len(WITHOUT) + 1):
                with left_out(parts):
                    one(counter, f"{size} {new}/{parts}", talk())
    encoding(counter, talk())
    span_alone(counter, telemetry)


def encoding(counter: Counted, talk: Any) -> None:
    """Encode the texts of two new messages."""
    from tokentrace.counting import vocab

    encode = vocab.load("o200k_base").encode
    for number in range(12):
        texts = [one["content"] for one in talk.new(number)]
        counter.run("encoding", partial(list, map(encode, texts)))


def span_alone(counter: Counted, telemetry: Any) -> None:
    """Make a span with the attributes of the last one, and the two histogram records of a call."""
    from opentelemetry.trace import SpanKind

    name, told = telemetry.arrived[-1].name, dict(telemetry.arrived[-1].attributes)
    tracer = telemetry.tracers.get_tracer("alone")
    meter = telemetry.meters.get_meter("alone")
    few = {key: told[key] for key in list(told)[:4]}
    records = [meter.create_histogram(kind).record for kind in ("duration", "tokens")]

    def work() -> None:
        with tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=told):
            pass
        for record in records:
            record(1, few)

    for _ in range(16):
        counter.run("span", work)


def shown(found: dict[str, list[int]]) -> dict[str, dict[str, float]]:
    """Return thousands of instructions by what takes them, a column for each kind of call."""
    taken = {name: sorted(runs)[len(runs) // 2] / 1e3 for name, runs in found.items()}
    rows: dict[str, dict[str, float]] = {}
    for size, new in ROWS:
        for name, value in divided(taken, f"{size} {new}", new=new).items():
            column = f"{size:,} messages, {new or 'nothing'} new"
            rows.setdefault(name, {})[column] = round(value)
    return rows


def divided(taken: dict[str, float], call: str, *, new: int) -> dict[str, float]:
    """Return what a call of ours takes, all of it and part by part, and what the official way does."""
    bare = taken[f"{call}/bare"]
    left = [taken[f"{call}/{parts}"] - bare for parts in range(len(WITHOUT) + 1)]
    figures = {ALL: left[0]}
    for (name, _), more, less in zip(WITHOUT, left, left[1:], strict=False):
        figures[name] = more - less
    alone = {ENCODING: taken["encoding"] if new else 0.0, SPAN: taken["span"]}
    figures |= alone | {REST: left[-1] - sum(alone.values())}
    official = taken.get(f"{call}/official, content off")
    return figures if official is None else {"official, content off": official - bare, **figures}


def main() -> int:
    """Count and print; or be the work that is counted."""
    if CHILD in os.environ:
        run(works)
    parser = argparse.ArgumentParser(description="Where the instructions of a call go.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    os.environ[CHILD] = "1"
    found = counted(Path(__file__))
    if isinstance(found, int):
        return found
    table_of.show(shown(found), as_json=options.json, cell="8.0f")
    return 0


if __name__ == "__main__":
    sys.exit(main())
