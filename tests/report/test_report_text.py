"""The report in a terminal: what it shows at which width, and what it never lets through."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from tokentrace import analysis, schema
from tokentrace.analysis.findings import Finding, Judgement
from tokentrace.analysis.optimising import sizes
from tokentrace.prompt import Event
from tokentrace.report import html, safe, text

GOLDEN = Path(__file__).parent / "golden"


def shown(report, width=80, **options):
    """Return what the report prints, without the spaces that lines end with."""
    file = io.StringIO()
    text.render(report, Console(width=width, file=file, **options))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


@pytest.mark.parametrize("width", [80, 200])
def test_report_looks_as_it_was_approved(report, width):
    """The whole report is what somebody looked at and found good, at both widths."""
    assert shown(report, width) == (GOLDEN / f"{width}.txt").read_text("utf-8")


@pytest.mark.parametrize("width", [48, 60, 80, 100, 132, 200, 320])
def test_no_line_is_wider_than_the_terminal(report, width):
    """Columns are left out and lines cut at words, so that nothing wraps."""
    body = shown(report, width).split("1 damaged record")[0]
    assert max(cell_len(line) for line in body.splitlines()) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 132, 200])
def test_components_of_a_row_sum_up_to_its_total(report, width):
    """What has no column of its own is in other: nothing is left out of the sum."""
    lines = shown(report, width).splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("turn "))
    place = lines[head].split().index("total")
    rows = [line.replace(",", "").split() for line in lines[head + 1 : head + 7]]
    assert [sum(map(int, row[1:place])) for row in rows] == [int(row[place]) for row in rows]


def test_names_of_their_own_in_each_turn_cost_no_more(make, monkeypatch):
    """Of a thousand components only those that could fit are tried; the rest is in other."""
    call, _ = make
    tried: list[int] = []
    fitting = text._components
    monkeypatch.setattr(text, "_components", lambda *args: tried.append(args[-1]) or fitting(*args))
    calls = [
        call(
            1, span_id=f"{n:016x}", turn=n, start=n, components={f"d{n}": 10, f"e{n}": 5}, tokens=15
        )
        for n in range(1, 501)
    ]
    (session,) = analysis.sessions(calls)
    columns = text.columns(session.turns, 100)
    assert max(tried) < 40
    other = next(one for one in columns if one.heading == "other")
    own = columns[1 : columns.index(other)]
    sums = [sum(int(column.cells[n].plain) for column in (*own, other)) for n in range(500)]
    assert sums == [15] * 500
    known = {size.name: size for size in sizes(session)}
    assert (known["d3"].first, known["d3"].peak, known["d3"].peak_turn, known["d1"].first) == (
        0,
        10,
        3,
        10,
    )


def test_estimates_bear_a_tilde(make):
    """A total that is no sure number says so beside the number, and its bound stands above."""
    call, _ = make
    page = shown(analysis.Report(analysis.sessions([call(2, method="estimated", error=55)])))
    assert "~3,253" in page
    assert "at most ±55" in page


def test_the_peak_has_its_own_share_of_the_limit(make):
    """The largest prompt need not be the fullest: another model has another limit."""
    call, _ = make
    small = call(1, components={"user": 900}, tokens=900, limit=1_000)
    large = call(2, components={"user": 5_000}, tokens=5_000, limit=100_000)
    report = analysis.Report(analysis.sessions([small, large]))
    out = shown(report, 120)
    assert "peak 5,000 (5.0%) in turn 2 · at most 90.0% of a limit" in out
    page = html.render(report)
    assert "of 1,000" in page.partition("utilization")[2].partition("</dl>")[0]


def test_unknown_limit_is_a_dash(make):
    """Without a limit there is no share, no limit in the head and no invented number."""
    call, _ = make
    page = shown(analysis.Report(analysis.sessions([call(2, limit=None, limit_source="")])))
    row = next(line for line in page.splitlines() if line.startswith("   2"))
    assert "limit" not in page
    assert row.split()[-4:-2] == ["-", "-"]


def test_turn_without_a_call_is_a_row_of_dashes(make):
    """An assembly whose call never came still shows as a turn."""
    call, assembly = make
    found = analysis.sessions([call(1), assembly(2)])
    row = next(x for x in shown(analysis.Report(found)).splitlines() if x.startswith("   2"))
    assert row.split()[-5:] == ["-", "-", "-", "-", "-"]


EVIL = "\x1b[31mred\x1b]0;title\x07\u202egpj.exe\u200b\n[bold]x[/bold]\ud800"


def test_names_cannot_drive_the_terminal(make):
    """Escapes, bidi controls, newlines and markup in names are shown or dropped, never obeyed."""
    call, assembly = make
    event = (schema.COMPONENT_EXCLUDED, {"name": EVIL, "tokens": 5, "reason": EVIL})
    components = {EVIL: 3_253}
    records = [
        call(2, session=EVIL, agent=EVIL, model=EVIL, tokenizer=EVIL, decision=EVIL,
             components=components, limit_source=EVIL, trend=EVIL,
             events=(Event(schema.LIMIT_WARNING, {"grew": (EVIL,), "tokens": 3, "limit": 9}),)),
        assembly(2, event, session=EVIL),
    ]  # fmt: skip
    page = shown(analysis.Report(analysis.sessions(records)), 200)
    assert not {"\x1b", "\x07", "\u202e", "\u200b", "\ud800"} & set(page)
    assert "[bold]x[/bold]" in page


def test_safe_cuts_what_is_long_and_keeps_what_is_foreign():
    """Letters of every script stay; a text of any length comes back bounded."""
    assert safe("Größe 大小 حجم") == "Größe 大小 حجم"
    assert len(safe("x" * 10_000)) == 200


def test_wide_names_keep_columns_in_line(make):
    """A component in wide characters takes the cells that it needs."""
    call, _ = make
    page = shown(analysis.Report(analysis.sessions([call(2, components={"会話の履歴": 3_253})])))
    head, row = (line for line in page.splitlines()[3:5])
    assert cell_len(head[: head.index("total")]) == row.index("3,253", 15)


def test_no_color_is_obeyed(report, monkeypatch):
    """NO_COLOR leaves no colour in a terminal that has them."""
    monkeypatch.setenv("NO_COLOR", "1")
    page = shown(report, force_terminal=True)
    assert "\x1b[33m" not in page
    assert "\x1b[31m" not in page


def test_colour_marks_danger(report, monkeypatch):
    """In a terminal a warning is yellow and a refusal red."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    page = shown(report, force_terminal=True, color_system="standard")
    assert "\x1b[33mwarn" in page
    assert "\x1b[1;31mrefuse" in page


def test_many_sessions_are_sums_and_the_worst(make):
    """Of many sessions the worst have a line, the first of them a table, and the rest is counted."""
    call, _ = make
    found = analysis.sessions(
        call(
            1, session=f"s-{n:02}", span_id=f"{n + 1:016x}", start=n,
            **({"tokens": 130_000} if n == 7 else {}),
        )
        for n in range(25)
    )  # fmt: skip
    page = shown(analysis.Report(found))
    assert page.startswith("25 sessions · 25 turns, 25 calls\n")
    assert "s-24 · devops" not in page
    assert "and 5 more sessions" in page
    assert "s-07 · devops" in page
    lines = page.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("session "))
    assert [line.split()[0] for line in lines[first + 1 : first + 3]] == ["s-07", "s-24"]
    assert "\ns-04 " not in page
    assert "limit.exceeded" in page.partition("finding")[2]


def test_a_note_is_called_one_and_money_says_for_what(make):
    """What lowers no verdict is no healthy finding, and what breaks cost is told by the break."""
    call, _ = make
    told = Finding(
        "cache.broken", "healthy", "phase broke it", turns=(1,), numbers={"breaks": 3}, tokens=1,
        cost_usd=0.0007,
    )  # fmt: skip
    report = analysis.Report(
        analysis.sessions([call(1)]), judgements=(Judgement("healthy", (told,)),)
    )
    assert "note        phase broke it\n            cache.broken · $0.000700 a break" in shown(
        report
    )


def test_few_sessions_are_an_overview_and_the_newest(make):
    """Of some sessions each has a line, only the newest a table."""
    call, _ = make
    found = analysis.sessions(
        call(1, session=f"s-{n:02}", span_id=f"{n + 1:016x}", start=n) for n in range(9)
    )
    page = shown(analysis.Report(found))
    assert page.count("\nturn ") == 1
    assert "s-08 · devops" in page
    assert "\ns-00 " in page or page.startswith("session")


def test_events_are_bounded_and_the_rest_is_counted(make):
    """A turn with hundreds of exclusions does not flood the terminal."""
    call, assembly = make
    many = [(schema.COMPONENT_EXCLUDED, {"name": f"c{n}", "tokens": 1}) for n in range(100)]
    page = shown(analysis.Report(analysis.sessions([call(2), assembly(2, *many)])))
    assert page.count("excluded    c") == text.EVENTS
    assert "60 earlier events are left out" in page


def test_nothing_at_all_is_still_a_page():
    """A report without sessions prints nothing and does not fail."""
    assert shown(analysis.Report(())) == ""
