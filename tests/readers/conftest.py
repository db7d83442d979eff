"""OTLP-JSON, built as an exporter builds it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from otlp_lines import attributes, export, span, value
from tokentrace import schema
from tokentrace.prompt import CallRecord, ContextRecord, Detail, Event, Usage


def call(number=1, **changes):
    """Return a call with something in every kind of field."""
    plain = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "parent_id": f"{number + 4096:016x}",
        "start": 1_760_000_000_000_000_000 + number,
        "end": 1_760_000_001_000_000_000 + number,
        "service": "agents",
        "provider": "openai",
        "api": "openai.chat",
        "model": "gpt-4o",
        "settings": {"temperature": 0.2, "stream": True},
        "session": "conv-42",
        "turn": number,
        "lineage": "a1b2",
        "tokens": 900,
        "method": "exact",
        "tokenizer": "o200k_base",
        "components": {"history": 600, "system": 300},
        "details": (Detail("tools", "kubectl", 120),),
        "limit": 128_000,
        "limit_source": "registry",
        "decision": "ok",
        "forecast": 12.5,
        "usage": Usage(input=900, output=20, finish_reasons=("stop",)),
    }
    return CallRecord(**{**plain, **changes})


def assembly(number=1, **changes):
    """Return an assembly that left something out."""
    left_out = {"name": "code", "tokens": 77, "reason": "exceeds available budget"}
    plain = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number + 256:016x}",
        "start": 5,
        "end": 9,
        "service": "agents",
        "name": "ctx",
        "session": "conv-42",
        "turn": number,
        "included": 10,
        "excluded": 77,
        "events": (Event(schema.COMPONENT_EXCLUDED, left_out, 7),),
    }
    return ContextRecord(**{**plain, **changes})


@pytest.fixture
def otlp():
    """Return the builders: ``call``, ``assembly``, ``span``, ``export``, ``attributes``."""
    return SimpleNamespace(
        call=call, assembly=assembly, span=span, export=export, attributes=attributes, value=value
    )
