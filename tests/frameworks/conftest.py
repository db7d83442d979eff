"""What the tests of frameworks share: a model on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frameworks import model
from instrument.loopback import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a model, and leave each framework's own reports at home."""
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    monkeypatch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
    with Server() as running:
        running.answer = model.answer
        yield running
