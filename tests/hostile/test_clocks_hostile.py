"""Clocks that step or stand still: durations stay what they were, and nothing is divided by nothing."""

from __future__ import annotations

import time
from dataclasses import replace

import opentelemetry.sdk.trace
import pytest
from typer.testing import CliRunner

import tokentrace
from hostile.cases import (
    COLOURS,
    SDKS,
    check_case,
    creating,
    perform,
    plain_reply,
    request,
    shop,
    stream_reply,
)
from tokentrace import cli
from tokentrace.telemetry import sources

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HOUR = 3600
NANO = 10**9


class Clock:
    """A wall clock that somebody sets while a call is under way."""

    def __init__(self, monkeypatch):
        self.moved = 0
        self.real = time.time_ns
        monkeypatch.setattr(time, "time", lambda: self() / NANO)
        monkeypatch.setattr(time, "time_ns", self)
        monkeypatch.setattr(opentelemetry.sdk.trace, "time_ns", self)

    def __call__(self):
        return self.real() + self.moved

    def set(self, seconds, reply):
        """Return what answers after the clock was set."""

        def answer(_sent):
            self.moved += seconds * NANO
            return reply

        return answer


def with_clocks(case, **clocks):
    """Return the case under clocks: ours were taken when our modules were imported."""

    async def run(where):
        sources._state.settings = replace(sources.settings(), **clocks)
        return await case(where)

    return run


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, -10 * 365 * 24 * HOUR])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("form", ["create", "stream"])
@pytest.mark.parametrize("sdk", SDKS)
def test_a_clock_that_steps_during_a_call(sdk, form, colour, seconds, monkeypatch):
    """CL1: the span lasts as long as the call, whatever became of the wall clock."""
    clock = Clock(monkeypatch)
    reply = stream_reply(sdk) if form == "stream" else plain_reply(sdk)
    stream = {"stream": True} if form == "stream" else {}
    case = with_clocks(creating(lambda kind: request(kind, **stream)), wall=clock)
    seen = check_case(case, shop(sdk, colour), clock.set(seconds, reply))
    (span,) = seen.spans
    assert 0 <= span.end_time - span.start_time < 60 * NANO
    assert 0 <= seen.call.end - seen.call.start < 60 * NANO
    assert clock.moved == 2 * seconds * NANO  # it was set in both runs


@pytest.fixture
def frozen(monkeypatch):
    """Stop every clock; give ours."""
    wall, steady = time.time_ns(), time.perf_counter_ns()
    monkeypatch.setattr(time, "time", lambda: wall / NANO)
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    monkeypatch.setattr(time, "perf_counter", lambda: steady / NANO)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: steady)
    monkeypatch.setattr(opentelemetry.sdk.trace, "time_ns", lambda: wall)
    return {"wall": lambda: wall, "steady": lambda: steady}


async def three_turns(where):
    with tokentrace.session("frozen"):
        answers = []
        for _ in range(3):
            with tokentrace.turn():
                answers.append(await creating(request)(where))
        return answers


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_clocks_that_stand_still(sdk, colour, frozen):
    """CL2: with every clock frozen a turn of calls has no negative and no endless number."""
    case = with_clocks(three_turns, **frozen)
    seen = check_case(case, shop(sdk, colour), plain_reply(sdk), calls=3)
    assert all(call.end == call.start for call in seen.calls)
    values = [value for span in seen.spans for value in span.attributes.values()]
    assert all(0 <= abs(value) < 1e12 for value in values if isinstance(value, int | float))


def test_a_report_of_clocks_that_stand_still(tmp_path, monkeypatch, frozen):
    """CL2: what was recorded with frozen clocks can be reported."""
    monkeypatch.setenv("TOKENTRACE_DIR", str(tmp_path / "traces"))
    tokentrace.instrument(exporter="local")
    perform(with_clocks(three_turns, **frozen), shop("openai", "sync"), plain_reply("openai"))
    tokentrace.uninstrument()
    told = CliRunner().invoke(cli.app, ["report", str(tmp_path / "traces")])
    assert (told.exit_code, told.exception) == (0, None)
    assert "frozen" in told.output
