"""The hostile suite runs as a user's process does: our own errors are counted, never raised."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("hostile.cases")


@pytest.fixture(autouse=True)
def in_production(clean_process, monkeypatch):
    monkeypatch.delenv("TOKENTRACE_STRICT", raising=False)
