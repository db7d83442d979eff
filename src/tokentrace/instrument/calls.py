"""One life of a call: count, guard, span; the host's own call; usage, drift, end.

`around` makes the wrapper of a hook. `Call` is that life: it knows no SDK and no colour, and every
step of it runs inside `_failsafe.attempt`, so that only the guard's refusal reaches the host.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from tokentrace import _deliver, _shapes, dialects, guard, schema, telemetry, turns
from tokentrace._failsafe import OnError, attempt
from tokentrace.counting.pace import give_way
from tokentrace.counting.reading import Again, Reading
from tokentrace.errors import TokentraceError
from tokentrace.instrument import asking, caching, content, flight, learning, records, state
from tokentrace.instrument.answers import Answer, Lines
from tokentrace.instrument.aside import Work
from tokentrace.instrument.counts import Counts
from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request, read_already, reader
from tokentrace.instrument.waiting import after, opened, prepared
from tokentrace.prompt import CallRecord, LimitReport, Prompt, Usage
from tokentrace.telemetry import losses

UNKNOWN = Usage()

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

    def can_wait() -> bool:
        return _deliver.opens(work) or inspect.iscoroutinefunction(work)

    waiting = prepared(call.begin(can_wait), can_wait)
    then = partial(_shapes.run, work, args, kwargs, call)
    if waiting is None:
        return then()
    return opened(waiting, then) if _deliver.opens(work) else after(waiting, then)


class Call:
    """One LLM call from the body that is about to leave to its last token.

    It is its own follower (see `_shapes.Follower`): it ends once, whatever the caller does.

    Attributes:
        flies: it may be counted while it is under way; not where somebody reads its report before.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.place = turns.current()
        self.guard = self._guard()
        self.usage = UNKNOWN
        self.read: Mapping[str, Any] = records.NOTHING
        self.lines = Lines()
        self.report: LimitReport | None = None
        self.record: CallRecord | None = None
        self.span: Any = None
        self.flies = True
        self.flying: Work | None = None
        self.counts: Counts | None = None
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

    def begin(self, can_wait: Callable[[], bool]) -> Generator[Any, Any, None]:
        """Count, have the guard decide, open the span. Yields what must be awaited.

        Args:
            can_wait: whether the caller can; asked only where that makes a difference.
        """
        if self.guard is None and not telemetry.wanted():
            return
        self._clock()
        counts = self.counts = Counts(self.request, self.place, self.guard)
        reading = counts.read(self.request.body)
        known = flight.certain(counts, reading) if self.flies else None
        if known is not None and attempt(self._fly, counts, reading, known, default=False):
            self._clock()
            return
        report = yield from flight.counted(counts, reading, can_wait, self._clock)
        saved = 0
        if self.guard is not None and guard.unsettled(self.guard, report):
            self._clock()
            settled = yield from self._settle(self.guard, counts, report)
            self._clock()
            report, saved = self._settled(settled)
        self.report = report
        attempt(
            self._open, counts, report, saved
        )  # a broken processor keeps no guard from its work
        self._clock()
        self._act(counts, report, saved)

    def _settle(
        self, judge: guard.Guard, counts: Counts, report: LimitReport
    ) -> Generator[Any, Any, guard.Settled]:
        """Ask the guard's callbacks."""
        return guard.settle(
            judge,
            self.request.body,
            report,
            counts.again,
            ask=asking.Question(self.request, counts.believes),
            known=state.templates,
            soft=counts.soft(),
            hides=counts.hides,
        )

    def _clock(self) -> None:
        """Start or stop the clock of our own work."""
        now = time.perf_counter()
        if self._started:
            self.overhead += now - self._started
            self._started = 0.0
        else:
            self._started = now

    def _settled(self, settled: guard.Settled) -> tuple[LimitReport, int]:
        """Send the body that the callbacks left."""
        if settled.body is not self.request.body:
            self.request.replace(settled.body)
        return settled.report, settled.saved

    def _open(self, counts: Counts, report: LimitReport, saved: int) -> None:
        """Open the span with all that is known before the call."""
        self.record = self._recorded(counts, report, saved)
        self._opened(counts, self.record)

    def _recorded(self, counts: Counts, report: LimitReport, saved: int) -> CallRecord:
        """Return the call's record, and count whether it is an estimate."""
        where = records.Where(self.place, counts.lineage, counts.standing)
        record = records.record(self.request, counts.prompt, report, where, saved)
        losses.note(report.count, record)
        return record if record.turn == counts.turn else replace(record, turn=counts.turn)

    def _opened(self, counts: Counts, record: CallRecord) -> None:
        self.span = telemetry.open_call(
            record,
            attributes=self.place.attributes,
            sdk=self.request.sdk,
            line=counts.lineage,
        )
        if self.span.recording:
            self.request.hush()
            self.span.set(content.captured(self.request.body, self.span.most))

    def _act(self, counts: Counts, report: LimitReport, saved: int) -> None:
        """Warn or refuse; a refused call was never sent, so its lineage does not know it."""
        lineage = counts.lineage
        level, alarms = lineage.level, lineage.alarms

        def refused(error: BaseException) -> None:
            attempt(self._tell, report, saved, fresh=True)
            self.fail(error)

        with OnError(refused):
            attempt(guard.act, self.guard, report, lineage)
        fresh = lineage.level > level or bool(lineage.alarms - alarms)
        if fresh or saved or report.decision == "refuse":
            attempt(self._tell, report, saved, fresh=fresh)
        counts.note(report.count)

    def _tell(self, report: LimitReport, saved: int, *, fresh: bool) -> None:
        """Put what happened on the span, and among the log records."""
        if self.span is None:
            return
        for name, attributes in records.events(report, saved, fresh=fresh):
            telemetry.emit(name, attributes, self.span)

    # ── counted while it runs ────────────────────────────────────────────────────────────────────

    def _fly(self, counts: Counts, reading: Reading | Again, report: LimitReport) -> bool:
        """Let the call leave before it is counted; False where its span would not wait for that."""
        where = records.Where(self.place, counts.lineage, counts.standing)
        record = records.record(self.request, counts.prompt, report, where, 0)
        if not telemetry.alone(record):
            return False
        self.report, self.record = report, record
        attempt(self._opened, counts, records.uncounted(record))
        attempt(guard.act, self.guard, report, counts.lineage)
        self.flying = flight.begun(counts, reading.fresh, partial(self._land, counts, reading))
        if self.flying is None:
            losses.note(report.count, record)
            counts.note(report.count)
        return True

    def _land(self, counts: Counts, reading: Reading | Again) -> None:
        """Count a call that is on its way; its verdict stands."""
        count = counts.counted(reading, flight.at_leisure)
        give_way()
        report = counts.told(count)
        decision = self.report.decision if self.report else report.decision
        self.report = report = replace(report, decision=decision)
        give_way()
        self.record = self._recorded(counts, report, 0)
        counts.note(report.count)
        give_way()  # what follows may be the span's end

    # ── while it runs ────────────────────────────────────────────────────────────────────────────

    def enter(self) -> None:
        """The host's own code begins: the span is current in it, and hooks under it are quiet."""
        _inside.set(True)
        if self.span is not None and not self._over:
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
        follow = self.request.follow
        unread = value is not None and follow is not read_already
        if unread and attempt(follow, value, self, default=False):
            return
        if self._over:
            return
        answer = self._told(value)
        if answer.error:
            self.refused(answer)
            return
        if answer.body is not None:
            self.usage = self._dialect().usage(answer.body)
        self._close(None, self._teach if self.usage.input is not None else None)

    def _told(self, value: Any) -> Answer:
        """Return what the place makes of a value that came back."""
        answer = None if value is None else self.request.answer(value)
        return answer if isinstance(answer, Answer) else Answer(answer)

    def _teach(self) -> None:
        """Learn from what the provider reported."""
        counts, record = self.counts, self.record
        if counts is not None and counts.own is not None:
            learning.answered(counts.own, self.usage, counts.lineage, self.report)
            if record is not None:
                record = learning.told(record, counts.own, self.usage)
                self.record = record
                self.read = caching.told(record, counts.own, self.usage, counts.lineage)

    def fail(self, error: BaseException) -> None:
        """End with the error that the caller sees; a provider's refusal may tell a limit."""
        learns = isinstance(error, Exception) and not isinstance(error, TokentraceError)
        self._close(error, partial(self._learn, error) if learns else None)

    def _learn(self, error: Any) -> None:
        """Take the limit from a context-length error, and tell of it."""
        request, report = self.request, self.report
        count = None if report is None else report.count
        prompt = Prompt(request.api) if self.counts is None else self.counts.prompt
        found = guard.learn(request.provider, request.base_url, prompt, count, error)
        if found is not None and report is not None and self.span is not None:
            told = records.overflowed(report, found.limit, found.tokens)
            telemetry.emit(schema.LIMIT_EXCEEDED, told, self.span)

    def refused(self, answer: Answer) -> None:
        """End because the provider answered with an error."""
        self._close(None, partial(self._refused, answer))

    def _refused(self, answer: Answer) -> None:
        attempt(self._learn, SimpleNamespace(status_code=answer.status, body=answer.body))
        if self.record is not None:
            self.record = replace(self.record, error_type=answer.error)

    def abandon(self) -> None:
        """End because the caller let go; what the stream told so far counts."""
        self.end()

    def _dialect(self) -> Any:
        return dialects.find(self.request.api) or dialects.find("generic")

    def _close(self, error: BaseException | None, lesson: Callable[[], Any] | None) -> None:
        """End, once: an end may be told twice. The span ends when its count is there, with the time of now."""
        if self._over:
            return
        self._over = True
        lasted = None
        if self.span is not None:
            self.span.detach()
            lasted = self.span.elapsed()
        end = partial(self._finish, error, lesson, lasted)
        if self.flying is None:
            end()
        else:
            self.flying.then(end)

    def _finish(
        self, error: BaseException | None, lesson: Callable[[], Any] | None, lasted: int | None
    ) -> None:
        if lesson is not None:
            attempt(lesson)
        span, self.span = self.span, None
        if span is not None and self.record is not None:
            record = self.record
            if self.usage is not UNKNOWN:
                seen = span.recording
                memo = {} if self.counts is None else self.counts.prompt.memo
                given = (record, self.usage, self.read, memo if seen else None)
                record = attempt(records.ended, *given, default=record)
            span.close(record, error, self.overhead, lasted)
