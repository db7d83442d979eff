"""What was counted against what providers reported, by model family and day. Pure sums over records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tokentrace import providers
from tokentrace.prompt import CallRecord

SMALL = 100  # tokens: a smaller prompt is no evidence
WIDE = 2  # times: what is further off was not counted by any tokenizer
OFTEN = 0.1  # share of the calls beyond their bound: it holds in 95 of 100
FEWEST = 3  # such calls
FAMILIES = 64  # of which days are kept
DAYS = 400  # of a family, the newest
SECOND = 10**9


@dataclass(slots=True)
class Sum:
    """What calls add up to.

    Attributes:
        calls: how many, of those whose report can be the size of their prompt.
        beyond: how many of them were reported outside the bound of their count.
        counted, reported: their tokens.
        outside: tokens, reported less counted, of those beyond.
    """

    calls: int = 0
    beyond: int = 0
    counted: int = 0
    reported: int = 0
    outside: int = 0

    @property
    def often(self) -> bool:
        """Whether more lie beyond their bounds than a bound promises."""
        return self.beyond >= FEWEST and self.beyond > OFTEN * self.calls

    def add(self, call: CallRecord) -> None:
        """Take a call into account."""
        reported = call.usage.input or 0
        away = reported - call.tokens
        self.calls += 1
        self.counted += call.tokens
        self.reported += reported
        if abs(away) > call.error:
            self.beyond += 1
            self.outside += away


@dataclass(frozen=True, slots=True)
class Row:
    """One model family's calls.

    Attributes:
        provider, family: whose; the model's own name where its family is not known.
        whole: of all days.
        days: of each day by its date in UTC, the oldest first; of calls without a time, "".
        since: the day from which on calls lie beyond their bounds, where none did so often before;
            empty where they do so from the first day on, or nowhere.
    """

    provider: str
    family: str
    whole: Sum
    days: Mapping[str, Sum]
    since: str = ""

    @property
    def away(self) -> int:
        """Tokens by which a call beyond its bound is off, on the average."""
        return round(self.whole.outside / self.whole.beyond) if self.whole.beyond else 0


@dataclass(slots=True)
class _Family:
    whole: Sum = field(default_factory=Sum)
    days: dict[str, Sum] = field(default_factory=dict)


class Ledger:
    """Grows by calls; bounded by families and days.

    Attributes:
        left: calls that are in no row, by why: ``small``, ``wide``, ``unreported``, ``families``.
    """

    def __init__(self) -> None:
        self._families: dict[tuple[str, str], _Family] = {}
        self.left: Counter[str] = Counter()

    def add(self, call: CallRecord) -> None:
        """Take a call into account, where its report tells anything about its count."""
        if why := _why_not(call):
            self.left[why] += 1
            return
        key = (call.provider, _family(call.provider, call.model))
        kept = self._families.get(key)
        if kept is None:
            if len(self._families) >= FAMILIES:
                self.left["families"] += 1
                return
            kept = self._families[key] = _Family()
        kept.whole.add(call)
        day = _day(call.start)
        if day not in kept.days and len(kept.days) >= DAYS:
            del kept.days[min(kept.days)]
        kept.days.setdefault(day, Sum()).add(call)

    def __iter__(self) -> Iterator[Row]:
        """Yield a row a family; the one with the most tokens reported outside its bounds first."""
        rows = (
            Row(provider, family, kept.whole, days, _since(days))
            for (provider, family), kept in self._families.items()
            for days in (dict(sorted(kept.days.items())),)
        )
        yield from sorted(rows, key=lambda row: (-abs(row.whole.outside), row.provider, row.family))


def believed(call: CallRecord) -> bool:
    """Whether what was reported can be the size of the prompt: stand-ins report any number."""
    return not _why_not(call)


def _why_not(call: CallRecord) -> str:
    reported = call.usage.input
    if reported is None or not call.method or call.decision == "refuse":
        return "unreported"
    if call.tokens < SMALL:
        return "small"
    return "" if call.tokens / WIDE <= reported <= call.tokens * WIDE else "wide"


def _family(provider: str, model: str) -> str:
    _, known = providers.find(model, provider)
    return (known.family if known else "") or model


def _day(start: int) -> str:
    if start <= 0:
        return ""
    try:
        return datetime.fromtimestamp(start // SECOND, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _since(days: Mapping[str, Sum]) -> str:
    """Return the first of the days on which calls lie beyond, where days without that came before."""
    dated = [(day, one) for day, one in days.items() if day]
    first = next((place for place, (_, one) in enumerate(dated) if one.often), 0)
    if not first:
        return ""
    before, after = Sum(), Sum()
    for place, (_, one) in enumerate(dated):
        side = after if place >= first else before
        side.calls += one.calls
        side.beyond += one.beyond
    return dated[first][0] if after.often and not before.often else ""
