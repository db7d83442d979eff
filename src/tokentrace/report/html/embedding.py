"""What the charts of a page are drawn from: a still picture, and JSON for the script."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import sub
from typing import Any

from tokentrace.analysis import Happening, Judgement, Report, Session, Turn
from tokentrace.prompt import Detail
from tokentrace.report import json as published
from tokentrace.report import safe, text, words
from tokentrace.report.html.colours import GREY, Palette
from tokentrace.report.html.filling import LONGEST

STACKED = 12  # components with a layer of their own
BOTTOM = ("system", "tools", "server_context")
TOP = ("history", "tool_results", "media", "reasoning", "user", "framing", "other")
WIDTH, HEIGHT = 1000, 240
NEAR = 4  # the limit is in the picture when the peak is at least a quarter of it

# What the script shows of a turn, a call and an assembly, as `report.json` names it.
TURN = (
    *("number", "model", "total", "method", "error", "limit", "limit_source", "utilization"),
    *("headroom", "reported", "drift", "delta", "decision", "forecast", "components", "cached"),
)
CALL = (
    *("agent", "operation", "provider", "model", "duration_ms", "total", "method", "error"),
    *("reported", "decision", "compressed_tokens", "duplicate_tokens", "cache_broken_by"),
    *("cache_reason", "error_type"),
)
USAGE = ("input", "output", "cache_read")
CONTEXT = ("name", "included", "excluded", "compressed", "budget", "lost")
KEPT = {"calls": CALL, "contexts": CONTEXT}
UNSAID: tuple[Any, ...] = (None, "", [], {}, ())
MOST = 40  # calls, assemblies, events of a turn
DETAILS = 8  # of a component


@dataclass(frozen=True, slots=True)
class Layer:
    """A component in a chart: its name, its colour's slot, its tokens turn by turn, its shape."""

    name: str
    slot: int
    tokens: tuple[int, ...]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A session's stacked components.

    Attributes:
        layers: from the bottom up; they add up to the turns' totals.
        names: all components, the largest first.
        slots: colour by name, of those with a layer of their own.
        top: tokens at the upper edge of the picture.
        limit: the path of the limit's line, empty where it is unknown or far above.
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    slots: Mapping[str, int]
    top: int
    limit: str = ""


def chart(session: Session, palette: Palette) -> Chart:
    """Return what is drawn of a session."""
    turns = session.turns
    names = text.largest(turns)
    own = sorted(names[:STACKED], key=_height)
    slots = palette.slots(own)
    layers = [
        (name, slots[name], tuple(turn.components.get(name, 0) for turn in turns)) for name in own
    ]
    if names[STACKED:]:
        rest = f"{len(names) - STACKED} smaller"
        shown = [sum(row) for row in zip(*(tokens for _, _, tokens in layers), strict=True)]
        whole = [sum(turn.components.values()) for turn in turns]
        layers.append((rest, GREY, tuple(map(sub, whole, shown))))
    top = _top(turns)
    return Chart(tuple(_shaped(layers, top)), tuple(names), slots, top, _limit(turns, top))


def _height(name: str) -> tuple[int, int, str]:
    """Return where a component stands in the stack: what stays the same is at the bottom."""
    if name in BOTTOM:
        return 0, BOTTOM.index(name), name
    return (2, TOP.index(name), name) if name in TOP else (1, 0, name)


def _top(turns: Sequence[Turn]) -> int:
    peak = max((turn.total for turn in turns), default=0)
    limits = [turn.limit for turn in turns if turn.limit is not None]
    near = [limit for limit in limits if limit <= NEAR * peak]
    return max(1, round(1.05 * max(peak, *near, 0)))


# ── the still picture ────────────────────────────────────────────────────────────────────────────


def _shaped(layers: Iterable[tuple[str, int, tuple[int, ...]]], top: int) -> Iterator[Layer]:
    """Yield the layers with their paths: a rectangle a turn, each on top of the layer before."""
    base: list[int] = []
    for name, slot, tokens in layers:
        base = base or [0] * len(tokens)
        wide = WIDTH / max(1, len(tokens))
        rows = [
            f"M{place * wide + wide * 0.1:.1f} {_y(below + size, top)}"
            f"h{wide * 0.8:.1f}V{_y(below, top)}h{-wide * 0.8:.1f}z"
            for place, (below, size) in enumerate(zip(base, tokens, strict=True))
            if size
        ]
        yield Layer(name, slot, tokens, "".join(rows))
        base = [below + size for below, size in zip(base, tokens, strict=True)]


def _y(tokens: int, top: int) -> str:
    return f"{HEIGHT * (1 - tokens / top):.1f}"


def _limit(turns: Sequence[Turn], top: int) -> str:
    """Return the limit's line, in one piece for as long as it stays the same."""
    wide = WIDTH / max(1, len(turns))
    path, before = "", None
    for place, turn in enumerate(turns):
        now = turn.limit if turn.limit is not None and turn.limit <= top else None
        if now is not None and now != before:
            path += f"M{place * wide:.1f} {_y(now, top)}"
        path += f"H{(place + 1) * wide:.1f}" if now is not None else ""
        before = now
    return path


# ── the data ─────────────────────────────────────────────────────────────────────────────────────


def data(session: Session, judged: Judgement, chart: Chart) -> str:
    """Return a session as JSON that can stand inside a script element."""
    layers = [[layer.name, layer.slot, layer.tokens] for layer in chart.layers]
    one = Report((session,), judgements=(judged,))
    (plain,) = published.document(one, priced=False)["sessions"]
    known = {
        "turns": [_turn(*pair) for pair in zip(plain["turns"], session.turns, strict=True)],
        "layers": layers,
        "slots": [*chart.slots.items()],
        "top": chart.top,
    }
    held = json.dumps(_clean(known), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return held.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _turn(plain: Mapping[str, Any], turn: Turn) -> dict[str, Any]:
    kept = _some(plain, TURN)
    rows = {name: [_some(row, fields) for row in plain[name]] for name, fields in KEPT.items()}
    rows["events"] = [_happened(event) for event in turn.events]
    for name, found in rows.items():
        kept |= {name: found[:MOST]} if found else {}
        kept |= {f"{name}_left_out": len(found) - MOST} if len(found) > MOST else {}
    details = [asdict(one) for one in _details(turn)]
    return kept | ({"details": details} if details else {})


def _happened(event: Happening) -> dict[str, Any]:
    """Return an event in the words of every report."""
    said = words.kind(event)
    facts = {
        "kind": event.kind,
        "says": "" if said == event.kind else said,
        "name": event.name,
        "what": words.numbers(event),
        "why": words.why(event),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _details(turn: Turn) -> Iterator[Detail]:
    """Yield the largest details of each component."""
    seen: Counter[str] = Counter()
    found = turn.main.details if turn.main else ()
    for one in sorted(found, key=lambda one: -one.tokens):
        seen[one.component] += 1
        if seen[one.component] <= DETAILS:
            yield one


def _some(row: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return those ``fields`` of a row that say something; mappings of names become pairs."""
    kept = {name: _some(row[name], USAGE) if name == "reported" else row[name] for name in fields}
    kept |= {name: [*kept[name].items()] for name in ("components", "cached") if name in kept}
    return {name: value for name, value in kept.items() if value not in UNSAID}


def _clean(value: Any) -> Any:
    """Return ``value`` with all its texts safe to show."""
    if isinstance(value, str):
        return safe(value, LONGEST)
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    return [_clean(one) for one in value] if isinstance(value, (list, tuple)) else value
