"""The hostile suite runs as a user's process does: our own errors are counted, never raised."""

from __future__ import annotations

import gc

import pytest

pytest.register_assert_rewrite("hostile.cases")


@pytest.fixture(autouse=True)
def in_production(clean_process, monkeypatch):
    monkeypatch.delenv("TOKENTRACE_STRICT", raising=False)


@pytest.fixture(autouse=True, scope="module")
def a_small_heap():
    """Keep what the SDKs loaded out of every collection: it takes most of this suite's time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
