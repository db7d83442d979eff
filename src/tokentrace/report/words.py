"""What a session is called and what happened in it, in the words of every report."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from tokentrace.analysis.shapes import COMPRESSED, DISAGREEMENT, LOW, Happening, Session
from tokentrace.report import cells, safe

TOKENS = " tokens"
KINDS = {LOW: "low use", DISAGREEMENT: "disagrees"}


def title(session: Session) -> str:
    """Return a session's name, or what stands for it."""
    name = safe(session.id) or "unnamed"
    return name if session.named else f"lineage {name[:12]}"


def kind(event: Happening) -> str:
    """Return what kind of event it is."""
    return KINDS.get(event.kind, event.kind)


def head(turn: str, event: Happening, names: int) -> Text:
    """Return what stands before the numbers of an event, its name in ``names`` terminal cells."""
    line = Text(f"{turn}  ").append(f"{kind(event):<10}  ", cells.EVENT_STYLES[event.kind])
    name = cells.cut(safe(event.name), names)
    return line.append(f"{name}{' ' * (names - cell_len(name) + 2)}" if name else "")


def numbers(event: Happening) -> str:
    """Return the numbers of an event."""
    if event.kind == COMPRESSED and event.before is not None and event.after is not None:
        text = f"{event.before:,} → {event.after:,} ({event.after - event.before:+,})"
    elif event.kind == DISAGREEMENT:
        text = f"{event.before or 0:,} and {event.after or 0:,}"
    elif event.limit:
        bound = f" ±{event.error:,}" if event.error else ""
        share = cells.percent(event.tokens / event.limit)
        text = f"{event.tokens:,}{bound} of {event.limit:,} ({share})"
    else:
        text = f"{event.tokens:,}{TOKENS}" if event.tokens else ""
    return text


def why(event: Happening) -> str:
    """Return the reason of an event, behind the piece of the component that it is about."""
    return safe(": ".join(filter(None, (event.piece, event.reason))))
