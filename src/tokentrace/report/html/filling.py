"""Templates and how values look in them. All that is filled in is made safe, then escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from tokentrace.analysis import CODES, Happening, Session, Turn, wording
from tokentrace.report import cells, comparing, costs, safe, text, verdicts, words

if TYPE_CHECKING:
    from jinja2 import Environment, Template

EVENTS = 500  # of a session, in the table of what happened
LONGEST = 1_000  # characters of a text in the page
MARKS = {"healthy": "✓", "degraded": "◐", "failing": "▲", "critical": "✕"}


def plain(value: Any) -> Any:
    """Return a text without anything that is no visible character; other values as they are."""
    return safe(value, LONGEST) if type(value) is str else value


def raw(trusted: str) -> Any:
    """Return a text of our own that is not to be escaped."""
    from markupsafe import Markup

    return Markup(trusted)  # noqa: S704 - files of this package, paths of numbers, JSON without any markup


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        finalize=plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "tokens": tokens, "signed": signed, "percent": percent, "when": when, "size": size,
        "ranges": ranges, "heat": heat, "tone": tone, "peak": peak, "fullest": fullest,
        "happenings": happenings, "share_of": share_of, "trusted": raw, "short": short, "row": comparing.row,
    }  # fmt: skip
    made.globals |= {
        "title": words.title, "kind": words.kind, "what": words.numbers, "why": words.why, "counted": text.counted,
        "many": cells.many, "output": cells.output, "arrows": cells.ARROWS, "marks": MARKS,
        "models": models, "figure": verdicts.figure, "worth": verdicts.worth, "codes": CODES,
        "money": costs.money, "whole": costs.whole, "paid": costs.paid, "remarks": costs.remarks, "alone": comparing.alone, "groups": comparing.groups,
    }  # fmt: skip
    return made


def template(name: str) -> Template:
    """Return one of the templates beside this file."""
    return _templates().get_template(name)


# ── how values look ──────────────────────────────────────────────────────────────────────────────


def tokens(value: int | None) -> str:
    """Return an integer with separators, a dash for what is not known."""
    return "–" if value is None else f"{value:,}"


def signed(value: int | None) -> str:
    """Return a number with its sign."""
    return "–" if value is None else f"{value:+,}" if value else "0"


def percent(share: float | None) -> str:
    """Return a share of the limit."""
    return "–" if share is None else cells.percent(share)


def short(name: str) -> str:
    """Return a component's name without what all names of sections begin with."""
    return name.removeprefix("section.") or name


def size(turn: Turn) -> str:
    """Return a turn's total with its bound where it is no sure number."""
    if turn.main is None:
        return "–"
    bound = f" ±{turn.main.error:,}" if turn.main.error else ""
    return f"{'' if turn.exact else '~'}{turn.total:,}{bound}"


def tone(share: float | None) -> str:
    """Return how dangerous a share of the limit is."""
    return (
        "" if share is None or share < cells.WATCHED else "bad" if share >= cells.CLOSE else "near"
    )


def heat(turn: Turn) -> Any:
    """Return the class of a cell with a turn's share of the limit."""
    danger = tone(turn.utilization)
    return raw(f' class="{danger}"') if danger else ""


def share_of(name: str, turn: Turn) -> int:
    """Return a component's tokens in a turn."""
    return turn.components.get(name, 0)


def peak(session: Session) -> Turn | None:
    """Return the turn with the largest total, the first of equals."""
    return max(session.turns, key=lambda turn: turn.total, default=None)


def fullest(session: Session) -> Turn | None:
    """Return the turn with the largest share of its limit, None where no limit is known."""
    known = (turn for turn in session.turns if turn.utilization is not None)
    return max(known, key=lambda turn: turn.utilization or 0.0, default=None)


def happenings(session: Session) -> list[tuple[int, Turn, Happening]]:
    """Return the last events with their turns and the turns' places."""
    pairs = ((place, turn) for place, turn in enumerate(session.turns))
    return [(place, turn, event) for place, turn in pairs for event in turn.events][-EVENTS:]


def when(nanoseconds: int) -> str:
    """Return a time to the minute, empty where it is unknown or no time."""
    if not 0 < nanoseconds < 253_402_300_800 * 10**9:
        return ""
    return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%d %H:%M} UTC"


def models(session: Session) -> list[str]:
    """Return the two models that served most turns."""
    seen = Counter(turn.main.model for turn in session.turns if turn.main and turn.main.model)
    return [model for model, _ in seen.most_common(2)]


def ranges(turns: Sequence[int]) -> list[tuple[int, str]]:
    """Return turns as ``(first, "first–last")``, one for each run without a gap."""
    found = wording.runs(sorted(set(turns)))
    return [(first, f"{first}" if first == last else f"{first}–{last}") for first, last in found]
