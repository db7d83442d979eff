"""`instrument`, `uninstrument` and `status`: putting the hooks in, taking them out, telling how it is."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tokentrace import _failsafe, _told
from tokentrace._failsafe import LOG, attempt
from tokentrace.guard import Guard, limits
from tokentrace.instrument import factor_file, frameworks, learning, state
from tokentrace.instrument.hooks import (
    HOOKS,
    ITEMS,
    OWN_SPAN,
    RUN,
    VOCABULARY,
    WATCHED,
    WATCHED_FOR,
    Hook,
)
from tokentrace.instrument.state import Settings

_lock = threading.RLock()
_listening: set[Hook | str] = set()


def _after_fork() -> None:
    """Replace the locks that another thread may have held at a fork."""
    global _lock  # noqa: PLW0603 - what another thread held at the fork stays held in the child
    _lock = threading.RLock()
    state.templates.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def instrument(
    *,
    guard: Guard | bool | None = None,
    service_name: str | None = None,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    sdks: Iterable[str] | None = None,
    sections: bool | Iterable[str] = True,
    capture_content: bool = False,
    redact: Callable[[str], str] | None = None,
    exporter: Any = "auto",
) -> None:
    """Count, attribute, guard and trace every LLM call of this process, past clients included.

    A missing or odd SDK is told by `status`. Called again it replaces settings, keeps the hooks.

    Args:
        guard: acts before a limit is hit; None is ``Guard()``, which warns; False is off.
        service_name: of the spans, where the application sets no provider.
        tracer_provider: an OpenTelemetry provider to use instead of the application's.
        meter_provider: the same for metrics.
        logger_provider: the same for log records.
        sdks: names of the SDKs to hook; None is all.
        sections: split text by its own JSON keys, tags and headings; or the names to look for.
        capture_content: put the prompt's text on the spans. Off unless you say so.
        redact: called with each text that ``capture_content`` puts there, returns what may be told;
            where it raises or returns no text, none of that request's is. Keys are masked anyway.
        exporter: ``auto``, ``otlp``, ``local``, ``none`` or a ``SpanExporter``, for as long as
            the application has set no provider of its own.
    """
    settings = state.settled(guard, sections, capture_content, sdks, redact)
    _begin(
        settings,
        service_name=service_name,
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logger_provider=logger_provider,
        exporter=exporter,
    )


def _begin(settings: Settings, **providers: Any) -> None:
    from tokentrace import telemetry
    from tokentrace.telemetry import sources

    with _lock:
        again = state.settings is not None
        state.configure(settings)
        attempt(limits.load)
        attempt(factor_file.load)
        telemetry.configure(**providers)
        for hook in (*HOOKS, *frameworks.ENTRIES):
            attempt(_stand, hook)
        _told.listen(frameworks.told)
        for module in WATCHED_FOR:
            attempt(_watch, module)
        if telemetry.enabled():
            attempt(sources.tracer)  # loads what the first span needs, off the first call's path
        _tell_unknown(settings.sdks)
    if again:
        LOG.info("tokentrace was instrumented already: guard and settings replaced, hooks kept")


def uninstrument() -> None:
    """Take every hook out, and flush what was traced. Calls under way end as they would have."""
    from tokentrace import telemetry
    from tokentrace.instrument.aside import BENCH

    attempt(BENCH.settle)  # with the settings that its calls began with
    with _lock:
        for hook, (owner, name, wrapper) in tuple(state.hooked.items()):
            for undo in state.taken.pop(hook, ()):
                attempt(undo)
            attempt(_restore, owner, name, wrapper)
            del state.hooked[hook]
        _told.listen(None)
        state.configure(None)
        attempt(telemetry.shutdown)


def as_it_is() -> Callable[[], None]:
    """Return what brings back the settings of now: `uninstrument` where there are none."""
    from tokentrace import telemetry

    settings, providers = state.settings, telemetry.settings()
    if settings is None:
        return uninstrument
    known = {one.name: getattr(providers, one.name) for one in fields(providers)}
    return lambda: _begin(settings, **known)


def status() -> dict[str, Any]:
    """Return what is hooked, missing and not installed, and what was lost so far.

    Returns:
        ``active``; ``hooks``: by row, ``hooked``, ``waiting`` (the SDK is not imported yet),
        ``missing`` (the SDK is there, the place is not), ``not installed`` or ``off``;
        ``frameworks``: the same by name, ``read`` where they are asked for names;
        ``errors``: internal errors by kind; ``dropped``: telemetry lost, by reason;
        ``estimates``: calls whose count was no exact one, by method; ``folded``: names of
        components told under a common one, by reason; ``open``: calls that have not ended, and
        the seconds since the oldest of them began; ``factors``: what models count
        for each token of ours, as their reported usage says, by model and host; ``marks``: what became
        of the names that the application gave, and how many blocks of prompts there was no room to
        know again; ``learned``: limits that providers' refusals told, by model and host; ``aside``:
        large new texts that a thread counted for event loops (``taken``), and those that it could not
        take; ``traces``: spans and bytes, about, of the largest trace so far, and how
        many came near what back ends take of one.
    """
    from tokentrace import context, guard, telemetry
    from tokentrace.counting import waste
    from tokentrace.instrument.aside import BENCH
    from tokentrace.telemetry import losses, weighing

    rows = {f"{hook.module}:{hook.attr}": _state_of(hook) for hook in HOOKS}
    return {
        "active": state.settings is not None,
        "hooks": rows,
        "frameworks": {one.name: _state_of_framework(one) for one in frameworks.FRAMEWORKS},
        "errors": dict(_failsafe.failures),
        "dropped": dict(telemetry.dropped()),
        "estimates": dict(losses.estimates),
        "folded": dict(losses.folded),
        "open": telemetry.open_calls(),
        "marks": {**context.status(), **waste.status()},
        "learned": guard.learned_limits(),
        "factors": learning.learned_factors(),
        "traces": weighing.status(),
        "aside": dict(BENCH.counts),
    }


def _state_of(hook: Hook) -> str:
    if hook in state.hooked:
        return "hooked"
    if state.settings is not None and not _wanted(hook):
        return "off"
    if hook.module in sys.modules:
        return "missing" if state.settings is not None else "off"
    return "waiting" if _installed(hook.module) else "not installed"


def _state_of_framework(one: frameworks.Framework) -> str:
    if state.settings is None:
        return "off"
    modules = [one.module, *(entry.module for entry in one.entries)]
    if not frameworks.is_there(one.sdk):
        return "not installed"
    if any(_state_of(hook) == "missing" for hook in one.hooks):
        return "missing"
    return "read" if any(module in sys.modules for module in modules) else "waiting"


def _installed(module: str) -> bool:
    """Whether a module may be there; only packages without code are imported to find out."""
    steps = module.split(".")
    for name in (".".join(steps[: n + 1]) for n in range(len(steps))):
        if name in sys.modules:
            continue
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            return False
        if spec is None or name == module:
            return spec is not None
        if spec.origin is not None:
            return spec.submodule_search_locations is not None
    return True


def _tell_unknown(chosen: frozenset[str] | None) -> None:
    known = {hook.sdk for hook in HOOKS}
    for name in sorted((chosen or frozenset()) - known):
        names = ", ".join(sorted(known))
        _failsafe.warn_once(f"sdk:{name}", "no hook for the SDK %r; there are: %s", name, names)


def _stand(hook: Hook) -> None:
    """Wrap the row's callable now, or as soon as its module is imported."""
    if hook in state.hooked or not _wanted(hook):
        return
    if hook.module in sys.modules:
        _wrap(hook)
    elif hook not in _listening and _installed(hook.module):
        from wrapt import register_post_import_hook

        _listening.add(hook)
        register_post_import_hook(lambda _module: attempt(_arrived, hook), hook.module)


def _wanted(hook: Hook) -> bool:
    """Whether a hook shall stand: frameworks are asked whichever SDKs are hooked."""
    return state.settings is not None and (hook.reader == RUN or state.wanted(hook.sdk))


def _arrived(hook: Hook) -> None:
    with _lock:
        if _wanted(hook) and hook not in state.hooked:
            _wrap(hook)


def _watch(module: str) -> None:
    """See spans that another instrumentation does not make current, as soon as it is imported."""
    if module in sys.modules:
        _watching()
    elif module not in _listening:
        from wrapt import register_post_import_hook

        _listening.add(module)
        register_post_import_hook(lambda _module: attempt(_watching), module)


def _watching() -> None:
    with _lock:
        if state.settings is not None and WATCHED not in state.hooked:
            import_module(WATCHED.module)
            _wrap(WATCHED)


def _wrapper(hook: Hook) -> Any:
    """Return the wrapper of a row."""
    if hook is WATCHED:
        from tokentrace.telemetry import peers

        return peers.watch(hook)
    if hook.reader == ITEMS:
        from tokentrace.instrument.unread import relay

        return relay(hook)
    if hook.reader == OWN_SPAN:
        from tokentrace.instrument.places.speakeasy import hushed

        return hushed(hook)
    if hook.reader == RUN:
        return frameworks.runs.around(frameworks.ENTRIES[hook])
    from tokentrace.instrument.calls import around

    return around(hook)


def _wrap(hook: Hook) -> None:
    if hook.reader == RUN and not frameworks.is_there(hook.sdk):
        return  # a module of the application's own that bears the framework's name

    from tokentrace import telemetry
    from tokentrace.counting import tokenizers, vocab
    from tokentrace.instrument import captured
    from tokentrace.instrument.standing import Standing
    from tokentrace.providers import prices

    owner: Any = sys.modules[hook.module]
    *path, name = hook.attr.split(".")
    for step in path:
        owner = getattr(owner, step, None)
    original = vars(owner).get(name) if owner is not None else None
    if original is None:
        place = f"{hook.module}:{hook.attr}"
        lost = "its runs bear no names" if hook.reader == RUN else "its calls are not traced"
        _failsafe.warn_once(f"hook:{place}", "%s is not there; %s", place, lost)
        return
    wrapper = Standing(original, _wrapper(hook))
    setattr(owner, name, wrapper)
    state.hooked[hook] = (owner, name, wrapper)
    state.taken[hook] = attempt(captured.take, owner, name, original, default=[])
    if hook is not WATCHED and hook.reader != RUN:
        if state.settings is not None and state.settings.costs and telemetry.enabled():
            attempt(prices.load_in_background, partial(attempt, prices.load))
        vocab.load_in_background(VOCABULARY)
        tokenizers.load_in_background()


def _restore(owner: Any, name: str, wrapper: Any) -> None:
    """Put the original back where ours is on top; below another's wrapper it stays, and sleeps."""
    if vars(owner).get(name) is wrapper:
        setattr(owner, name, wrapper.__wrapped__)
