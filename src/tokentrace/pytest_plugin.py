"""The pytest plugin: a fixture, a mark, a summary, and a report of all tests.

Nothing of tokentrace is loaded until a test asks for it. Records travel on pytest's own test
reports, so that they arrive from the processes of pytest-xdist too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tokentrace.analysis import Report, Session
    from tokentrace.testing import Captured, TokenBudget

FIXTURE = "tokentrace_session"
MARK = "token_budget"
OPTION = "--tokentrace-report"
SHOWN = 20
USAGE = (
    f"{MARK}(max_total=None, max_utilization=None, max_component={{}}): fail when an LLM call of the "
    "test takes more input tokens than that, and say which component grew."
)
FORMS = (".html", ".json")

_captured = pytest.StashKey["Captured"]()
_budget = pytest.StashKey["TokenBudget"]()


# ── options ──────────────────────────────────────────────────────────────────────────────────────


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("tokentrace", "tokens of LLM prompts")
    group.addoption(
        OPTION,
        metavar="FILE",
        default="",
        help="write a report of all tests that used the fixture or the mark: FILE.html or FILE.json",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and refuse a report that cannot be written."""
    config.addinivalue_line("markers", USAGE)
    name = config.getoption(OPTION)
    if name and Path(name).suffix not in FORMS:
        raise pytest.UsageError(f"{OPTION} {name}: the name ends in {' or '.join(FORMS)}")
    if name and not Path(name).resolve().parent.is_dir():
        raise pytest.UsageError(f"{OPTION} {name}: there is no such folder; make it first")
    config.pluginmanager.register(Book(name), "tokentrace-book")


# ── fixtures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tokentrace_settings() -> dict[str, Any]:
    """Settings of `tokentrace.instrument` for this test; override it to set a guard."""
    return {}


@pytest.fixture
def tokentrace_session(
    request: pytest.FixtureRequest, tokentrace_settings: dict[str, Any]
) -> Iterator[Captured]:
    """Instrument for one test, inside a session of its name; what it records can be looked at."""
    import tokentrace

    with tokentrace.testing.capture(**tokentrace_settings) as captured:
        request.node.stash[_captured] = captured
        with tokentrace.session(request.node.name):
            yield captured


@pytest.fixture(autouse=True)
def _token_budget(request: pytest.FixtureRequest) -> None:
    """Record where a test has a budget."""
    mark = request.node.get_closest_marker(MARK)
    if mark:
        request.node.stash[_budget] = _read(mark)
        request.getfixturevalue(FIXTURE)


def _read(mark: pytest.Mark) -> TokenBudget:
    """Return the budget of a mark; fail with the mend where it is none."""
    from tokentrace.testing import TokenBudget

    try:
        return TokenBudget(*mark.args, **mark.kwargs)
    except (TypeError, ValueError) as error:
        pytest.fail(f"@pytest.mark.{MARK}: {error}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Hold what a test recorded against its budget, once it has run and did not fail."""
    budget = item.stash.get(_budget, None)
    if budget is None:
        return
    from tokentrace.testing import budgets

    broken = budgets.complaint(budget, item.stash[_captured].sessions)
    if broken:
        pytest.fail(broken, pytrace=False)


# ── what was recorded ────────────────────────────────────────────────────────────────────────────


@pytest.hookimpl(hookwrapper=True)  # older than pluggy's new kind, which older ones refuse
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Put what a test recorded on its report."""
    report = (yield).get_result()
    captured = item.stash.get(_captured, None)
    if captured is not None and call.when == "call" and captured.calls:
        report.tokentrace = _row(captured, item.stash.get(_budget, None))
        if item.config.getoption(OPTION):
            from tokentrace.telemetry import local

            report.tokentrace_spans = [local.line(span).decode() for span in captured.spans]


def _row(captured: Captured, budget: TokenBudget | None) -> dict[str, Any]:
    """Return a test's row of the summary, as plain data."""
    from tokentrace import analysis
    from tokentrace.analysis.findings import worst

    sessions = captured.sessions
    total = analysis.summary(sessions)
    return {
        "turns": total.turns,
        "calls": total.calls,
        "peak": total.peak,
        "utilization": total.utilization,
        "verdict": worst(analysis.judge(session).verdict for session in sessions),
        "unseen": budget.unseen(sessions) if budget else [],
    }


class Book:
    """What the tests of a run recorded, and what is told of it at the end."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._lines: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what is on a report, wherever the test ran."""
        row = getattr(report, "tokentrace", None)
        if row:
            self._rows[report.nodeid] = row
            self._lines[report.nodeid] = getattr(report, "tokentrace_spans", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show a table of the tests that took the most, and write the report."""
        if self._rows:
            terminalreporter.section("tokens")
            for line in self._table():
                terminalreporter.write_line(line)
        if self._file:
            terminalreporter.write_line(self._report())

    def _table(self) -> Iterator[str]:
        ranked = sorted(self._rows.items(), key=lambda pair: -pair[1]["peak"])
        wide = max(len(name) for name, _ in ranked[:SHOWN])
        yield f"{'test':<{wide}}  turns  calls       peak    used  verdict"
        for name, row in ranked[:SHOWN]:
            used = "-" if row["utilization"] is None else f"{row['utilization']:.1%}"
            sizes = f"{row['turns']:>5}  {row['calls']:>5}  {row['peak']:>9,}  {used:>6}"
            yield f"{name:<{wide}}  {sizes}  {row['verdict']}"
        if len(ranked) > SHOWN:
            yield f"and {len(ranked) - SHOWN:,} more with smaller prompts"
        for name, row in ranked:
            for unseen in row["unseen"]:
                yield f"{name}: max_component names {unseen!r}, which no prompt had"

    def _report(self) -> str:
        """Write the report; return a line that says where it is, or why not."""
        if not any(self._lines.values()):
            return f"tokentrace: no LLM call was recorded, so {self._file} was not written"
        from tokentrace.report import writing

        text = _rendered(self._read(), Path(self._file).suffix)
        try:
            writing.write(Path(self._file), text.encode())
        except OSError as error:
            return f"tokentrace: {self._file} could not be written: {error.strerror}"
        return f"tokentrace: wrote {self._file}"

    def _read(self) -> Report:
        """Return the sessions of all tests, each under its test's name."""
        from tokentrace import analysis, readers

        problems = readers.Problems()
        found: list[Session] = []
        with TemporaryDirectory(prefix="tokentrace-") as folder:
            file = Path(folder) / "spans.jsonl"
            for test, lines in self._lines.items():
                file.write_text("".join(lines), encoding="utf-8")
                records = readers.read([str(file)], problems) if lines else ()
                found += [_under(test, session) for session in analysis.sessions(records)]
        judged = tuple(analysis.judge(session) for session in found)
        return analysis.Report(tuple(found), problems, judged)


def _under(test: str, session: Session) -> Session:
    name = test if test.endswith(f"::{session.id}") or not session.named else f"{test} {session.id}"
    return replace(session, id=name, named=True)


def _rendered(report: Report, suffix: str) -> str:
    from tokentrace.report import html, json

    return html.render(report) if suffix == ".html" else json.render(report)
