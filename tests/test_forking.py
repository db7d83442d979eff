"""Inside a fork our own providers do nothing; they catch up when the child makes a call."""

from __future__ import annotations

import os

import pytest
from opentelemetry.sdk.trace import TracerProvider

from tokentrace.telemetry import forking, sources

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


class Reacting(TracerProvider):
    """Notes when it reacts to a fork, as the SDK's own does from 1.45 on."""

    def _handle_fork(self) -> None:
        self.reacted = os.getpid()


def in_child(work) -> bytes:
    """Return what ``work()`` gives in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, work())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as told:
        return told.read()


@pytest.mark.parametrize("ask", [sources.tracer, sources.instruments, sources.logger])
def test_a_provider_reacts_at_the_childs_first_call(ask):
    """Nothing runs in the fork itself, where other greenlets could get their turn."""
    one = forking.patient(Reacting)(shutdown_on_exit=False)
    one.reacted = 0

    def seen() -> bytes:
        before = one.reacted
        ask()
        return f"{before} {one.reacted == os.getpid()}".encode()

    assert isinstance(one, Reacting)
    assert in_child(seen) == b"0 True"
    assert one.reacted == 0


def test_it_reacts_once():
    """A second call in the same child does nothing more."""
    one = forking.patient(Reacting)(shutdown_on_exit=False)

    def seen() -> bytes:
        forking.renew()
        one.reacted = 0
        forking.renew()
        return str(one.reacted).encode()

    assert in_child(seen) == b"0"


def test_what_does_not_react_is_as_it_was():
    """Kinds of an SDK that knows nothing of forks gain nothing."""
    assert vars(forking.patient(dict)).keys() & set(forking.REACTIONS) == set()
