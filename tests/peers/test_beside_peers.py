"""Beside other instrumentations, each before and after us: one LLM span a call, usage and metrics once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

AGENT = Path(__file__).with_name("agent.py")
PEERS = {
    "official": "opentelemetry.instrumentation.genai.openai",
    "openllmetry": "opentelemetry.instrumentation.openai.v1",
    "openinference": "openinference.instrumentation.openai",
    "logfire": "logfire",
}
COUNTS = {"embeddings": 2, "responses": 12, "claude": 14, "claude stream": 14}
UNANSWERED = {"refused": "BadRequestError", "guarded": "TokenLimitExceeded"}
OPENAI = (
    "plain", "stream", "async", "async stream", "raw", "responses", "embeddings", "refused", "guarded",
)  # fmt: skip
CLAUDE = ("claude", "claude stream")


def there(name):
    try:
        return find_spec(PEERS[name]) is not None
    except ModuleNotFoundError:
        return False


def need(name):
    return pytest.mark.skipif(not there(name), reason=f"{name} is not installed: nox -s peers")


@cache
def ran(peer, order):
    """Return what an agent in a process of its own has recorded."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TOKENTRACE_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, str(AGENT), peer, order], capture_output=True, text=True, check=False,
        timeout=120, env=kept | {"TOKENTRACE_STRICT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def each(forms=OPENAI):
    return [
        pytest.param(peer, order, form, id=f"{peer} {order}: {form}", marks=need(peer))
        for peer in PEERS
        for order in ("before", "after")
        for form in (*forms, *(CLAUDE if peer != "official" else ()))
    ]


@pytest.mark.parametrize(("peer", "order", "form"), each())
def test_a_call_has_one_llm_span(peer, order, form):
    """It is the other's, with our components on it; the outcome is the caller's own."""
    call = ran(peer, order)["calls"][form]
    (span,) = [span for span in call["spans"] if not span["log"]]
    assert span["scope"].startswith(PEERS[peer].removesuffix(".v1").removesuffix(".openai"))
    assert span["tokens"] > 0
    assert span["components"] == span["tokens"]
    if form in UNANSWERED:
        assert call["outcome"] == UNANSWERED[form]
        assert span["error"].endswith(UNANSWERED[form])
    assert span["decision"] == ("refuse" if form == "guarded" else "ok")


@pytest.mark.parametrize(("peer", "order", "form"), each())
def test_usage_is_told_once(peer, order, form):
    """What the provider reported stands on one span: Logfire's record of a stream, else the call's."""
    usages = [span["usage"] for span in ran(peer, order)["calls"][form]["spans"]]
    told = [usage for usage in usages if usage is not None]
    assert told == ([] if form in UNANSWERED else [COUNTS.get(form, 13)])


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("peer", [pytest.param(name, marks=need(name)) for name in PEERS])
def test_token_metrics_are_recorded_once(peer, order):
    """Each answered call is in the standard's usage once, whoever recorded it; nothing of ours failed."""
    found = ran(peer, order)
    answered = [form for form in found["calls"] if form not in UNANSWERED]
    assert sum(found["metrics"].values()) == len(answered)
    assert found["errors"] == {}


@need("openllmetry")
@need("openinference")
@pytest.mark.parametrize("order", ["before", "after"])
def test_two_others_are_one_warning_and_no_span_of_ours(order):
    """Two around one SDK make a span each; we add none, and say so once for each SDK."""
    found = ran("openllmetry+openinference", order)
    scopes = [span["scope"] for span in found["calls"]["plain"]["spans"]]
    assert "tokentrace" not in scopes
    assert len([span for span in found["calls"]["plain"]["spans"] if span["tokens"]]) == 1
    told = [line for line in found["log"] if "keep one of them" in line]
    assert len(told) == 2
