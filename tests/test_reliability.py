"""The commands behind docs/reliability.md: small runs of each, whose figures must be right."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch):
    """Return a function that loads a file of the bench folder."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module
    for name in ("faults", "files", "reliability"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("row", ["up", "down", "hanging", "http 503"])
def test_every_span_is_received_or_counted(bench, row):
    """Ten sessions of three turns against a collector: what it did not take is counted."""
    found = bench("faults").measure(row, "tokentrace", 10, 3)
    assert found["made"] == 31
    assert found["received"] + found["dropped"] == 31
    assert (found["received"] == 31) is (row == "up")


QUEUE = 1_600  # spans that can wait: a busy machine may let that many wait at once


@pytest.mark.parametrize(
    ("row", "spans"),
    [
        ("nothing wrong", QUEUE),
        ("full disk", 2 * QUEUE),  # more than 2 MB
        ("read-only", QUEUE),
        ("killed, 20 times", QUEUE),
        ("folder deleted", QUEUE),
    ],
)
def test_every_span_is_in_a_file_or_counted(bench, monkeypatch, row, spans):
    """Spans on their way to files can be read back, are counted as lost, or went with a kill."""
    files = bench("files")
    monkeypatch.setattr(files, "KILLS", 2)
    found = files.measure(row, spans)
    if found is None:
        pytest.skip("no tmpfs here")
    assert found["whole lines not read"] == 0
    if row.startswith("killed"):
        assert found["read back"] + found["torn lines"] <= found["made"]
    else:
        assert found["in no count"] == found["torn lines"] == 0
    assert (found["dropped"] > 0) is (row in {"full disk", "read-only"})


@pytest.mark.parametrize("transport", ["wire", "stub"])
def test_a_short_soak_leaves_nothing_and_adds_up(transport):
    """600 calls, some abandoned, failed or cancelled: sums as driven, no call left over."""
    pytest.importorskip("openai")
    command = [sys.executable, str(BENCH / "soak.py"), "--transport", transport]
    ran = subprocess.run(
        [*command, "--calls", "600", "--sessions", "20"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(ran.stdout)
    assert found["wrong"] == []
    assert found["kept"] == {}
    assert sum(found["kinds"].values()) == 600
    assert found["kinds"]["abandoned"] == 60
    assert len(found["threads"]) == len(found["files"]) == 1


def test_a_broken_promise_is_told(bench):
    """Figures that break a promise are named; those that keep it are not."""
    reliability = bench("reliability")
    row = {"in no count": 0, "exit s": 4.9}
    slow, lossy = {**row, "exit s": 5.1}, {**row, "in no count": 3}
    known = {
        "exporter": {
            "a / tokentrace": row,
            "b / otel": lossy,
            "c / tokentrace": slow,
            "d / tokentrace": lossy,
        }
    }
    assert list(reliability.broken(known)) == [
        "c / tokentrace: 5.1 s to exit",
        "d / tokentrace: 3 spans in no count",
    ]
    even = {
        "calls": 200_000,
        "slope_mb": 0.4,
        "threads": [3],
        "files": [9],
        "kept": {},
        "wrong": [],
    }
    grown = {
        **even,
        "slope_mb": 1.2,
        "threads": [3, 4],
        "kept": {"Call": 2},
        "wrong": ["spans: 1, not 2"],
    }
    assert list(reliability.broken({"soak": {"x": even}})) == []
    assert len(list(reliability.broken({"soak": {"x": grown}}))) == 4
    torn = {"whole lines not read": 0, "torn lines": 1, "in no count": 4}
    assert list(reliability.broken({"files": {"killed": torn}})) == []
    assert len(list(reliability.broken({"files": {"full": torn}}))) == 1


def test_only_what_was_measured_is_written(bench, monkeypatch, tmp_path):
    """A run of one group puts its table into the page, and leaves the others as they are."""
    reliability = bench("reliability")
    page = tmp_path / "page.md"
    groups = ("tokentrace", "otel", "files", "soak")
    page.write_text(
        "\n".join(f"<!-- {one}: begin -->\nold {one}\n<!-- {one}: end -->" for one in groups)
    )
    monkeypatch.setattr(reliability, "PAGE", page)
    row = {
        "calls": 9,
        "slope_mb": 0.4,
        "rss_mb": [1.0, 2.0],
        "threads": [3],
        "files": [4],
        "wrong": [],
    }
    reliability.write(reliability.tables({"soak": {"stubbed": row}}))
    told = page.read_text()
    assert "| stubbed | 9 | 0.40 | 1 → 2 | 3 | 4 | 0 |" in told
    assert "old soak" not in told
    assert [f"old {one}" in told for one in groups] == [True, True, True, False]
