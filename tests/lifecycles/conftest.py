"""Servers and loops that an agent lives in: each a real one, in a process of its own, against a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument.loopback import Server, whole
from tokentrace.testing import openai_chat

PATIENCE = 120  # seconds after which a process is taken to hang

CALL = """
import openai, tokentrace
def call(client, **more):
    messages = [{"role": "user", "content": "Why does the pod restart?"}]
    return client.chat.completions.create(model="gpt-4o", messages=messages, **more)
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a provider that answers every chat."""
    with Server() as running:
        running.answer = whole(openai_chat("Because.", prompt_tokens=13).body)
        yield running


@pytest.fixture
def around(server: Server, tmp_path: Path) -> dict[str, str]:
    """Return the environment of an agent: the provider's address, and a folder for its traces."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": server.url,
        "TOKENTRACE_COSTS": "0",
        "TOKENTRACE_DIR": str(tmp_path / "traces"),
        "PYTHONPATH": str(tmp_path),
        "PYTHONWARNINGS": "ignore",
    }


@pytest.fixture
def agent(around: dict[str, str]) -> Callable[..., str]:
    """Give what runs a script to its end and returns what it printed."""

    def run(script: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**around, **more},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        assert "ERROR" not in done.stderr, done.stderr
        return done.stdout

    return run


def spans_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the spans of each process's file."""
    return {
        path.name: [
            span
            for line in path.read_text(encoding="utf-8").splitlines()
            for resource in json.loads(line).get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        for path in sorted(folder.glob("*.jsonl"))
    }
