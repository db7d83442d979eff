"""The front door: the public names, lazily, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tokentrace

PUBLIC = {
    "Guard", "LimitReport", "TokenLimitExceeded", "TokenLimitWarning", "TokentraceError", "assembly", "carry",
    "component", "compressed", "count", "exclude", "instrument", "session", "status", "tag", "turn", "uninstrument",
}  # fmt: skip
HEAVY = {
    "anthropic", "asyncio", "hypothesis", "msgspec", "openai", "opentelemetry", "rich", "tiktoken", "typer", "wrapt",
}  # fmt: skip


def fresh(code: str) -> object:
    """Return the JSON that ``code`` prints in a Python of its own."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_all_is_what_the_design_promises():
    """``__all__`` holds the promised names, sorted, none twice."""
    assert set(tokentrace.__all__) >= PUBLIC
    assert list(tokentrace.__all__) == sorted(set(tokentrace.__all__))


def test_all_and_the_namespace_agree():
    """Every name of ``__all__`` can be had, and ``dir`` shows no public name besides."""
    assert {name for name in tokentrace.__all__ if getattr(tokentrace, name, None) is None} == set()
    assert set(tokentrace.__all__) <= set(dir(tokentrace))


def test_an_unknown_name_is_an_attribute_error():
    """A typing mistake fails like any module's."""
    with pytest.raises(AttributeError, match="sesion"):
        tokentrace.sesion  # noqa: B018 - the access is the test


def test_import_loads_nothing_heavy():
    """``import tokentrace`` leaves tokenizers, OpenTelemetry, SDKs and asyncio alone."""
    loaded = fresh(
        "import sys; before = set(sys.modules); import tokentrace, json;"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    assert HEAVY & set(loaded) == set()


def test_errors_load_nothing_heavy():
    """Catching our errors costs no heavy import either."""
    loaded = fresh(
        "import sys; import tokentrace; tokentrace.TokenLimitExceeded, tokentrace.TokenLimitWarning;"
        "import json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    assert HEAVY & set(loaded) == set()


def test_import_is_quick():
    """``import tokentrace`` costs little CPU over the bare interpreter (40 ms promised, 80 allowed)."""
    code = (
        "import time, json; before = time.process_time(); import tokentrace;"
        "print(json.dumps(time.process_time() - before))"
    )
    assert min(fresh(code) for _ in range(3)) < 0.08
