"""Conversations that show each finding, for docs/findings.md: some built, one held over a real SDK.

``examples()`` returns the first finding of each code that judging them gives.
"""

from __future__ import annotations

import base64
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import openai

import tokentrace
from tokentrace import testing
from tokentrace.analysis import Finding, Happening, Phase, Session, Turn, judge
from tokentrace.prompt import CallRecord, Usage

LEVEL = [4_000, 5_000, 4_500, 5_200, 4_300, 5_100, 4_400, 5_000, 4_600, 5_100, 4_500, 5_000]
EXCLUDED = Happening("excluded", "code", tokens=900, cause="budget")
Events = Mapping[int, tuple[Happening, ...]]


def examples() -> dict[str, Finding]:
    """Return a finding of each code."""
    found: dict[str, Finding] = {}
    for session in (*built(), *held()):
        for one in judge(session, phases=(Phase("baseline", 1, 3, max_total=4_600),)).findings:
            found.setdefault(one.code, one)
    return found


# ── built ────────────────────────────────────────────────────────────────────────────────────────


def built() -> Iterator[Session]:
    """Yield conversations of numbers."""
    yield talk(LEVEL)
    yield talk([4_000, 5_000, 9_700, 10_400, 6_000])
    yield talk(
        [4_000, 12_000],
        {2: (Happening("refused", tokens=12_000, limit=10_000),)},
        decision="refuse",
    )
    yield talk([1_000 + 500 * n for n in range(18)])
    yield talk([300 + 10 * (n % 3) for n in range(12)])
    yield talk([*LEVEL[:7], 4_000, 4_200, 3_900, 5_600, 5_500, 5_900, 5_700])
    yield drifting(talk([1_000 * n for n in range(1, 6)], model="example-1"), 57)
    yield unread([3_000, 3_400, 3_900])
    yield talk([8_200, 8_400, 8_300, 8_600])
    yield talk([4_000] * 3, {n: (compression(2_000, 1_990),) for n in (1, 2)})
    yield talk([6_000, 7_500, 8_300, 8_700, 9_000], dict.fromkeys((2, 3, 4), (EXCLUDED,)))
    yield mixed([{"system": 500, "memory": 3_000}] * 8 + [{"system": 500, "memory": 20}] * 4)
    yield mixed([{"system": 600, "core_goal": 80, "history": 900}] * 3 + [{"history": 1_500}] * 3)
    yield mixed([{"system": 800, "history": 900}] * 3 + [{"system": 200, "history": 1_500}] * 3)
    yield talk([4_000, 4_200, 4_100], error_type="openai.APITimeoutError")
    yield talk(
        [4_000, 4_100], {2: (Happening("disagreement", "total", before=4_100, after=4_400),)}
    )


def drifting(session: Session, beyond: int) -> Session:
    """Return a conversation whose calls were reported with so many tokens more than were counted."""
    turns = []
    for turn in session.turns:
        call = replace(turn.calls[0], usage=Usage(input=turn.total + beyond))
        turns.append(replace(turn, calls=(call,), main=call))
    return replace(session, turns=tuple(turns))


def unread(totals: Sequence[int]) -> Session:
    """Return a conversation that goes on, of which a provider with a cache read nothing."""
    turns = []
    for turn in talk(totals, model="gpt-4.1", provider="openai", lineage="l1").turns:
        call = replace(turn.calls[0], usage=Usage(input=turn.total, cache_read=0))
        turns.append(replace(turn, calls=(call,), main=call))
    return Session("example", turns=tuple(turns))


def compression(before: int, after: int) -> Happening:
    """Return a compression of the history."""
    return Happening("compressed", "history", tokens=before - after, before=before, after=after)


def talk(totals: Sequence[int], events: Events | None = None, **changes: Any) -> Session:
    """Return a conversation of these totals under a limit of 10,000 tokens."""
    return mixed([{"history": total} for total in totals], events, **changes)


def mixed(
    components: Sequence[Mapping[str, int]], events: Events | None = None, **changes: Any
) -> Session:
    """Return a conversation of turns with these components."""
    turns = []
    for number, held in enumerate(components, 1):
        plain: dict[str, Any] = {"limit": 10_000, "method": "exact", "start": number, "end": number}
        total = sum(held.values())
        call = CallRecord(**{**plain, "tokens": total, "components": held, **changes})
        turns.append(Turn(number, (call,), main=call, events=(events or {}).get(number, ())))
    return Session("example", turns=tuple(turns))


# ── held ─────────────────────────────────────────────────────────────────────────────────────────

RUNBOOK = "\n\n".join(
    f"Step {n}: drain node {n * 37 % 101}, wait until its {n + 2} pods are ready elsewhere, and note the time."
    for n in range(12)
)
PODS = json.dumps(
    [{"name": f"checkout-{n}", "ready": True, "labels": {"app": "checkout"}} for n in range(16)],
    indent=2,
)
CERTIFICATE = base64.b64encode(bytes(n * n % 251 for n in range(900))).decode()
RESULTS = {1: f"{RUNBOOK}\n", 2: PODS, 3: f"tls.crt: {CERTIFICATE}\n"}
LIMIT = 9_000


def tool(name: str, description: str) -> dict[str, Any]:
    """Return a tool's definition."""
    parameters = {"type": "object", "properties": {"of": {"type": "string"}}}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [
    tool("look", "Print a resource."),
    tool("deploy", "Roll out a version of a service, after its canary has passed the gate. " * 6),
]


def held() -> tuple[Session, ...]:
    """Return a conversation of 12 turns of a wasteful agent with a model that is played."""
    logging.getLogger("tokentrace").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guard = tokentrace.Guard(limit=LIMIT)
        with testing.capture(guard=guard) as captured, tokentrace.session("example"):
            talk: list[dict[str, Any]] = []
            for number in range(1, 13):
                with tokentrace.turn(number=number):
                    serve(number, talk)
        return captured.sessions


def serve(number: int, talk: list[dict[str, Any]]) -> None:
    """Serve one turn: rules and the hour in the system text, a question, maybe a tool."""
    system = f"<rules>\n{RUNBOOK}\n</rules>\n<now>hour {number}</now>"
    talk.append(
        {
            "role": "user",
            "content": f"Question {number}: {' '.join(f'n{number}x{n}' for n in range(16 * number))}?",
        }
    )
    if number in RESULTS:
        function = {"name": "look", "arguments": "{}"}
        use = {"id": f"c{number}", "type": "function", "function": function}
        talk.append({"role": "assistant", "content": None, "tool_calls": [use]})
        talk.append({"role": "tool", "tool_call_id": f"c{number}", "content": RESULTS[number]})
    body: Any = {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": system}, *talk],
        "tools": TOOLS,
    }
    used = tokentrace.count(body, api="openai.chat").total
    wire = testing.Wire(testing.openai_chat("Done.", prompt_tokens=used))
    client = openai.OpenAI(api_key="example", http_client=wire.client("openai"))
    client.chat.completions.create(**body)
    talk.append({"role": "assistant", "content": f"Answer {number}."})
