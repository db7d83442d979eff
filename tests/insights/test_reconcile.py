"""Counted against reported over many sessions: by model family, by day, and since when."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import jsonschema
import pytest
from rich.console import Console

from tokentrace.analysis import Report, Thresholds, judge, sessions
from tokentrace.insights.reconcile import DAYS, FAMILIES, Ledger
from tokentrace.prompt import CallRecord, Usage
from tokentrace.readers import Problems
from tokentrace.report import json as as_json
from tokentrace.report import markdown, text

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def call(day: int = 0, away: int = 0, tokens: int = 1_000, **more) -> CallRecord:
    at = int((START + timedelta(days=day)).timestamp()) * 10**9
    known = {"provider": "anthropic", "model": "claude-sonnet-4-6", "method": "calibrated"}
    usage = Usage(input=tokens + away)
    parts = {"components": {"user": tokens}, "tokens": tokens, "error": 20, "start": at}
    return CallRecord(**{**known, **parts, "end": at + 1, "usage": usage, **more})


def ledger(*calls: CallRecord) -> Ledger:
    made = Ledger()
    for one in calls:
        made.add(one)
    return made


def test_sums_by_family_and_day():
    """Models of one family are one row; what lies inside its bound is not beyond."""
    made = ledger(call(0, 20), call(0, -21), call(1, 50, model="claude-sonnet-4-5"))
    (row,) = made
    assert row.provider == "anthropic"
    assert "claude" in row.family
    assert (row.whole.calls, row.whole.beyond, row.whole.outside) == (3, 2, 29)
    assert (row.whole.counted, row.whole.reported) == (3_000, 3_049)
    assert list(row.days) == ["2026-11-01", "2026-11-02"]
    assert [one.calls for one in row.days.values()] == [2, 1]


def test_since_when():
    """A day from which on calls lie beyond their bounds is told where days without came before."""
    days = [call(day, 100 if day >= 5 else 3) for day in range(10) for _ in range(4)]
    (row,) = ledger(*reversed(days))
    assert row.since == "2026-11-06"
    assert row.whole.often
    assert row.away == 100


@pytest.mark.parametrize(
    "away",
    [
        pytest.param(lambda day: 100, id="from the first day on"),
        pytest.param(lambda day: 3, id="never"),
        pytest.param(lambda day: 100 if day % 4 == 1 else 3, id="now and then, a call at a time"),
    ],
)
def test_no_day_is_invented(away):
    """Where nothing changed no day is named."""
    many = 1 if away(2) == 3 else 4
    (row,) = ledger(*(call(day, away(day)) for day in range(12) for _ in range(many)))
    assert row.since == ""


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (call(tokens=99), "small"),
        (call(away=1_001), "wide"),
        (call(away=-501), "wide"),
        (call(usage=Usage()), "unreported"),
        (call(usage=Usage(input=-5)), "wide"),
        (call(decision="refuse"), "unreported"),
        (call(method=""), "unreported"),
    ],
)
def test_what_is_no_evidence(odd, why):
    """Such calls are in no row, and are counted by why."""
    made = ledger(odd)
    assert list(made) == []
    assert dict(made.left) == {why: 1}


def test_bounded():
    """Families and days beyond the most are not kept; calls of such families are counted."""
    made = ledger(*(call(model=f"own-{n}") for n in range(FAMILIES + 3)))
    assert len(list(made)) == FAMILIES
    assert made.left["families"] == 3
    (row,) = ledger(*(call(day) for day in range(DAYS + 7)))
    assert len(row.days) == DAYS
    assert row.whole.calls == DAYS + 7
    assert min(row.days) == "2026-11-08"


@pytest.mark.parametrize("start", [0, -1, 2**70])
def test_calls_without_a_time(start):
    """They are in the sums, under a day without a name."""
    (row,) = ledger(call(start=start, end=start))
    assert list(row.days) == [""]
    assert row.since == ""


def drifted() -> Report:
    calls = [
        call(day, 80 if day >= 3 else 3, session=f"s{day}", turn=n, span_id=f"{day}-{n}")
        for day in range(6)
        for n in range(1, 5)
    ]
    found = sessions(calls)
    return Report(found, Problems(), [judge(one, Thresholds()) for one in found])


def test_told_in_every_form():
    """Text and Markdown tell the sentence, JSON the numbers, by the published schema."""
    report = drifted()
    console = Console(record=True, width=400, file=io.StringIO())
    text.render(report, console)
    sentence = "12 calls of 24 to claude"
    assert sentence in console.export_text()
    assert "since 2026-11-04" in markdown.render(report)
    made = json.loads(as_json.render(report))
    jsonschema.validate(made, json.loads(as_json.schema()))
    (family,) = made["drift"]["families"]
    assert family["since"] == "2026-11-04"
    assert family["outside"] is True
    assert sum(one["calls"] for one in family["days"]) == family["calls"] == 24
    assert family["outside_tokens"] == 12 * 80


def test_nothing_to_tell():
    """Counts inside their bounds are no sentence."""
    calls = [call(day, 3, session=f"s{day}", span_id=str(day)) for day in range(4)]
    found = sessions(calls)
    report = Report(found, Problems(), [judge(one, Thresholds()) for one in found])
    assert "drift:" not in markdown.render(report)
