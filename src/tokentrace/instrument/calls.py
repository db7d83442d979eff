"""One life of a call: count, guard, span; the host's own call; usage, drift, end.

`around` makes the wrapper of a hook. `Call` is that life: it knows no SDK and no colour, and every
step of it runs inside `_failsafe.attempt`, so that only the guard's refusal reaches the host.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from tokentrace import _deliver, _shapes, context, dialects, guard, schema, telemetry, turns
from tokentrace._failsafe import OnError, attempt, outcome
from tokentrace._sessions import Registry
from tokentrace.counting.claims import Lens
from tokentrace.counting.counter import measure
from tokentrace.counting.waste import UNSEEN
from tokentrace.errors import TokentraceError
from tokentrace.instrument import asking, caching, content, learning, records, state
from tokentrace.instrument.answers import Answer, Lines
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request, reader
from tokentrace.prompt import EXACT, CallRecord, Count, LimitReport, Prompt, Usage

UNKNOWN = Usage()
DONE = object()
# Seconds of counting that a call may wait for; text beyond it is counted by the calls that follow.
BUDGET = 0.05

_inside: ContextVar[bool] = ContextVar("tokentrace_inside", default=False)


def around(hook: Hook) -> Callable[..., Any]:
    """Return the wrapper that stands around the callable of ``hook``."""
    read = reader(hook.reader)

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if state.settings is None or _inside.get():
            return wrapped(*args, **kwargs)
        args = list(args)  # a place may put something else there
        request = attempt(read, hook, instance, args, kwargs)
        call = None if request is None else attempt(Call, request)
        if call is None:
            return wrapped(*args, **kwargs)
        return live(call, wrapped, args, kwargs)

    return wrapper


def inside() -> bool:
    """Whether the caller runs inside a call that is counted already."""
    return _inside.get()


def live(call: Call, work: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run the call's first half, then the host's own call, followed to its end."""
    waiting = prepared(call, lambda: _deliver.opens(work) or inspect.iscoroutinefunction(work))
    then = partial(_shapes.run, work, args, kwargs, call)
    if waiting is None:
        return then()
    return _opened(waiting, then) if _deliver.opens(work) else _after(waiting, then)


def prepared(call: Call, can_wait: Callable[[], bool]) -> Coroutine[Any, Any, None] | None:
    """Run the call's first half; return the rest of it where a callback must be awaited.

    Where the caller cannot wait, which is asked only then, the callback is told so and counted.
    """
    steps = call.begin()
    waiting = attempt(_advance, steps, default=DONE)
    if waiting is not DONE and can_wait():
        return _wait(steps, waiting)
    while waiting is not DONE:
        waiting = attempt(_refuse, steps, waiting, default=DONE)
    return None


async def _after(waiting: Coroutine[Any, Any, None], then: Callable[[], Any]) -> Any:
    await waiting
    return await then()


@asynccontextmanager
async def _opened(waiting: Coroutine[Any, Any, None], then: Callable[[], Any]) -> Any:
    await waiting
    async with then() as given:
        yield given


def _advance(steps: Generator[Any, Any, None], value: Any = None) -> Any:
    """Run to the next awaitable that a callback gave; ``DONE`` at the end."""
    try:
        return steps.send(value)
    except StopIteration:
        return DONE


def _throw(steps: Generator[Any, Any, None], error: BaseException) -> Any:
    try:
        return steps.throw(error)
    except StopIteration:
        return DONE


def _refuse(steps: Generator[Any, Any, None], waiting: Any) -> Any:
    """Tell a callback that nobody can await what it gave."""
    if inspect.iscoroutine(waiting):
        waiting.close()
    return _throw(steps, TypeError("an async callback needs an async client"))


async def _wait(steps: Generator[Any, Any, None], waiting: Any) -> None:
    """Await what a callback gave, as often as it does."""
    while waiting is not DONE:
        value, error = await outcome(waiting)
        if error is None:
            waiting = attempt(_advance, steps, value, default=DONE)
        else:
            waiting = attempt(_throw, steps, error, default=DONE)


def _lens(registry: Registry) -> tuple[Lens, set[Any]]:
    """Return the session's lens and the tags it found; new where tags or settings have changed."""
    tags = context.tags_of(registry)
    kept = registry.lens
    if kept is None or kept[0] is not tags or kept[1] is not state.settings:
        found: set[Any] = set()
        sections = state.settings.sections if state.settings else True
        lens = Lens(tags, sections, state.templates.saw, found.add)
        kept = registry.lens = (tags, state.settings, lens, found)
    return kept[2], kept[3]


class Call:
    """One LLM call from the body that is about to leave to its last token.

    It is its own follower (see `_shapes.Follower`): it ends once, whatever the caller does.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.place = turns.current()
        self.guard = self._guard()
        self.usage = UNKNOWN
        self.lines = Lines()
        self.report: LimitReport | None = None
        self.record: CallRecord | None = None
        self.span: Any = None
        self.lineage: Any = None
        self.standing: Any = None
        self.own: learning.Own | None = None
        self.prompt = Prompt(request.api)
        self.overhead = 0.0
        self._started = 0.0
        self._over = False

    def _guard(self) -> guard.Guard | None:
        if guard.unguarded():
            return None
        if self.place.guard is not None:
            return state.guard_of(self.place.guard)
        return state.settings.guard if state.settings else None

    # ── before the host's call ───────────────────────────────────────────────────────────────────

    def begin(self) -> Generator[Any, Any, None]:
        """Count, have the guard decide, open the span. Yields what a callback wants awaited."""
        if self.guard is None and not telemetry.wanted():
            return
        self._clock()
        report = self._report(self.request.body)
        saved = 0
        if self.guard is not None and guard.unsettled(self.guard, report):
            self._clock()
            settled = yield from guard.settle(
                self.guard,
                self.request.body,
                report,
                self._report,
                ask=asking.Question(
                    self.request, lambda tokens: self.own is None or self.own.believes(tokens)
                ),
                known=state.templates,
                soft=self._soft(),
                hides=lambda: self.own is not None and self.own.hides,
            )
            self._clock()
            report, saved = self._settled(settled)
        self.report = report
        attempt(self._open, report, saved)  # a broken processor keeps no guard from its work
        self._clock()
        self._act(report, saved)

    def _clock(self) -> None:
        """Start or stop the clock of our own work."""
        now = time.perf_counter()
        if self._started:
            self.overhead += now - self._started
            self._started = 0.0
        else:
            self._started = now

    def _report(self, body: Any) -> LimitReport:
        """Count a body and say what the guard makes of it."""
        count = self._measure(body)
        if self.lineage is None:
            place = self.place
            self.lineage = place.registry.lineages.follow(
                self.prompt,
                agent=place.agent,
                turn=place.turn_number,
                run=place.run,
                after=learning.leading(self.request, self.prompt),
            )
        self.own = learning.own(self.request, self.prompt, count)
        count = learning.better(self.own, self.lineage)
        seen = self.prompt.memo.get("waste", UNSEEN)
        steady = self.lineage.unchanged(seen.contents, count) if seen.contents else ()
        self.standing = self.lineage.standing(count, waste=seen.waste + steady)
        return guard.decide(
            self.guard,
            count,
            self.standing,
            soft=self._soft(),
            known=state.templates,
            unbounded=self.own.unbounded,
        )

    def _measure(self, body: Any) -> Count:
        request = self.request
        lens, found = _lens(self.place.registry)
        self.prompt, count = measure(
            body,
            api=request.api,
            provider=request.provider,
            base_url=request.base_url,
            lens=lens,
            limit=partial(guard.limit_of, self.guard, request.provider, request.base_url),
            budget_s=BUDGET,
            contexts=partial(learning.contexts, request),
            wasteful=True,
        )
        context.note_hits(found, self.place.registry)
        return count

    def _soft(self) -> int | None:
        request = self.request
        return guard.soft_limit_of(self.guard, request.provider, request.base_url, self.prompt)

    def _settled(self, settled: guard.Settled) -> tuple[LimitReport, int]:
        """Send the body that the callbacks left."""
        if settled.body is not self.request.body:
            self.request.replace(settled.body)
        return settled.report, settled.saved

    def _open(self, report: LimitReport, saved: int) -> None:
        """Open the span with all that is known before the call."""
        count = report.count
        if count.method != EXACT:
            state.estimates[count.method] += 1
        where = records.Where(self.place, self.lineage, self.standing)
        self.record = records.record(self.request, self.prompt, report, where, saved)
        self.span = telemetry.open_call(
            self.record,
            attributes=self.place.attributes,
            sdk=self.request.sdk,
            line=self.lineage,
        )
        if self.span.recording:
            self.request.hush()
            self.span.set(content.captured(self.request.body, self.span.most))

    def _act(self, report: LimitReport, saved: int) -> None:
        """Warn or refuse; a refused call was never sent, so its lineage does not know it."""
        level, alarms = self.lineage.level, self.lineage.alarms

        def refused(error: BaseException) -> None:
            attempt(self._tell, report, saved, fresh=True)
            self.fail(error)

        with OnError(refused):
            attempt(guard.act, self.guard, report, self.lineage)
        fresh = self.lineage.level > level or bool(self.lineage.alarms - alarms)
        attempt(self._tell, report, saved, fresh=fresh)
        self.lineage.note(report.count)
        if seen := self.prompt.memo.get("waste"):
            self.lineage.hold(seen.contents)

    def _tell(self, report: LimitReport, saved: int, *, fresh: bool) -> None:
        """Put what happened on the span, and among the log records."""
        if self.span is None:
            return
        for name, attributes in records.events(report, saved, fresh=fresh):
            telemetry.emit(name, attributes, self.span)

    # ── while it runs ────────────────────────────────────────────────────────────────────────────

    def enter(self) -> None:
        """The host's own code begins: the span is current in it, and hooks under it are quiet."""
        _inside.set(True)
        if self.span is not None:
            self.span.attach()

    def leave(self) -> None:
        """It is over, or hands back a stream."""
        _inside.set(False)
        if self.span is not None:
            self.span.detach()

    def chunk(self, item: Any) -> None:
        """Fold a stream's item into the usage, or the events in a piece of its text.

        A refusal may come as an item.
        """
        for event in self.lines.items(item):
            answer = self._told(event)
            if answer.error:
                self.refused(answer)
            self.usage = self._dialect().fold(self.usage, answer.body)

    # ── its end ──────────────────────────────────────────────────────────────────────────────────

    def end(self, value: Any = None) -> None:
        """End well: the usage is the response's, or what the stream told; a refusal is none."""
        if value is not None and attempt(self.request.follow, value, self, default=False):
            return
        if self._over:
            return
        answer = self._told(value)
        if answer.error:
            self.refused(answer)
            return
        if answer.body is not None:
            self.usage = self._dialect().usage(answer.body)
        if self.usage.input is not None:
            attempt(self._teach)
        self._close(None)

    def _told(self, value: Any) -> Answer:
        """Return what the place makes of a value that came back."""
        answer = None if value is None else self.request.answer(value)
        return answer if isinstance(answer, Answer) else Answer(answer)

    def _teach(self) -> None:
        """Learn from what the provider reported, once: an end may be told twice, by a stream too."""
        known, self.own = self.own, None
        if known is not None:
            learning.answered(known, self.usage, self.lineage, self.report)
            if self.record is not None:
                self.record = learning.told(self.record, known, self.usage)
                self.record = caching.told(self.record, known, self.usage, self.lineage)

    def fail(self, error: BaseException) -> None:
        """End with the error that the caller sees; a provider's refusal may tell a limit."""
        if isinstance(error, Exception) and not isinstance(error, TokentraceError):
            attempt(self._learn, error)
        self._close(error)

    def _learn(self, error: Any) -> None:
        """Take the limit from a context-length error, and tell of it."""
        request, report = self.request, self.report
        count = None if report is None else report.count
        found = guard.learn(request.provider, request.base_url, self.prompt, count, error)
        if found is not None and report is not None and self.span is not None:
            told = records.overflowed(report, found.limit, found.tokens)
            telemetry.emit(schema.LIMIT_EXCEEDED, told, self.span)

    def refused(self, answer: Answer) -> None:
        """End because the provider answered with an error."""
        self._learn(SimpleNamespace(status_code=answer.status, body=answer.body))
        if self.record is not None:
            self.record = replace(self.record, error_type=answer.error)
        self._close(None)

    def abandon(self) -> None:
        """End because the caller let go; what the stream told so far counts."""
        self.end()

    def _dialect(self) -> Any:
        return dialects.find(self.request.api) or dialects.find("generic")

    def _close(self, error: BaseException | None) -> None:
        self._over = True
        span, self.span = self.span, None
        if span is not None and self.record is not None:
            record = self.record
            if self.usage is not UNKNOWN:
                if record.usage is not self.usage:
                    record = replace(record, usage=self.usage)
                record = attempt(records.priced, record, default=record)
            span.close(record, error, self.overhead)
