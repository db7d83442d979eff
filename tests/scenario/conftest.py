"""Scenarios for the tests, and a folder to run them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tokentrace import cli

SMALL = """\
name: small
timeout: 60
phases:
  - name: first
    turns: [one, two]
  - name: then
    turns:
      - prompt: three
"""
# An agent of three callables, each of which makes a call that is counted and sent nowhere.
AGENT = '''\
import asyncio
import sys

import tokentrace

SAID = []


def answer(prompt):
    """Ask a model that answers with what was asked."""
    SAID.append({"role": "user", "content": prompt})
    body = {"model": "gpt-4o", "messages": [{"role": "system", "content": "Be brief."}, *SAID]}
    with tokentrace.llm_call(body, api="openai.chat") as call:
        call.response({"model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 9}})
    print("noise on standard output")
    return f"You said {prompt}."


async def slowly(prompt, session, turn, phase):
    await asyncio.sleep(0)
    return f"{answer(prompt)} {session} {turn} {phase} {len(SAID)}"


def elsewhere(prompt):
    """Call itself something else than the scenario does."""
    with tokentrace.session("mine"), tokentrace.turn(number=7):
        return answer(prompt)


def broken(prompt):
    raise ValueError(f"cannot serve {prompt}, token sk-SECRET")


async def broken_slowly(prompt):
    broken(prompt)


def leaves(prompt):
    sys.exit(3)


def endless(prompt):
    while True:
        pass


def pieces(prompt):
    yield prompt


NUMBER = 3
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a small scenario and an agent, 100 columns wide, without colour."""
    for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "the_agent.py").write_text(AGENT)
    return tmp_path


@pytest.fixture
def invoke() -> Any:
    """Give a function that runs `tokentrace scenario` in this process."""

    def run(*words: Any) -> Any:
        return CliRunner().invoke(cli.app, ["scenario", *map(str, words)])

    return run


@pytest.fixture
def document(invoke: Any) -> Any:
    """Give a function that runs the small scenario and returns its document."""

    def run(*words: Any) -> dict[str, Any]:
        ran = invoke("run", "small.yaml", "--json", "--fail-on", "never", *words)
        assert ran.exit_code == 0, ran.stderr
        return json.loads(ran.stdout)

    return run
