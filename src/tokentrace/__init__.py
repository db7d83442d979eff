"""See where every input token of an LLM agent goes, turn by turn, and act before the limit is hit.

    import tokentrace
    tokentrace.instrument()

Importing this loads no SDK, no tokenizer and no OpenTelemetry; every name below is found on first
use.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokentrace import testing as testing
    from tokentrace.context import assembly as assembly
    from tokentrace.context import component as component
    from tokentrace.context import compressed as compressed
    from tokentrace.context import exclude as exclude
    from tokentrace.context import tag as tag
    from tokentrace.counting.counter import count as count
    from tokentrace.errors import TokenLimitExceeded as TokenLimitExceeded
    from tokentrace.errors import TokenLimitWarning as TokenLimitWarning
    from tokentrace.errors import TokentraceError as TokentraceError
    from tokentrace.guard import Guard as Guard
    from tokentrace.insights import advice as advice
    from tokentrace.instrument import instrument as instrument
    from tokentrace.instrument import status as status
    from tokentrace.instrument import uninstrument as uninstrument
    from tokentrace.instrument.manual import llm_call as llm_call
    from tokentrace.prompt import Count as Count
    from tokentrace.prompt import LimitReport as LimitReport
    from tokentrace.turns import carry as carry
    from tokentrace.turns import session as session
    from tokentrace.turns import turn as turn

__version__ = "0.1.0"

_HOMES = {
    "Count": "prompt",
    "Guard": "guard",
    "LimitReport": "prompt",
    "TokenLimitExceeded": "errors",
    "TokenLimitWarning": "errors",
    "TokentraceError": "errors",
    "advice": "insights",
    "assembly": "context",
    "carry": "turns",
    "component": "context",
    "compressed": "context",
    "count": "counting.counter",
    "exclude": "context",
    "instrument": "instrument",
    "llm_call": "instrument.manual",
    "session": "turns",
    "status": "instrument",
    "tag": "context",
    "testing": "",
    "turn": "turns",
    "uninstrument": "instrument",
}

__all__ = [  # noqa: PLE0604 - a list of strings, made from the table
    *_HOMES
]


class _FrontDoor(ModuleType):
    """Keeps a public name from being hidden by the sub-package of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and _HOMES[name] and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if not home:
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
