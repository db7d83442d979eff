"""A report or a comparison as Markdown, for a comment on a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokentrace.analysis import Entry, Finding, Report, Tally, spending
from tokentrace.analysis.comparing import Comparison
from tokentrace.report import cells, drift, overview, safe, words
from tokentrace.report.comparing import alone, groups, row, verdict
from tokentrace.report.costs import MISSING, each, paid, remarks, whole

MARKS = {"healthy": "🟢", "degraded": "🟡", "failing": "🔴", "critical": "⛔"}
ESCAPED = str.maketrans({one: f"\\{one}" for one in "\\|`*_<>[]@#~"})
HEAD = ("session", "verdict", "turns", "peak", "use", "excluded", "compressed")


def render(report: Report, *, costs: bool = False) -> str:
    """Return the verdict, a line a session (the newest 20) and their findings; and the costs."""
    pairs = zip(report.sessions, report.judgements, strict=True)
    return told(overview.told(pairs, priced=costs)[0], report.problems.count, costs=costs)


def told(tally: Tally, skipped: int, *, costs: bool = False) -> str:
    """Return what `render` does of sessions that were told of.

    Args:
        tally: all of them, with the newest 20, and what they cost if asked.
        skipped: how many records were damaged.
        costs: whether to say what they cost.
    """
    return "\n".join([*_report(tally, skipped), *(_costs(tally) if costs else ())]) + "\n"


def _costs(tally: Tally) -> Iterator[str]:
    """Yield what each session cost, and of what all cost, line by line."""
    bill = tally.bill
    yield f"\n**cost {_name(whole(bill))}**\n"
    named = [(_name(name), _name(amount)) for name, amount in paid(bill)]
    if bill.total is not None:
        yield from _table(("component", "cost"), named)
    if tally.count > 1:
        yield ""
        shown = each(tally.last, bill)
        titles = [words.title(one.session) for one in tally.last]
        rows = [(_name(title), _name(text)) for title, text in zip(titles, shown, strict=True)]
        yield from _table(("session", "cost"), rows)
    missing = () if spending.listed(asked=True) else (MISSING,)
    yield from (f"\n{_name(one)}" for one in (*remarks(bill, tally.missed), *missing))


def _report(tally: Tally, skipped: int) -> Iterator[str]:
    yield f"### {MARKS[tally.verdict]} tokentrace: {tally.verdict}"
    if tally.last:
        yield ""
        yield from _table(HEAD, list(map(_line, tally.last)))
    if older := tally.count - len(tally.last):
        yield f"\nand {older:,} older sessions"
    for entry in tally.last:
        if entry.judgement.findings:
            yield f"\n**{_name(words.title(entry.session))}**\n"
            yield from _findings(entry.judgement.findings)
    if tally.count > 1:
        yield from (f"\n{_name(sentence)}" for sentence in drift.sentences(tally.drift))
    if skipped:
        yield f"\n{cells.many(skipped, 'damaged record')} skipped"


def _line(entry: Entry) -> tuple[str, ...]:
    total = entry.total
    use = "-" if total.utilization is None else cells.percent(total.utilization)
    figures = (total.turns, total.peak), (total.excluded_tokens, total.saved_tokens)
    (turns, peak), (excluded, saved) = ([f"{one:,}" for one in pair] for pair in figures)
    named = _name(words.title(entry.session))
    return named, entry.judgement.verdict, turns, peak, use, excluded, saved


def compared(changed: Comparison) -> str:
    """Return what changed between two runs."""
    return "\n".join(_compared(changed)) + "\n"


def _compared(changed: Comparison) -> Iterator[str]:
    for pair in changed.pairs:
        yield f"### {MARKS[pair.after.verdict]} tokentrace: {verdict(pair)}"
        yield f"\n{_name(words.title(pair.session))} against {_name(words.title(pair.base))}"
        for heading, changes in groups(pair):
            yield ""
            rows = [(_name(first), *rest) for first, *rest in map(row, changes)]
            yield from _table((heading, "before", "now", "change"), rows)
        for title, found in (("new", pair.new), ("gone", pair.gone)):
            if found:
                yield f"\n**{title}**\n"
                yield from _findings(found)
        yield ""
    yield from map(_name, alone(changed))


def _findings(found: Sequence[Finding]) -> Iterator[str]:
    for one in found:
        yield f"- {MARKS[one.level]} `{one.code}`: {_name(one.message)}. To do: {_name(one.remedy)}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for cells_of_row in rows:
        yield f"| {' | '.join(cells_of_row)} |"


def _name(text: str) -> str:
    """Return a text that is no markup, whoever chose it."""
    return safe(text, 400).translate(ESCAPED)
