"""`tokentrace report --html`: where the page goes, and what is left behind when it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tokentrace.cli import app
from tokentrace.report import writing

TRACE = Path(__file__).parent / "readers" / "data" / "conversation.jsonl"


def report(*words):
    return CliRunner().invoke(app, ["report", str(TRACE), *map(str, words)])


def test_the_page_is_written_and_told(tmp_path):
    """The file is a page, stderr says where it is, stdout stays empty, the folder clean."""
    target = tmp_path / "report.html"
    result = report("--html", target)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.startswith(f"The page is in {target} (")
    assert target.read_text("utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_the_page_goes_to_stdout(tmp_path):
    """A dash is standard output, where nothing stands beside the page."""
    result = report("--html", "-")
    target = tmp_path / "report.html"
    report("--html", target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == target.read_bytes()


def test_page_and_document_at_once(tmp_path):
    """With --json too the document is on stdout and the page in its file; never both on stdout."""
    both = report("--json", "--html", tmp_path / "report.html")
    assert both.exit_code == 0
    assert both.stdout.startswith("{")
    assert (tmp_path / "report.html").exists()
    refused = report("--json", "--html", "-")
    assert refused.exit_code == 2
    assert refused.stderr == "tokentrace: --html -: one document at a time (give --html a file)\n"


def test_a_comparison_is_a_page(tmp_path):
    """With --against the page begins with what changed."""
    older = tmp_path / "older.jsonl"
    older.write_text(TRACE.read_text("utf-8").replace("conv-", "older-"), "utf-8")
    target = tmp_path / "report.html"
    result = report("--against", older, "--html", target)
    assert result.exit_code in (0, 1)
    assert "What changed" in target.read_text("utf-8")


def test_an_older_page_is_replaced_whole(tmp_path, monkeypatch):
    """When writing fails in the middle, the older page is still there, and nothing else."""
    target = tmp_path / "report.html"
    target.write_text("older")

    def full(path, content):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        result = report("--html", target)
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert target.read_text() == "older"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_link_stays_a_link(tmp_path):
    """A symbolic link is followed, not replaced."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "real" / "page.html")
    assert report("--html", link).exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "real" / "page.html").read_text("utf-8").startswith("<!doctype")


def test_a_pipe_is_written_to(tmp_path):
    """What is no plain file is not replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writing.write(pipe, b"page")
    assert os.read(reader, 10) == b"page"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("place", ["nowhere/report.html", ""])
def test_a_place_that_takes_no_file(tmp_path, place):
    """A missing folder and a folder are one line with the mend, exit code 2."""
    result = report("--html", f"{tmp_path}/{place}")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith("(give --html a file in a folder that can be written to)")
