"""When a rule speaks: numbers with defaults, each of which can be set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tokentrace.errors import InputError

SOURCE = "thresholds"
MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What findings are measured against. Shares lie above 0, counts begin at 1.

    Attributes:
        long: turns from which a conversation is long; growth is judged in long ones only.
        high: share of the limit from which use is high.
        near: share of the limit that must not be reached without optimisation.
        low: share of the limit below which use is low.
        growth: growth after the build-up that counts as growth without bound.
        fallback: largest step back, as a share of the peak, that growth without bound may show.
        settled: growth from just after the build-up to the end that is still stable.
        persistent: turns of high use after which a compression is missed.
        exclusions: turns with exclusions, with gaps of one turn at most, that are frequent.
        relief: share of the prompt by which exclusions shrink it, or else let it grow at most.
        saving: share that compressions should save of what they work on.
        stripped: share of its peak below which the carried context counts as gone.
        shrunk: share of its size below which an essential component counts as shrunk.
        soon: turns until the limit from which on a forecast is told.
        wasted: share of the prompt from which on waste is told.
        wasteful: share of the prompt from which on it degrades.
        carried: turns from which on results of tools are old.
        unchanged: turns from which on content that stays the same is told.
        uncalled: turns from which on a tool that nobody called is told.
        essential: components that must stay, with or without ``section.`` before their names.
    """

    long: int = 10
    high: float = 0.8
    near: float = 0.95
    low: float = 0.2
    growth: float = 0.25
    fallback: float = 0.05
    settled: float = 0.2
    persistent: int = 3
    exclusions: int = 3
    relief: float = 0.05
    saving: float = 0.1
    stripped: float = 0.05
    shrunk: float = 0.5
    soon: int = 10
    wasted: float = 0.01
    wasteful: float = 0.2
    carried: int = 5
    unchanged: int = 10
    uncalled: int = 5
    essential: tuple[str, ...] = ("system", "core_goal", "user")

    def __post_init__(self) -> None:
        for name, default in DEFAULTS.items():
            _check(name, getattr(self, name), default)
        if not self.low <= self.high <= self.near:
            raise InputError("low, high and near must not decrease in this order", source=SOURCE)


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Thresholds)}


def _check(name: str, value: Any, default: Any) -> None:
    """Raise InputError for a value that is not of its kind or not in its range."""
    kind = type(default)
    if kind is tuple:
        fine = isinstance(value, tuple) and all(isinstance(one, str) and one for one in value)
        wanted = "names"
    else:
        number = isinstance(value, int if kind is int else int | float)
        fine = number and not isinstance(value, bool)
        fine = fine and (1 if kind is int else 0) <= value <= MOST
        wanted = "a whole number from 1" if kind is int else "a share from 0, e.g. 0.8"
    if not fine:
        raise InputError(f"{name} must be {wanted}, not {value!r:.60}", source=SOURCE)


def thresholds(given: Mapping[str, Any], source: str = SOURCE) -> Thresholds:
    """Return the thresholds of a configuration or of a command line, the others at their default.

    Args:
        given: values by name; numbers may be texts, ``essential`` a list or names with commas.
        source: where they come from, for the error.

    Raises:
        InputError: a name that is none, or a value out of its range.
    """
    unknown = given.keys() - DEFAULTS.keys()
    if unknown:
        mend = f"known are {', '.join(DEFAULTS)}"
        raise InputError(f"no threshold {min(unknown, key=str)!r:.60}", source=source, mend=mend)
    try:
        return Thresholds(**{name: _value(name, raw) for name, raw in given.items()})
    except InputError as error:
        raise InputError(str(error.args[0]), source=source) from None


def _value(name: str, raw: Any) -> Any:
    """Return a value of the threshold's kind; what is none comes back as it is."""
    kind = type(DEFAULTS[name])
    if kind is tuple:
        names: Any = raw.split(",") if isinstance(raw, str) else raw
        listed = isinstance(names, Iterable) and not isinstance(names, Mapping)
        return (
            tuple(one.strip() if isinstance(one, str) else one for one in names) if listed else raw
        )
    if isinstance(raw, str):
        try:
            return kind(raw)
        except ValueError:
            return raw
    return raw
