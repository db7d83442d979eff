"""What a guard does: asks callbacks, warns, refuses.

Callbacks are the agent's own code: what they raise is counted and never reaches the host, except
`TokenLimitExceeded`, and `TokenLimitWarning` where the warnings filter says error.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Container, Generator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tokentrace import _failsafe
from tokentrace.counting import stored
from tokentrace.errors import TokenLimitExceeded, TokenLimitWarning
from tokentrace.guard.deciding import certain_components, exceeds, final, judged, pressed
from tokentrace.prompt import LimitReport

if TYPE_CHECKING:
    from tokentrace.guard import Guard
    from tokentrace.lineage import Lineage

Body = dict[str, Any]
Steps = Generator[Any, Any, Any]

MOST_TRIES = 2
MOST_MODELS = 256
DEPTH = 64
NODES = 1_000_000  # what holds itself twice has no end

_free: ContextVar[bool] = ContextVar("tokentrace_unguarded", default=False)
_speaking: ContextVar[bool] = ContextVar("tokentrace_speaking", default=False)
_unknown: set[str] = set()
QUIET: frozenset[str] = frozenset()


def unguarded() -> bool:
    """Whether the caller runs inside a callback of a guard: traced, but not guarded."""
    return _free.get()


class During:
    """Sets one of the flags above for the length of a block, safely across tasks."""

    def __init__(self, flag: ContextVar[bool]) -> None:
        self._flag = flag
        self._before = False

    def __enter__(self) -> None:
        self._before = self._flag.get()
        self._flag.set(True)

    def __exit__(self, *error: object) -> None:
        self._flag.set(self._before)


class Callback:
    """Around a callback of the agent: what it raises is counted, and the call goes on."""

    def __init__(self, where: str) -> None:
        self._where = f"callback {where}"

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None or isinstance(error, _failsafe.PASSED):
            return False
        if type(error).__name__ == "CancelledError":
            return False
        _failsafe.record(error, self._where)
        return True


class Free:
    """An awaitable of a callback, awaited without the guard."""

    def __init__(self, awaitable: Any) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        with During(_free):
            return (yield from self._awaitable.__await__())


# ── callbacks that change the count ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be sent.

    Attributes:
        body: the request body; the very one that came in where nothing changed.
        report: the final report; its decision is never ``compress`` unless that was enough.
        saved: tokens that the compress callback saved.
    """

    body: Any
    report: LimitReport
    saved: int = 0


def unsettled(guard: Guard | None, report: LimitReport) -> bool:
    """Whether `settle` has something to do."""
    return guard is not None and report.decision in {"verify", "compress"}


def settle(
    guard: Guard,
    body: Any,
    report: LimitReport,
    again: Callable[[Any], LimitReport],
    *,
    ask: Callable[[Body], Any] | None = None,
    known: Container[str] = (),
    soft: int | None = None,
    hides: Callable[[], bool] = bool,
) -> Generator[Any, Any, Settled]:
    """Verify an uncertain count, compress a prompt that is too long; return what to send.

    A generator without colour: it yields what a callback returned to be awaited. Send the result
    in, or throw the error in; where nothing can be awaited, throw a TypeError in.

    Args:
        guard: whose callbacks are asked.
        body: the request body. Callbacks get a copy.
        report: from `decide`.
        again: counts and decides on another body.
        ask: the provider's own count call, for ``verify="near-limit"``.
        known: section names that may be told.
        soft: tokens above which only a warning is right, see `decide`.
        hides: says whether the prompt counted last is more than its body: then that is what its
            provider's own number tells of.
    """
    asked = _Asked(guard, again, ask, known, soft, hides)
    report = yield from asked.verified(body, report)
    return (yield from asked.compressed(body, report))


def _complain(answer: Any) -> None:
    if answer is not None:
        _failsafe.record(TypeError("no dict"), "callback compress")


def _asked(where: str, callback: Any, *args: Any) -> Steps:
    """Return what a callback gives, awaited by the driver where it must be; None when it raises."""
    answer = None
    with Callback(where), During(_free):
        answer = callback(*args)
    if not inspect.isawaitable(answer):
        return answer
    result = None
    with Callback(where):
        result = yield Free(answer)
    if inspect.iscoroutine(answer):
        answer.close()
    return result


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a guard asks of a count, see `settle`."""

    guard: Guard
    again: Callable[[Any], LimitReport]
    ask: Callable[[Body], Any] | None
    known: Container[str]
    soft: int | None
    hides: Callable[[], bool]

    def verified(self, body: Any, report: LimitReport) -> Generator[Any, Any, LimitReport]:
        """Return the report on the provider's own count, where the bound hid the decision."""
        if report.decision != "verify":
            return report
        verifier = self.guard.verify if callable(self.guard.verify) else self.ask
        tokens = None
        if verifier is not None:
            tokens = yield from _asked("verify", verifier, copied(body))
        if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
            count = stored.provided(report.count, tokens, hidden=self.hides())
            report = replace(report, count=count)
        return judged(self.guard, report, soft=self.soft, known=self.known, verify=False)

    def compressed(self, body: Any, report: LimitReport) -> Generator[Any, Any, Settled]:
        """Return what to send, shortened where the guard has a callback for that."""
        guard, saved, changed = self.guard, 0, False
        for _ in range(MOST_TRIES):
            if report.decision != "compress":
                break
            shorter = yield from _asked("compress", guard.compress, copied(body), report)
            if not isinstance(shorter, dict):
                _complain(shorter)
                break
            after = yield from self.verified(shorter, self.again(shorter))
            if after.decision == "compress" and after.count.total > report.count.total:
                _failsafe.record(ValueError("longer"), "callback compress")
                self.again(body)  # what is recorded and learned is of what is sent
                break
            saved += report.count.total - after.count.total
            body, report, changed = shorter, after, True
        ready = report.decision in {"compress", "ok"}
        decision = final(guard, report) if ready else report.decision
        if changed and saved > 0 and decision != "refuse":
            decision = "compress"
        return Settled(body, replace(report, decision=decision), max(0, saved))


def copied(value: Any, depth: int = 0, left: list[int] | None = None) -> Any:
    """Return a copy of JSON data that a callback may change; texts and odd objects are shared."""
    left = [NODES] if left is None else left
    left[0] -= 1
    if depth < DEPTH and left[0] > 0 and isinstance(value, Mapping):
        return {key: copied(item, depth + 1, left) for key, item in value.items()}
    if depth < DEPTH and left[0] > 0 and type(value) in {list, tuple}:
        return type(value)(copied(item, depth + 1, left) for item in value)
    if depth < DEPTH and left[0] > 0 and isinstance(value, list):
        return [copied(item, depth + 1, left) for item in value]
    return value


# ── warning and refusing ─────────────────────────────────────────────────────────────────────────


def act(guard: Guard | None, report: LimitReport, lineage: Lineage | None = None) -> None:
    """Do what the final report says: refuse, call, warn, or nothing.

    Raises:
        TokenLimitExceeded: the decision is ``refuse``, or the guard's callable says so.
        TokenLimitWarning: where the warnings filter says error.
    """
    if guard is None:
        return
    if report.decision == "refuse":
        raise TokenLimitExceeded(report)
    if report.count.limit is None:
        _unknown_model(report.model)
    if report.decision == "ok":  # no limit is passed then, and no forecast is near
        if lineage is not None:
            lineage.level, lineage.alarms = report.threshold, QUIET
        return
    over = exceeds(report) or certain_components(guard, report)
    if over and callable(guard.on_exceed):
        answer = None
        with Callback("on_exceed"), During(_free):
            answer = guard.on_exceed(report)
        if inspect.iscoroutine(answer):
            answer.close()
            _failsafe.record(TypeError("async"), "callback on_exceed")
    warn(guard, report, lineage)


def reset() -> None:
    """Forget which models were told to be unknown (tests)."""
    _unknown.clear()


def _unknown_model(model: str) -> None:
    model = model[:100]
    if model in _unknown or len(_unknown) >= MOST_MODELS:
        return
    _unknown.add(model)
    _failsafe.say(
        "no input limit is known for model %r; give one with tokentrace.Guard(limit=...)", model
    )


def warn(guard: Guard, report: LimitReport, lineage: Lineage | None = None) -> None:
    """Warn of what is new since the lineage's last call: once for each upward crossing.

    A Python warning first, so that one that is an error stops the call and comes again with the
    next attempt; then a log record with the numbers.
    """
    texts = _news(guard, report, lineage)
    if texts and not _speaking.get():
        with During(_speaking):
            for text in texts:
                warnings.warn(TokenLimitWarning(text, report), stacklevel=2)
            _remember(guard, report, lineage)
            _failsafe.say("%s", report.message)
        return
    _remember(guard, report, lineage)


def _news(guard: Guard, report: LimitReport, lineage: Lineage | None) -> list[str]:
    """Return the constant texts of what is new."""
    if report.decision == "ok":
        return []
    level, active = (0.0, frozenset[str]()) if lineage is None else (lineage.level, lineage.alarms)
    texts = [_crossing(report)] if report.threshold > level else []
    alarms = _alarms(guard, report)
    return texts + [text for name, text in alarms.items() if name not in active]


def _remember(guard: Guard, report: LimitReport, lineage: Lineage | None) -> None:
    if lineage is not None:
        lineage.level = report.threshold
        lineage.alarms = frozenset(_alarms(guard, report))


def _crossing(report: LimitReport) -> str:
    if exceeds(report):
        return f"the prompt for model {report.model!r:.100} is above its input limit"
    share = f"{report.threshold:.4g}"
    return f"the prompt for model {report.model!r:.100} reached {share} of its input limit"


def _alarms(guard: Guard, report: LimitReport) -> dict[str, str]:
    """Return what there is to warn of besides the threshold: name and constant text."""
    model = f"model {report.model!r:.100}"
    alarms = {
        f"component {name}": f"component {name!r:.80} is above its own limit for {model}"
        for name in report.exceeded
    }
    if not report.threshold and pressed(guard, report):
        alarms["forecast"] = f"the prompts for {model} grow to their input limit in a few turns"
    if report.decision == "warn" and not report.threshold and not alarms:
        alarms["output"] = f"the requested output does not fit beside the prompt for {model}"
    return alarms
