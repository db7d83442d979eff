"""What `instrument` set, for the calls to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tokentrace import _config
from tokentrace.guard import Guard
from tokentrace.names import Templates


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `instrument`, resolved.

    Attributes:
        guard: None when it is off.
        sections: whether text is split by its own structure, or the names that may be told.
        capture_content: whether text goes onto spans.
        redact: what each such text goes through first, None for nothing but our own masks.
        sdks: the SDKs to hook, None for all.
        costs: whether what calls cost goes onto spans.
    """

    guard: Guard | None
    sections: bool | tuple[str, ...] = True
    capture_content: bool = False
    sdks: frozenset[str] | None = None
    costs: bool = False
    redact: Callable[[str], str] | None = None


settings: Settings | None = None
templates = Templates()
hooked: dict[Any, tuple[Any, str, Any]] = {}
taken: dict[Any, list[Callable[[], Any]]] = {}  # what others kept of a hook's callable, to put back


def configure(new: Settings | None) -> None:
    """Set what the next calls obey; None switches them off and forgets the names learned."""
    global settings, templates  # noqa: PLW0603 - the one place of what instrument() set
    before, settings = settings, new
    if new is None or before is None or new.sections != before.sections:
        given = () if new is None or isinstance(new.sections, bool) else new.sections
        templates = Templates(given)


def settled(
    guard: Guard | bool | None,
    sections: bool | Iterable[str],
    capture_content: bool,
    sdks: Iterable[str] | None,
    redact: Callable[[str], str] | None = None,
) -> Settings:
    """Return the settings that arguments of `instrument` mean, with the environment's."""
    if redact is not None and not callable(redact):
        raise TypeError(f"redact= takes a callable or None, not {type(redact).__name__}")
    if sections is True:
        sections = _config.read("TOKENTRACE_SECTIONS", _sections, True)
    return Settings(
        guard_of(guard),
        sections if isinstance(sections, bool) else _names(sections),
        capture_content or _config.read("TOKENTRACE_CAPTURE_CONTENT", _config.flag, False),
        None if sdks is None else frozenset(_names(sdks)),
        _config.costs(),
        redact,
    )


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return names; a single one may stand without a list."""
    return (given,) if isinstance(given, str) else tuple(given)


def _sections(raw: str) -> bool | tuple[str, ...]:
    try:
        return _config.flag(raw)
    except ValueError:
        return tuple(name for part in raw.split(",") if (name := part.strip()))


def wanted(sdk: str) -> bool:
    """Whether ``instrument(sdks=…)`` left this SDK in."""
    return settings is not None and (settings.sdks is None or sdk in settings.sdks)


def guard_of(guard: Guard | bool | None) -> Guard | None:
    """Return the guard to use: the one given, the default shaped by the environment, or none."""
    if isinstance(guard, Guard):
        return guard
    if guard is None or guard is True:
        return default_guard()
    if guard is False:
        return None
    raise TypeError(f"guard= takes a tokentrace.Guard, None or False, not {type(guard).__name__}")


def default_guard() -> Guard:
    """Return ``Guard()`` with what the environment says; a bad value is a warning and the default."""
    return Guard(
        limit=_config.read("TOKENTRACE_LIMIT", _config.positive, None),
        thresholds=_config.read("TOKENTRACE_THRESHOLDS", _thresholds, (0.8, 0.95)),
        on_exceed=_config.read("TOKENTRACE_ON_EXCEED", _on_exceed, "warn"),
    )


def _thresholds(raw: str) -> tuple[float, ...]:
    values = tuple(sorted(float(part) for part in raw.split(",")))
    if not all(0 < value <= 1 for value in values):
        raise ValueError(raw)
    return values


def _on_exceed(raw: str) -> str:
    if raw not in {"warn", "raise"}:
        raise ValueError(raw)
    return raw
