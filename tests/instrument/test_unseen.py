"""Calls whose span nobody will see: guarded and measured, and no more."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

import tokentrace
from instrument.forms import OPENAI
from tokentrace import schema
from tokentrace.insights import cost
from tokentrace.providers import prices

pytest.importorskip("genai_prices")


@pytest.mark.parametrize(("sampler", "looked_up"), [(ALWAYS_ON, 1), (ALWAYS_OFF, 0)])
def test_only_calls_that_are_seen_are_priced(monkeypatch, sampler, looked_up):
    """Where its span is not recorded, a call is measured as ever, and no price is looked up."""
    monkeypatch.setenv("TOKENTRACE_COSTS", "1")
    assert prices.load()
    asked = []
    real = cost.price
    monkeypatch.setattr(cost, "price", lambda *args: asked.append(args) or real(*args))
    reader = InMemoryMetricReader()
    tokentrace.instrument(
        tracer_provider=TracerProvider(sampler=sampler, shutdown_on_exit=False),
        meter_provider=MeterProvider([reader], shutdown_on_exit=False),
        guard=tokentrace.Guard(limit=10),
        sdks=[],
    )
    try:
        with pytest.warns(tokentrace.TokenLimitWarning):
            with tokentrace.llm_call(OPENAI.request, api="openai.chat") as call:
                call.response(OPENAI.plain.body)
    finally:
        tokentrace.uninstrument()
    assert len(asked) == looked_up
    metrics = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    assert {schema.DURATION, schema.TOKEN_USAGE, schema.DECISIONS} <= {one.name for one in metrics}
