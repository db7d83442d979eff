"""`tokentrace report --cost` and `--tools`: sums, unknowns, every form."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tokentrace import analysis, cli
from tokentrace.analysis import spending
from tokentrace.insights.cost import UNIT
from tokentrace.prompt import CallRecord, Detail, Usage
from tokentrace.providers import prices
from tokentrace.report import costs, html, markdown
from tokentrace.report import json as document

pytest.importorskip("genai_prices")
SECOND = 10**9
BEGIN = 1_760_000_000 * SECOND


def call(number, **changes):
    """Return a call of a listed model in a turn of its own."""
    held = {"system": 400, "tools": 60, "history": 100 * number, "user": 20, "framing": 10}
    plain = {
        "trace_id": f"{number:032x}", "span_id": f"{number:016x}", "session": "talk", "lineage": "l",
        "start": BEGIN + number * SECOND, "end": BEGIN + number * SECOND + 1, "turn": number,
        "provider": "openai", "model": "gpt-4o", "tokens": sum(held.values()), "method": "exact",
        "components": held, "details": (Detail("tools", "mcp__hub__look", 40), Detail("tools", "mcp__hub__ask", 20)),
        "called": ("mcp__hub__look",) if number > 1 else (),
        "usage": Usage(sum(held.values()) + 3, 50, 0),
    }  # fmt: skip
    return CallRecord(**{**plain, **changes})


def session(*calls):
    """Return the one conversation of these calls."""
    (found,) = analysis.sessions(calls)
    return found


@pytest.fixture
def talk():
    """Three turns, the last of an unknown model."""
    return session(call(1), call(2), call(3, model="my-own"))


def test_turns_add_up_to_the_session(talk):
    """A session costs what its turns cost, line by line; what is unknown is in none."""
    sheet = spending.sheet(talk, look_up=True)
    assert sheet.bill.total == sum(one.total for one in sheet.turns if one.total is not None)
    assert sheet.turns[2].total is None
    assert sheet.bill.unknown == {("openai", "my-own", "no price"): 1}
    assert sum(amount for _, amount in costs.lines(sheet.bill)) == sheet.bill.total


def test_without_the_list_only_what_was_recorded_is_known(talk):
    """Where prices cannot be looked up, a record's own cost still counts."""
    assert spending.sheet(talk, look_up=False).bill.total is None
    told = session(call(1, cost=0.25, costs={"system": 0.125}), call(2))
    bill = spending.sheet(told, look_up=False).bill
    assert (bill.total, bill.rest) == (UNIT // 4, UNIT // 8)
    assert bill.unknown == {("openai", "gpt-4o", spending.NO_LIST): 1}


def test_json_lines_add_up_to_the_total(talk):
    """In the document, components and other lines are the total to less than a billionth of a cent."""
    made = document.document(analysis.Report((talk,)), priced=True)
    told = made["cost"]
    lines = (told[f"{name}_usd"] for name in ("drift", "output", "reasoning", "request", "rest"))
    assert sum(told["components_usd"].values()) + sum(lines) == pytest.approx(
        told["total_usd"], abs=1e-13
    )
    turns = made["sessions"][0]["turns"]
    assert turns[2]["cost_usd"] is None
    assert turns[0]["cost_usd"] + turns[1]["cost_usd"] == pytest.approx(
        told["total_usd"], abs=1e-13
    )
    assert told["unknown"] == [
        {"provider": "openai", "model": "my-own", "reason": "no price", "calls": 1}
    ]


def test_json_without_prices_is_null(talk):
    """What is not known is null, never 0."""
    told = document.document(analysis.Report((talk,)), priced=False)["cost"]
    assert {
        value for name, value in told.items() if name.endswith("_usd") and name != "components_usd"
    } == {None}


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(None, "unknown"), (0, "$0.00"), (UNIT, "$1.000"), (1_234 * UNIT, "$1,234.00"), (-UNIT // 8, "-$0.1250"),
     (13_127 * UNIT // 10**8, "$0.0001313"), (1, "<$0.00000001"), (-1, "-<$0.00000001")],
)  # fmt: skip
def test_amounts_have_four_figures(amount, shown):
    """Amounts are shown in dollars with four figures; a tiny one is not shown as nothing."""
    assert costs.money(amount) == shown


def value(text):
    """Return the steps of an amount as it is shown; what is less than one is none."""
    if "<" in text:
        return 0
    number = int(re.sub(r"[$,.-]", "", text))
    return -number if text.startswith("-") else number


@given(st.lists(st.integers(-(10**30), 10**30) | st.none(), max_size=30), st.integers(2, 8))
def test_shown_amounts_add_up_as_they_are_shown(amounts, places):
    """Whatever is rounded, shown lines come to the shown sum, and none is a step off."""
    known = [one for one in amounts if one is not None]
    shown = costs.adding(amounts, places)
    (whole,) = costs.adding([sum(known)], places)
    assert sum(value(one) for one in shown if one != "unknown") == value(whole)
    assert [one == "unknown" for one in shown] == [one is None for one in amounts]
    step = UNIT // 10**places
    told = [one for one in shown if one != "unknown"]
    assert all(abs(value(text) * step - one) < step for one, text in zip(known, told, strict=True))


def columns(lines, *places):
    """Return the amounts of some columns, counted from the right, of the rows of a table."""
    rows = [re.findall(r"-?<?\$[\d,.]+", line) for line in lines]
    return [[row[at] for at in places] for row in rows if len(row) >= len(places)]


@pytest.mark.parametrize("form", [(), ("--markdown",)])
def test_tables_add_up_as_they_are_shown(tmp_path, form):
    """Lines come to the total, a turn's input and output to its cost, sessions to their sum."""
    calls = [
        call(
            n, session=f"s{n % 3}", lineage=f"l{n % 3}", usage=Usage(1_111 * n + 7, 13 * n, 37 * n)
        )
        for n in range(1, 25)
    ]
    ran = run(written(tmp_path / "t", *calls), "--cost", *form).stdout
    whole = re.search(r"(?:cost of all 3 sessions  |\*\*cost )(\$[\d.]+)", ran).group(1)
    sessions = re.findall(r"^(?:\| )?s\d (?:\||.*  ) *(\$[\d.]+)", ran, re.MULTILINE)
    assert sum(map(value, sessions)) == value(whole)
    if form:
        lines = re.findall(r"^\| (?!s\d)[a-z]\w+ \| (\$[\d.]+)", ran, re.MULTILINE)
        assert sum(map(value, lines)) == value(whole)
        return
    one, rest = ran[ran.index("cost  $") :].split("cached tokens were laid", 1)
    lines = re.findall(r"^\w+ .*(\$[\d.]+)", one[: one.index("cache:")], re.MULTILINE)
    assert sum(map(value, lines[1:-1])) == value(lines[-1])
    turns = columns(rest[: rest.index("tools:")].splitlines(), -3, -2, -1)
    assert len(turns) > 5
    assert all(value(took) + value(gave) == value(paid) for took, gave, paid in turns)


@pytest.mark.parametrize("width", ["80", "200"])
def test_no_number_is_cut(tmp_path, width):
    """In a narrow terminal names are cut, and never an amount or a count."""
    long = (
        Detail("tools", "mcp__hub__" + "look_" * 8, 123_456),
        Detail("tools", "mcp__hub__ask", 20),
    )
    calls = [call(n, details=long, usage=Usage(900_000, 50, 0)) for n in range(1, 9)]
    ran = CliRunner().invoke(
        cli.app,
        ["report", written(tmp_path / "t", *calls), "--cost"],
        env={"COLUMNS": width, "NO_COLOR": "1"},
    )
    table = ran.stdout[ran.stdout.index("tools: tokens") :].splitlines()[1:4]
    assert table[0].split()[-8:] == [
        "definition",
        "carried",
        "results",
        "calls",
        "a",
        "1,000",
        "turns",
        "cost",
    ]
    assert all(len(line.rstrip()) <= int(width) for line in table)
    assert re.search(r" 123,456 +987,648 +0 +0 +0.00 +8 +\$[\d.]+$", table[1].rstrip())
    assert (" hub " in table[1]) is (width == "200")


def written(folder, *calls):
    """Write records as an agent would, for the command to read."""
    folder.mkdir()
    lines = [json.dumps(_span(one)) for one in calls]
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n")
    return str(folder)


def _span(one):
    from tokentrace import schema

    def value(given):
        if isinstance(given, tuple):
            return {"arrayValue": {"values": [value(item) for item in given]}}
        kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
        return {kinds[type(given)]: str(given) if type(given) is int else given}

    held = [{"key": key, "value": value(known)} for key, known in schema.dump(one).items()]
    span = {"traceId": one.trace_id, "spanId": one.span_id, "name": "chat", "startTimeUnixNano": str(one.start),
            "endTimeUnixNano": str(one.end), "attributes": held}  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "tokentrace"}, "spans": [span]}]}]}


def run(*words):
    """Run the command."""
    return CliRunner().invoke(cli.app, ["report", *words], env={"COLUMNS": "100", "NO_COLOR": "1"})


def test_the_command_shows_all_of_it(tmp_path):
    """By component, by turn, by tool and group, with the total and what is unknown."""
    ran = run(written(tmp_path / "t", call(1), call(2), call(3, model="my-own")), "--cost")
    assert ran.exit_code == 0
    rows = {line.split()[0]: line for line in ran.stdout.splitlines() if line.split()}
    assert re.search(r"cost  \$0\.00\d+ for 2 of 3 calls", ran.stdout)
    assert {"system", "history", "framing", "unattributed", "output", "total"} <= rows.keys()
    assert "not known: 1 call of openai/my-own (no price)" in ran.stdout
    assert re.search(r"^ +3 +1 +unknown +unknown +unknown$", ran.stdout, re.MULTILINE)
    assert re.search(r"mcp__hub__look +hub +40 +120 +0 +2 ", ran.stdout)
    assert "group hub: 2 tools, 60 tokens of definitions" in ran.stdout


def test_tools_alone_speak_of_no_money(tmp_path):
    """--tools shows the table without a cost."""
    ran = run(written(tmp_path / "t", call(1), call(2)), "--tools")
    assert "mcp__hub__ask" in ran.stdout
    assert "$" not in ran.stdout


def test_many_sessions_have_a_line_each(tmp_path):
    """With more than one session each has its cost, and all have their sum."""
    other = call(7, session="other", lineage="m", turn=1)
    ran = run(written(tmp_path / "t", call(1), other), "--cost")
    assert re.search(r"cost of all 2 sessions  \$0\.00\d+", ran.stdout)
    assert re.search(r"^talk +1 +\$0\.00\d+$", ran.stdout, re.MULTILINE)


def test_a_sum_without_all_of_its_calls_says_so(tmp_path):
    """Where some call's cost is not known, a turn and a session cost at least what is shown."""
    calls = [
        call(1), call(2, turn=1, model="mine"), call(3, turn=2),
        call(4, session="other", lineage="m", turn=1),
        call(5, session="no", lineage="n", turn=1, model="mine"),
    ]  # fmt: skip
    folder = written(tmp_path / "t", *calls)
    ran = run(folder, "--cost").stdout
    assert re.search(r"^cost of all 3 sessions  \$[\d.]+ for 3 of 5 calls$", ran, re.MULTILINE)
    assert re.search(r"^talk +3 +≥\$[\d.]+$", ran, re.MULTILINE)
    assert re.search(r"^other +1 +\$[\d.]+$", ran, re.MULTILINE)
    assert re.search(r"^no +1 +unknown$", ran, re.MULTILINE)
    ran = run(folder, "--session", "talk", "--cost").stdout
    assert re.search(r"^ +1 +2 +\$[\d.]+ +\$[\d.]+ +≥\$[\d.]+$", ran, re.MULTILINE)
    assert re.search(r"^ +2 +1 +\$[\d.]+ +\$[\d.]+ +\$[\d.]+$", ran, re.MULTILINE)
    assert re.search(
        r"^\| talk \| ≥\$[\d.]+ \|$", run(folder, "--cost", "--markdown").stdout, re.MULTILINE
    )


def test_a_cost_of_no_call_is_unknown_for_all(tmp_path):
    """Where no call's cost is known, it is unknown for as many as were sent."""
    calls = [
        call(1, model="mine"),
        call(2, model="mine"),
        call(3, decision="refuse", usage=Usage()),
    ]
    ran = run(written(tmp_path / "t", *calls), "--cost").stdout
    assert "cost  unknown for 2 calls" in ran


def test_a_missing_list_is_said(tmp_path, monkeypatch):
    """Without the extra the report stands, and says what to install."""
    monkeypatch.setattr(prices, "available", lambda: False)
    folder = written(tmp_path / "t", call(1))
    for form in ((), ("--markdown",)):
        ran = run(folder, "--cost", *form)
        assert ran.exit_code == 0
        assert "pip install 'tokentrace" in ran.stdout
        assert "unknown" in ran.stdout


def test_markdown_and_page_have_the_costs(talk):
    """Both show the total and the lines."""
    report = analysis.Report((talk,))
    assert "| history | $0.0" in markdown.render(report, costs=True)
    page = html.render(report, priced=True)
    assert "Table of costs" in page
    assert "mcp__hub__look" in page
    assert "Table of costs" not in html.render(report, priced=False)


@pytest.mark.parametrize(
    ("words", "source"),
    [(("--cost", "--against", "x"), "--cost"), (("--tools", "--against", "x"), "--tools"),
     (("--tools", "--markdown"), "--tools")],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(tmp_path, words, source):
    """Options that nothing would show end with one line and exit code 2."""
    ran = run(written(tmp_path / "t", call(1)), *words)
    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"tokentrace: {source}: not together with")


def test_what_the_cache_missed_is_summed_up():
    """Each call is held against the one before it in its lineage, and what was paid again is added."""
    calls = [
        call(n, usage=Usage(2_000, 10, read, 0)) for n, read in ((1, 1_500), (2, 500), (3, 1_500))
    ]
    held = {"user": 2_000}
    found = spending.sheet(session(*[_with(one, held) for one in calls]), look_up=True).missed
    assert found.tokens == 1_000
    assert found.cost > 0


def _with(one, held):
    from dataclasses import replace

    return replace(one, components=held, tokens=sum(held.values()))
