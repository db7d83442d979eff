"""A conversation made up by hand, with one of everything that a report shows."""

from __future__ import annotations

import pytest

from tokentrace import analysis, schema
from tokentrace.prompt import CallRecord, ContextRecord, Detail, Event, Usage
from tokentrace.readers import Problems

SECOND = 10**9
BEGIN = 1_760_000_000 * SECOND
NAMES = ("system", "tools", "history", "user", "tool_results", "code_snippets", "framing")
SIZES = {
    1: (420, 910, 0, 35, 0, 0, 7),
    2: (420, 910, 380, 28, 1_204, 300, 11),
    3: (420, 910, 1_950, 41, 1_388, 620, 15),
    4: (420, 910, 2_700, 33, 1_900, 1_240, 19),
    5: (420, 910, 1_100, 52, 812, 400, 23),
    6: (420, 910, 1_100, 19, 812, 400, 23),
}


def call(number, **changes):
    """Return the main call of a turn."""
    components = dict(zip(NAMES, SIZES[number], strict=True))
    start = BEGIN + number * 60 * SECOND
    plain = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "start": start,
        "end": start + 2 * SECOND,
        "service": "agents",
        "provider": "openai",
        "api": "openai.chat",
        "model": "gpt-4o",
        "session": "conv-42",
        "agent": "devops",
        "turn": number,
        "lineage": "a1b2c3",
        "tokens": sum(components.values()),
        "method": "exact",
        "tokenizer": "o200k_base",
        "components": components,
        "limit": 8_000,
        "limit_source": "configured",
        "decision": "ok",
        "usage": Usage(input=sum(components.values()), output=100 + number),
    }
    return CallRecord(**{**plain, **changes})


def assembly(number, *events, **changes):
    """Return the assembly before a turn's call."""
    start = BEGIN + number * 60 * SECOND - SECOND
    plain = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number + 256:016x}",
        "start": start,
        "end": start + 1000,
        "service": "agents",
        "name": "devops",
        "session": "conv-42",
        "agent": "devops",
        "turn": number,
        "included": 900,
        "budget": 3_000,
    }
    stamped = tuple(Event(name, values, start + n) for n, (name, values) in enumerate(events))
    return ContextRecord(**{**plain, **changes}, events=stamped)


def judged(number, name, tokens, **values):
    """Return an event of the guard."""
    facts = {"model": "gpt-4o", "tokens": tokens, "limit": 8_000, **values}
    return Event(name, facts, BEGIN + number * 60 * SECOND)


def left_out(name, tokens, reason="exceeds available budget"):
    """Return what an assembly says about a component that it leaves out."""
    return schema.COMPONENT_EXCLUDED, {"name": name, "tokens": tokens, "reason": reason}


def shortened(name, before, after):
    """Return what an assembly says about a component that it shortens."""
    return schema.CONTEXT_COMPRESSED, {"name": name, "before": before, "after": after}


def conversation():
    """Return the records: growth, drift, a sub-agent, a warning, a compression, a refusal."""
    high = judged(4, schema.LIMIT_WARNING, 7_222, threshold=0.8, grew=("history +750",))
    over = judged(6, schema.LIMIT_EXCEEDED, 8_450, threshold=1.0)
    helper = {"agent": "search", "lineage": "ffff", "turn": 3, "method": "estimated", "error": 40}
    small = {"system": 200, "user": 90}
    return [
        call(1),
        call(2, usage=Usage(input=3_260, output=102, cache_read=1_280), details=(
            Detail("tool_results", "kubectl", 1_100), Detail("tools", "kubectl", 310))),
        call(3),
        call(3, span_id="00000000000000aa", start=BEGIN + 185 * SECOND, end=BEGIN + 186 * SECOND,
             tokens=290, components=small, usage=Usage(), **helper),
        assembly(4, left_out("code.app", 2_410), left_out("logs.api", 655), excluded=3_065),
        call(4, decision="warn", events=(high,)),
        assembly(5, shortened("history", 2_700, 1_100), left_out("code.app", 2_410),
                 excluded=2_410, compressed=1_600),
        call(5, decision="compress", compressed_tokens=4_200),
        call(6, span_id="00000000000000bb", tokens=8_450, components={"history": 8_450},
             decision="refuse", error_type="tokentrace.TokenLimitExceeded", usage=Usage(),
             events=(over,)),
        call(6, start=BEGIN + 370 * SECOND, end=BEGIN + 371 * SECOND, delta=-33, trend="decrease",
             usage=Usage(), error_type="APIConnectionError"),
    ]  # fmt: skip


@pytest.fixture
def records():
    return conversation()


@pytest.fixture
def make():
    """Return the makers of records, for tests that need others."""
    return call, assembly


@pytest.fixture
def report(records):
    problems = Problems()
    problems.add("run.jsonl", 7, "cut off: truncated")
    return analysis.Report(analysis.sessions(records), problems)
