"""What many sessions add up to, told of one by one: sums, verdicts, codes, and the worst of them."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

from tokentrace.analysis.findings import VERDICTS, Judgement, gravity
from tokentrace.analysis.grouping import summary
from tokentrace.analysis.judging import Codes
from tokentrace.analysis.shapes import Session, Summary
from tokentrace.analysis.spending import Sheet, added
from tokentrace.insights.cost import Bill
from tokentrace.insights.reconcile import Ledger
from tokentrace.insights.repaid import Missed

LARGEST = frozenset({"peak", "peak_turn", "utilization"})  # of a summary; all else is a sum
SUMS = tuple(one.name for one in fields(Summary) if one.name not in LARGEST)


@dataclass(frozen=True, slots=True)
class Entry:
    """A session without its turns.

    Attributes:
        place: in the order of all sessions, from 0.
        session: it, without turns.
        start: when it began, in ns since the epoch.
        total, judgement: what it adds up to, and was found to be.
        paid: what it cost, in `cost.UNIT` parts of a dollar, None where that is not known.
        partly: of some of its calls the cost is not known, and is not in ``paid``.
    """

    place: int
    session: Session
    start: int
    total: Summary
    judgement: Judgement
    paid: int | None = None
    partly: bool = False

    @property
    def badness(self) -> tuple[float, ...]:
        """How bad it is: its verdict, then how near or above its limit, then how large."""
        total = self.total
        above = total.exceeded + total.refusals + total.failures
        return gravity(self.judgement.verdict), above, total.utilization or 0.0, total.peak

    @property
    def newest(self) -> tuple[float, ...]:
        """Its place among those of the same verdict, by time."""
        return gravity(self.judgement.verdict), self.place


class Best:
    """The first of many by a key, the largest first; of equals the one that was told of last.

    Args:
        most: how many are kept.
        key: of an entry.
    """

    def __init__(self, most: int, key: Callable[[Entry], tuple[float, ...]]) -> None:
        self._most, self._key = most, key
        self._heap: list[tuple[tuple[float, ...], int, Entry]] = []

    def add(self, entry: Entry) -> None:
        """Take an entry into account."""
        held = (self._key(entry), entry.place, entry)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, held)
        elif self._heap and held[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, held)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for *_, entry in sorted(self._heap, key=lambda one: one[:2], reverse=True))


class Tally:
    """What sessions add up to.

    Args:
        best: keep entries by keys of their own.
        last: how many of the newest to keep.

    Attributes:
        count: how many sessions were told of.
        summary: of them all.
        verdicts: how many there are of each.
        codes: of their findings.
        bill, missed: what those cost of which a sheet was given, and what the cache missed.
        last: the newest.
        drift: what was counted against what was reported, by model family and day.
    """

    def __init__(self, *best: Best, last: int = 0) -> None:
        self.count = 0
        self.summary = Summary()
        self.verdicts: Counter[str] = Counter()
        self.codes = Codes()
        self.bill = Bill()
        self.missed: Missed | None = None
        self.last: deque[Entry] = deque(maxlen=last)
        self.drift = Ledger()
        self._best = best

    def add(self, session: Session, judged: Judgement, sheet: Sheet | None = None) -> Entry:
        """Take a session into account, the oldest first, and what it cost where that is told."""
        total = summary([session])
        bare = replace(session, turns=())
        paid, unknown = (None, 0) if sheet is None else (sheet.bill.total, sheet.bill.unknown)
        entry = Entry(self.count, bare, session.start, total, judged, paid, bool(unknown))
        self.summary = merged(self.summary, total)
        self.count += 1
        self.verdicts[judged.verdict] += 1
        self.codes.add(judged)
        for turn in session.turns:
            for call in turn.calls:
                self.drift.add(call)
        if sheet is not None:
            self.bill.merge(sheet.bill)
            self.missed = added([self.missed, sheet.missed])
        self.last.append(entry)
        for best in self._best:
            best.add(entry)
        return entry

    @property
    def verdict(self) -> str:
        """The gravest verdict."""
        return max(
            (one for one in VERDICTS if self.verdicts[one]), key=gravity, default=VERDICTS[0]
        )


def merged(before: Summary, after: Summary) -> Summary:
    """Return what two summaries add up to; of equal peaks the first stays."""
    sums = {name: getattr(before, name) + getattr(after, name) for name in SUMS}
    larger = after if after.peak > before.peak or not before.turns else before
    shares = [one for one in (before.utilization, after.utilization) if one is not None]
    share = max(shares, default=None)
    return Summary(peak=larger.peak, peak_turn=larger.peak_turn, utilization=share, **sums)
