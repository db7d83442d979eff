"""The report as one JSON document, the same bytes for the same records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import msgspec

from tokentrace.analysis import Finding, Judgement, Report, Tally, spending, summary
from tokentrace.analysis.optimising import sizes, triggers
from tokentrace.analysis.rules.forecast import coming
from tokentrace.analysis.shapes import Happening, Session, Summary, Turn
from tokentrace.analysis.spending import Sheet
from tokentrace.insights.cost import Bill, Spending, usd
from tokentrace.insights.repaid import Missed
from tokentrace.insights.tools import Tool
from tokentrace.outlook import Forecast
from tokentrace.prompt import CallRecord, ContextRecord, Detail, Usage
from tokentrace.readers import Problems
from tokentrace.report import drift
from tokentrace.report.spooling import Spool

VERSION = 1
MS = 1_000_000
ENCODER = msgspec.json.Encoder()
# What may be a number that the standard library spells otherwise; and one that is a name's value.
OTHERWISE = re.compile(rb"(?:^|[:,[])-?(?:0\.0000|[\d.]+e)")
NAMED = re.compile(rb'":-?(?:0\.0000\d*|\d[\d.]*e[-+]?\d+)(?=[,}])')
LETTER = re.compile(rb"\w")


def schema() -> str:
    """Return the published JSON schema of the document."""
    return resources.files(__package__).joinpath("report.schema.json").read_text("utf-8")


def render(report: Report, **more: Any) -> str:
    """Return the document, with ``more`` keys beside its own; `schema` describes it."""
    return written({**document(report), **more})


def written(held: Mapping[str, Any]) -> str:
    """Return a document with an indentation of two, in ASCII."""
    return "".join(pieces(held))


def pieces(held: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `written` returns, a session at a time: the whole is larger than what it tells."""
    before = "{\n  "
    for key, value in held.items():
        yield f"{before}{json.dumps(key)}: "
        before = ",\n  "
        if isinstance(value, Spool):
            yield from value
            continue
        if not isinstance(value, list) or not value:
            yield _indented(value, 2)
            continue
        for place, item in enumerate(value):
            yield f"{',' if place else '['}\n    {_indented(item, 4)}"
        yield "\n  ]"
    yield "\n}\n" if held else "{}\n"


def _indented(value: Any, depth: int, flat: Callable[[Any], bytes] | None = None) -> str:
    """Return a value whose lines, but the first, stand ``depth`` further in.

    The encoder of the standard library takes three times as long, and ten times with an indentation
    of its own; but it alone writes all in ASCII, and very small and large numbers as it does.
    """
    try:
        text = msgspec.json.format((flat or _flat)(value), indent=2).decode()
    except (UnicodeEncodeError, OverflowError, msgspec.DecodeError):
        # half a surrogate pair: the name of a file that is no UTF-8
        text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
    # what both encoders before leave as it is, and the standard library does not
    return text.replace("\x7f", "\\u007f").replace("\n", "\n" + " " * depth)


def _flat(value: Any) -> bytes:
    """Return a value on one line, in ASCII, with numbers as the standard library writes them."""
    flat = ENCODER.encode(value)
    return flat if _readable(flat) and not OTHERWISE.search(flat) else _plain(value)


def _readable(flat: bytes) -> bool:
    """Whether nothing in it is escaped by the standard library that the encoder leaves as it is."""
    return flat.isascii() and b"\x7f" not in flat


def _plain(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode()


def _flat_session(value: Any) -> bytes:
    """Return what `_flat` does of a session, whose lists hold whole numbers; half as long."""
    flat = ENCODER.encode(value)
    try:
        return NAMED.sub(_spelled, flat) if _readable(flat) else _plain(value)
    except LookupError:
        return _plain(value)


def _spelled(found: re.Match[bytes]) -> bytes:
    """Return a number behind the end of its name.

    Raises:
        LookupError: it may be a part of a text. A quotation mark behind a letter is not: inside a
            text it stands behind a backslash, and at its beginning behind what is no letter.
    """
    if not LETTER.match(found.string, found.start() - 1):
        raise LookupError
    return b'":' + repr(float(found[0][2:])).encode()


def document(report: Report, *, priced: bool | None = None) -> dict[str, Any]:
    """Return the document as plain data.

    Args:
        report: what to show.
        priced: look prices up; by default where the list is there and not switched off.
    """
    look_up = spending.listed() if priced is None else priced
    tally = Tally()
    sessions = []
    for session, judged in zip(report.sessions, report.judgements, strict=True):
        sheet = spending.sheet(session, look_up=look_up)
        tally.add(session, judged, sheet)
        sessions.append(_session(session, judged, sheet))
    return framed(tally, sessions, report.problems)


def framed(
    tally: Tally, sessions: Spool | list[dict[str, Any]], problems: Problems
) -> dict[str, Any]:
    """Return the document around its sessions, of which ``tally`` was told, with their costs."""
    return {
        "version": VERSION,
        "verdict": tally.verdict,
        "findings": [
            {"code": code, "level": level, "sessions": count}
            for code, level, count in tally.codes.heaviest()
        ],
        "summary": _summary(tally.summary),
        "cost": cost(tally.bill, tally.missed),
        "drift": drift.data(tally.drift),
        "sessions": sessions,
        "problems": {
            "count": problems.count,
            "first": [flat(problem) for problem in problems.kept],
        },
    }


def item(session: Session, judged: Judgement, sheet: Sheet) -> str:
    """Return a session as it stands in the document's list."""
    return _indented(_session(session, judged, sheet), 4, _flat_session)


def _summary(total: Summary) -> dict[str, Any]:
    return {**flat(total), "utilization": _rounded(total.utilization)}


def _session(session: Session, judged: Judgement, sheet: Sheet) -> dict[str, Any]:
    turns = zip(session.turns, sheet.turns, sheet.calls, sheet.main, strict=True)
    return {
        "id": session.id,
        "named": session.named,
        "agent": session.agent,
        "service": session.service,
        "verdict": judged.verdict,
        "findings": [finding(found) for found in judged.findings],
        "summary": _summary(summary([session])),
        "forecast": _forecast(coming([turn for turn in session.turns if turn.main])),
        "cost": cost(sheet.bill, sheet.missed),
        "tools": [tool(one) for one in sheet.tools],
        "turns": [_turn(*one) for one in turns],
    }


def cost(bill: Bill, missed: Missed | None = None) -> dict[str, Any]:
    """Return what calls cost as plain data, in dollars; null is not known."""
    known = bill.known > 0
    lines = ("input", "drift", "output", "reasoning", "request", "rest")
    cached = {"cache_read": bill.reads, "cache_write": bill.writes, "cache_saved": bill.saved}
    told = {name: getattr(bill, name) for name in lines} | cached
    return {
        "total_usd": None if bill.total is None else usd(bill.total),
        "components_usd": _dollars(bill.components),
        **{f"{name}_usd": usd(amount) if known else None for name, amount in told.items()},
        "cache_missed_usd": None if missed is None else usd(missed.cost),
        "cache_missed_tokens": None if missed is None else missed.tokens,
        "calls": bill.known,
        "proportional": bill.proportional,
        "unknown": [
            {"provider": provider, "model": model, "reason": reason, "calls": count}
            for (provider, model, reason), count in spending.reasons(bill).items()
        ],
    }


def _dollars(amounts: Mapping[str, int]) -> dict[str, float]:
    """Return amounts in dollars, the largest first."""
    ordered = sorted(amounts.items(), key=lambda pair: (-pair[1], pair[0]))
    return {name: usd(amount) for name, amount in ordered}


def tool(one: Tool) -> dict[str, Any]:
    """Return what a tool took as plain data."""
    known = flat(one)
    paid = known.pop("cost")
    return {
        **known,
        "calls_per_thousand": _rounded(one.calls_per_thousand),
        "cost_usd": None if paid is None else usd(paid),
    }


def _forecast(known: Forecast | None) -> dict[str, Any] | None:
    """Return when the limit is reached, in turns from the last one on."""
    if known is None:
        return None
    return {
        "turns": _rounded(known.turns, 3),
        "earliest": _rounded(known.earliest, 3),
        "latest": _rounded(known.latest, 3),
        "per_turn": _rounded(known.pace, 3),
        "growth": {name: _rounded(pace, 3) for name, pace in known.growth},
    }


def flat(one: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that holds no other; ``asdict`` copies each value deeply."""
    return {name: getattr(one, name) for name in type(one).__dataclass_fields__}


def finding(found: Finding) -> dict[str, Any]:
    """Return a finding as plain data; shares to six digits."""
    return {
        "code": found.code,
        "level": found.level,
        "message": found.message,
        "remedy": found.remedy,
        "turns": list(found.turns),
        "component": found.component,
        "numbers": {name: _figure(value) for name, value in found.numbers.items()},
        "tokens": found.tokens,
        "cost_usd": _rounded(found.cost_usd, 9),
        "confidence": found.confidence,
    }


def explained(report: Report) -> list[dict[str, Any]]:
    """Return of each session what cut its context and how large components were, as plain data."""
    return [_explained(session) for session in report.sessions]


def explanation(session: Session) -> str:
    """Return what `explained` says of a session, as it stands in the document's list."""
    return _indented(_explained(session), 4)


def _explained(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "triggers": [
            {**flat(one), "turns": list(one.turns), "lowest": _rounded(one.lowest)}
            for one in triggers(session)
        ],
        "sizes": [flat(one) for one in sizes(session)],
    }


def _figure(value: float) -> float:
    return value if isinstance(value, int) else round(value, 6)


def _turn(
    turn: Turn, bill: Bill, paid: Sequence[Spending | None], of_main: Spending | None
) -> dict[str, Any]:
    main = turn.main or CallRecord()
    told = {id(call): call for call in (*turn.calls, main)}
    sizes = {place: _size(call) for place, call in told.items()}
    return {
        "number": turn.number,
        "start_ms": turn.start // MS,
        "end_ms": turn.end // MS,
        "model": main.model,
        **sizes[id(main)],
        "delta": turn.delta,
        "trend": turn.trend,
        "decision": turn.decision,
        "forecast": _rounded(main.forecast),
        "components": _ordered(main.components),
        "cached": _ordered(main.cached),
        "cost_usd": None if bill.total is None else usd(bill.total),
        "costs_usd": _dollars(of_main.components if of_main else {}),
        "details": _details(main.details),
        "inclusions": turn.inclusions,
        "exclusions": _ordered(turn.exclusions),
        "events": [_event(event) for event in turn.events],
        "calls": [
            _call(call, spent, sizes[id(call)])
            for call, spent in zip(turn.calls, paid, strict=True)
        ],
        "contexts": [_context(context) for context in turn.contexts],
    }


def _size(call: CallRecord) -> dict[str, Any]:
    """Return what a call's input comes to; a turn has the numbers of its main call."""
    return {
        "total": call.tokens,
        "method": call.method,
        "error": call.error,
        "limit": call.limit,
        "limit_source": call.limit_source,
        "utilization": _rounded(call.utilization),
        "headroom": call.headroom,
        "reported": _usage(call.usage),
        "drift": call.drift,
        "unattributed": call.unattributed,
    }


def _usage(usage: Usage) -> dict[str, int | None]:
    return {
        "input": usage.input,
        "output": usage.output,
        "cache_read": usage.cache_read,
        "cache_write": usage.cache_write,
        "reasoning": usage.reasoning,
    }


def _call(call: CallRecord, paid: Spending | None, size: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trace_id": call.trace_id,
        "span_id": call.span_id,
        "lineage": call.lineage,
        "agent": call.agent,
        "operation": call.operation,
        "provider": call.provider,
        "api": call.api,
        "model": call.model,
        "tokenizer": call.tokenizer,
        "duration_ms": max(0, call.end // MS - call.start // MS),
        **size,
        "decision": call.decision,
        "compressed_tokens": call.compressed_tokens,
        "duplicate_tokens": call.duplicate_tokens,
        "waste": [flat(one) for one in call.waste],
        "cache_broken_by": call.cache_broken_by,
        "cache_reason": call.cache_reason,
        "cost_usd": None if paid is None else usd(paid.total),
        "called": list(call.called),
        "error_type": call.error_type,
    }


def _context(context: ContextRecord) -> dict[str, Any]:
    return {
        "span_id": context.span_id,
        "name": context.name,
        "included": context.included,
        "excluded": context.excluded,
        "compressed": context.compressed,
        "budget": context.budget,
        "lost": context.lost,
        "inclusions": context.inclusions,
    }


def _event(event: Happening) -> dict[str, Any]:
    known = flat(event)
    known["time_ms"] = known.pop("time") // MS
    return known


def _details(details: Sequence[Detail]) -> list[dict[str, Any]]:
    return [flat(detail) for detail in details]


def _ordered(tokens: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(tokens.items(), key=lambda pair: (-pair[1], pair[0])))


def _rounded(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)
