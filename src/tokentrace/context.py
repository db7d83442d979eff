"""How the agent builds its context: what bears which name, what was left out, what was shortened.

Every function here stands in the agent's own path: it gives back the very object it was given, and
our own failure costs telemetry only.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any, TypeVar, overload

from tokentrace import _assembly, _deliver, turns
from tokentrace._failsafe import attempt
from tokentrace._sessions import PROCESS, SESSIONS, Registry
from tokentrace._tags import Tag, Tags
from tokentrace.guard import unguarded
from tokentrace.telemetry import losses

__all__ = [
    "Tag",
    "assembly",
    "component",
    "compressed",
    "exclude",
    "note_hits",
    "reset",
    "status",
    "tag",
    "tags",
    "version",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

SHORT = 16
MOST_FOUND = 8_192
LONGEST_STREAM = 2**20
# How the losses among what `status` tells are called in metrics.
LOST = {
    "tags_dropped": "text dropped for room",
    "tags_lost": "text not found",
    "untaggable": "value without text",
    "truncated": "value too large",
    "sessions_evicted": "session",
    "lineages_evicted": "lineage",
}

# What component functions returned in any session: a cached one is not called again in the next.
CACHED = Tags(most=128, room=2**20, keep_held=True)

_serials = itertools.count(1)
_merged_lock = threading.RLock()


def _after_fork() -> None:
    """Replace the locks that another thread may have held at a fork."""
    global _merged_lock  # noqa: PLW0603 - what another thread held at the fork stays held in the child
    _merged_lock = threading.RLock()
    CACHED.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ── names for texts ──────────────────────────────────────────────────────────────────────────────


def component(name: str) -> Callable[[F], F]:
    """Name what a function returns, wherever it lands in a prompt.

    Works on functions, methods, coroutines and generators, sync and async. Text is named, and the
    texts inside lists, tuples and dicts; anything else passes through and is counted in `status`.

    Raises:
        TypeError, ValueError: ``name`` is no text or empty, at decoration.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"component() takes a name: @component('memory'), not {type(name).__name__}"
        )
    if not name:
        raise ValueError("component() needs a name that is not empty")

    def decorate(fn: F) -> F:
        return _deliver.around(fn, lambda _args, _kwargs: Tagging(name))

    return decorate


def tag(name: str, value: T) -> T:
    """Name a value, as `component` names what a function returns; return the same object.

    Generators and coroutines cannot be looked into without consuming them: one that behaves alike
    comes back.
    """
    if isinstance(value, str | list | tuple | dict):
        attempt(_name, name, value)
        return value
    return _deliver.deliver(value, Tagging(name, cached=False))  # type: ignore[no-any-return]


class Tagging(_deliver.Visit):
    """Names the values or the items of one run of a function.

    The pieces of a stream are named one by one, and at its end their concatenation.
    """

    def __init__(self, name: str, *, cached: bool = True) -> None:
        self._name = name
        self._cached = cached
        self._pieces: list[str] = []
        self._length = 0

    def chunk(self, item: Any) -> None:
        """Name an item, unless it is a scrap of a longer text."""
        if isinstance(item, str):
            self._length += len(item)
            if self._length <= LONGEST_STREAM:
                self._pieces.append(item)
            if len(item) < SHORT:
                return
        _name(self._name, item, cached=self._cached)

    def value(self, value: Any) -> None:
        """Name a value."""
        _name(self._name, value, cached=self._cached)

    def close(self, error: BaseException | None) -> None:  # noqa: ARG002 - as declared
        """Name the whole of a stream."""
        pieces, self._pieces = self._pieces, []
        if pieces and (len(pieces) > 1 or len(pieces[0]) < SHORT):
            _name(self._name, "".join(pieces), cached=self._cached)


def _name(name: Any, value: Any, *, cached: bool = False) -> None:
    """Put the texts of ``value`` under ``name`` into the session's registry, or the process's."""
    if not isinstance(name, str) or not isinstance(value, str | list | tuple | dict):
        _assembly.counts["untaggable"] += 1
        return
    registry = turns.current().registry
    for text in _assembly.leaves(value):
        if not text:
            continue
        kept = registry.tags.add(Tag(name, text))
        if cached and registry is not PROCESS:
            CACHED.add(kept)
        for building in _assembly.buildings.get():
            building.add(kept)
    if registry is not PROCESS:
        SESSIONS.weigh(registry)


# ── what has a name here ─────────────────────────────────────────────────────────────────────────


def tags() -> tuple[Tag, ...]:
    """Return what has a name at this place, in the order of naming: of nested texts the inner first.

    The session's own, then what was named outside any session, then what component functions
    returned in other sessions and somebody still holds (a cached function, say). The same tuple as
    long as nothing changed.
    """
    return tags_of(turns.current().registry)


def tags_of(registry: Registry) -> tuple[Tag, ...]:
    """Return what has a name in a session, as `tags` does for the current one."""
    return _merged(registry)[1]


def version() -> int:
    """Return a number that changes when `tags` does."""
    return _merged(turns.current().registry)[2]


def _merged(registry: Registry) -> tuple[Any, tuple[Tag, ...], int]:
    sources = (registry.tags.all(), PROCESS.tags.all(), CACHED.held())
    known: Any = registry.merged
    if known is not None and all(map(is_, known[0], sources)):
        return known  # type: ignore[no-any-return]
    with _merged_lock:
        known = registry.merged
        if known is None or not all(map(is_, known[0], sources)):
            known = registry.merged = (sources, _merge(sources), next(_serials))
    return known  # type: ignore[no-any-return]


def _merge(sources: tuple[tuple[Tag, ...], ...]) -> tuple[Tag, ...]:
    """Return all tags; a text that has names in one source has only those."""
    merged: list[Tag] = []
    taken: set[str] = set()
    for source in sources:
        fresh = [one for one in source if one.text not in taken]
        taken.update(one.text for one in fresh)
        merged += fresh
    return tuple(merged)


def note_hits(found: Iterable[Tag], registry: Registry | None = None) -> None:
    """Hear which tags a call's body held, at the call that follows an assembly.

    Tags of an open assembly that were not found go onto its span as lost; those of assemblies that
    have ended since the last call are counted. What was found once in this session is not lost: a
    call's unchanged messages are not searched again.
    """
    registry = turns.current().registry if registry is None else registry
    if len(registry.found) > MOST_FOUND:
        registry.found.clear()
    registry.found.update(map(hash, found))
    pending, registry.assemblies = registry.assemblies, []
    for building in _assembly.buildings.get():
        building.lost = building.missing(registry.found)
    _assembly.counts["lost"] += sum(building.missing(registry.found) for building in pending)


def hears(registry: Registry) -> bool:
    """Whether an assembly waits to hear which of its tags the next call holds."""
    return bool(registry.assemblies) or bool(_assembly.buildings.get())


def status() -> dict[str, int]:
    """Return what happened to names: tags kept now, dropped for room, lost, and values without text."""
    registries = (PROCESS.tags, CACHED)
    return {
        "tags": sum(map(len, registries)) + SESSIONS.tags(),
        "tags_dropped": sum(one.dropped for one in registries) + SESSIONS.tags_dropped(),
        "tags_lost": _assembly.counts["lost"],
        "untaggable": _assembly.counts["untaggable"],
        "truncated": _assembly.counts["truncated"],
        "sessions": len(SESSIONS),
        "sessions_evicted": SESSIONS.evicted,
        "lineages": len(PROCESS.lineages) + SESSIONS.lineages(),
        "lineages_evicted": PROCESS.lineages.evicted + SESSIONS.lineages_evicted(),
    }


def _forgotten() -> dict[str, int]:
    """Return what of it was lost, for metrics and doctor."""
    known = status()
    return {kind: known[name] for name, kind in LOST.items()}


losses.ask(_forgotten)


def reset() -> None:
    """Forget what component functions returned, and the counts (tests)."""
    CACHED.clear()
    CACHED.dropped = 0
    _assembly.counts.clear()


# ── what was left out or shortened ───────────────────────────────────────────────────────────────


@overload
def assembly(name: F) -> F: ...
@overload
def assembly(name: str | None = None, *, budget: int | None = None) -> _assembly.Assembly: ...
def assembly(name: Any = None, *, budget: int | None = None) -> Any:
    """Mark the code that builds a context, as a decorator or a context manager.

    Args:
        name: of its span; by default the function's.
        budget: in tokens, for the record.

    Raises:
        TypeError: an argument is of no use.
    """
    if _deliver.is_function(name):
        return _assembly.Assembly("", budget)(name)
    if not isinstance(name, str | None):
        raise TypeError(f"assembly(name=…) takes a text, not {type(name).__name__}")
    if budget is not None and (not isinstance(budget, int) or isinstance(budget, bool)):
        raise TypeError(f"assembly(budget=…) takes tokens as an int, not {type(budget).__name__}")
    return _assembly.Assembly(name or "", budget)


def exclude(name: str, text: Any = None, *, reason: str = "", tokens: int | None = None) -> None:
    """Record that a component, or a piece of it, was left out of the context.

    Args:
        name: of the component.
        text: what was left out, to be counted; not kept.
        reason: why, in the agent's own words; it goes onto the span.
        tokens: how many, where the agent knows.
    """
    attempt(_exclude, name, text if tokens is None else tokens, reason)


def _exclude(name: Any, size: Any, reason: Any) -> None:
    from tokentrace import schema, telemetry

    if not telemetry.enabled():
        return
    tokens = _assembly.measured(size)
    for building in _assembly.buildings.get():
        building.spend(excluded=tokens)
    told = {"name": str(name), "tokens": tokens, "reason": str(reason)}
    telemetry.emit(schema.COMPONENT_EXCLUDED, told, _assembly.handle())


def compressed(name: str, before: Any, after: Any) -> None:
    """Record that a component was shortened.

    Args:
        name: of the component.
        before: a text (or a list or dict of texts) to be counted, or a number of tokens.
        after: the same, of what is left of it.
    """
    attempt(_compressed, name, before, after)


def _compressed(name: Any, before: Any, after: Any) -> None:
    from tokentrace import schema, telemetry

    if not telemetry.enabled():
        return
    was, now = _assembly.measured(before), _assembly.measured(after)
    for building in _assembly.buildings.get():
        building.spend(compressed=max(0, was - now))
    told = {"name": str(name), "before": was, "after": now}
    if unguarded():
        told["reason"] = schema.BY_GUARD
    telemetry.emit(schema.CONTEXT_COMPRESSED, told, _assembly.handle())
