"""The hostile suite runs as a user's process does: our own errors are counted, never raised."""

from __future__ import annotations

import gc

import coverage
import pytest

pytest.register_assert_rewrite("hostile.cases")


@pytest.fixture(autouse=True)
def in_production(clean_process, monkeypatch):
    monkeypatch.delenv("TOKENTRACE_STRICT", raising=False)


@pytest.fixture(autouse=True, scope="module")
def uncovered():
    """Measure no coverage here: it takes as much time again, and the other tests reach what these do."""
    measuring = coverage.Coverage.current()
    if measuring is not None:
        measuring.stop()
    yield
    if measuring is not None:
        measuring.start()


@pytest.fixture(autouse=True, scope="module")
def a_small_heap():
    """Keep what the SDKs loaded out of every collection: it takes most of this suite's time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter):
    """Say in one line what the cases of this folder found."""
    from hostile.cases import BROKEN, FLOODS, LOST, TALLY

    ran = {
        outcome: sum(_is_here(report) for report in terminalreporter.stats.get(outcome, ()))
        for outcome in ("passed", "failed", "error")
    }
    if any(ran.values()):
        found = ", ".join(f"{TALLY[what]:,} {what}" for what in (BROKEN, LOST, FLOODS))
        bad = ran["failed"] + ran["error"]
        rest = f", {bad:,} failed" if bad else ""
        terminalreporter.write_line(f"hostile: {sum(ran.values()):,} cases, {found}{rest}")


def _is_here(report):
    return report.when == "call" and "tests/hostile/" in report.nodeid
