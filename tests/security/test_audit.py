"""What the audit says of an advisory database's answers, and of none."""

from __future__ import annotations

import subprocess

import pytest

import audit

HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": []}
WELL = {"name": "whole", "version": "1", "vulns": []}
HOLED = {"name": "holed", "version": "2.0", "vulns": [HOLE]}
UNSEEN = {"name": "unseen", "skip_reason": "not found"}


def test_a_known_hole_fails_and_is_named():
    """The package, its version, the hole, and where it is mended."""
    assert audit.holes([WELL, HOLED, UNSEEN, UNSEEN]) == (
        True,
        "holed 2.0: PYSEC-2026-1, mended in 2.1",
    )


@pytest.mark.parametrize("told", [[], [UNSEEN], [WELL, UNSEEN, UNSEEN]])
def test_what_nobody_looked_up_is_said(told):
    """No answer, or one that knows few of the packages: no failure, and no all-clear."""
    broken, text = audit.holes(told)
    assert not broken
    assert "not looked up" in text


def test_an_all_clear_counts_what_was_looked_up():
    """Of three packages, one unknown: two are without a known hole."""
    assert audit.holes([WELL, WELL, UNSEEN]) == (False, "2 packages, none with a known hole")


@pytest.mark.parametrize("printed", ["", "Traceback", "{}", '{"dependencies": null}', "[]"])
def test_what_is_no_answer_is_none(monkeypatch, printed):
    """A broken tool or a proxy's page is no hole in a package."""
    ran = subprocess.CompletedProcess([], 1, stdout=printed, stderr="Traceback")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ran)
    assert not audit.answer()


def test_a_database_that_does_not_answer_in_time(monkeypatch):
    """It is as if there were none."""

    def late(*command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", late)
    assert audit.answer() == []
