"""Agents on gevent and uvloop, at the interpreter's end, and under hooks that come and go."""

from __future__ import annotations

import pytest

from lifecycles.conftest import CALL, spans_in

pytest.importorskip("openai", reason="openai is not installed")

# ── gevent ───────────────────────────────────────────────────────────────────────────────────────

# A child that forks is one in which the parent's greenlets go on: it would not be the last.
ALONE = """
import os, sys
ROOT = os.getpid()
def watch(event, _arguments):
    if event == "os.fork" and os.getpid() != ROOT:
        os.write(2, b"ERROR: a child forks")
        os._exit(9)
sys.addaudithook(watch)
"""

GEVENT = (
    "from gevent import monkey; monkey.patch_all()\n"
    + ALONE
    + CALL
    + """
import gevent
tokentrace.instrument()
client = openai.OpenAI(max_retries=0)
def one(number):
    with tokentrace.session(f"s{number}"):
        with tokentrace.turn():
            return call(client, stream=False).usage.prompt_tokens
jobs = [gevent.spawn(one, number) for number in range(40)]
gevent.joinall(jobs, raise_error=True)
print({job.value for job in jobs}, tokentrace.status()["errors"])
guard = tokentrace.Guard(limit=1, on_exceed="raise")
def refused():
    with tokentrace.session("refused", guard=guard):
        try:
            call(client)
        except tokentrace.TokenLimitExceeded:
            return True
print(gevent.spawn(refused).get())
tokentrace.uninstrument()
"""
)


def test_greenlets_of_a_patched_process(agent, server, tmp_path):
    """CO1, LI5: 40 greenlets have their answers, sessions and spans; a refusal sends nothing."""
    pytest.importorskip("gevent", reason="gevent is not installed; nox -s lifecycles")
    assert agent(GEVENT).splitlines() == ["{13} {}", "True"]
    assert len(server.requests) == 40
    (spans,) = spans_in(tmp_path / "traces").values()
    sessions = {}
    for span in spans:
        known = {one["key"]: one["value"] for one in span["attributes"]}
        if "gen_ai.usage.input_tokens" in known:
            name = known["gen_ai.conversation.id"]["stringValue"]
            sessions[name] = sessions.get(name, 0) + 1
    assert sessions == {f"s{number}": 1 for number in range(40)}


# ── uvloop ───────────────────────────────────────────────────────────────────────────────────────

UVLOOP = (
    CALL
    + """
import asyncio, uvloop
tokentrace.instrument()
async def main():
    async with openai.AsyncOpenAI(max_retries=0) as client:
        async def one(number):
            with tokentrace.session(f"s{number}"), tokentrace.turn():
                return (await call(client)).usage.prompt_tokens
        answers = await asyncio.gather(*(one(number) for number in range(40)))
        slow = asyncio.ensure_future(call(client))
        await asyncio.sleep(0)
        slow.cancel()
        try:
            await slow
        except asyncio.CancelledError:
            answers.append(13)
    print(set(answers), type(asyncio.get_running_loop()).__module__, tokentrace.status()["errors"])
uvloop.run(main())
tokentrace.uninstrument()
"""
)


def test_an_agent_on_uvloop(agent, tmp_path):
    """CO1, CO2: 40 tasks and a cancelled one on uvloop: answers, spans, no error."""
    pytest.importorskip("uvloop", reason="uvloop is not installed; nox -s lifecycles")
    assert agent(UVLOOP).strip() == "{13} uvloop {}"
    (spans,) = spans_in(tmp_path / "traces").values()
    calls = [span for span in spans if span["name"].startswith("chat ")]
    assert len(calls) == 41


# ── the end ──────────────────────────────────────────────────────────────────────────────────────

END = (
    CALL
    + """
import atexit, threading, time
tokentrace.instrument()
client = openai.OpenAI(max_retries=0)
call(client)
class Dying:
    def __del__(self, call=call, client=client):
        try:
            call(client)
        except Exception:
            pass  # the SDK's own, whose modules may be gone
kept = Dying()
atexit.register(call, client)
def work():
    while True:
        call(client)
threading.Thread(target=work, daemon=True).start()
print("ends")
"""
)


def test_calls_while_the_interpreter_ends(agent):
    """LI5: at exit, in ``__del__`` and in a daemon thread: no traceback, no hang, exit code 0."""
    assert agent(END) == "ends\n"


RACE = (
    CALL
    + """
import threading
stop = threading.Event()
def toggle():
    while not stop.is_set():
        tokentrace.instrument(exporter="none")
        tokentrace.status()
        tokentrace.uninstrument()
togglers = [threading.Thread(target=toggle) for _ in range(2)]
[thread.start() for thread in togglers]
answers = []
def work():
    own = openai.OpenAI(max_retries=0)
    for _ in range(25):
        answers.append(call(own).id)
workers = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in workers]
[thread.join() for thread in workers]
stop.set()
[thread.join() for thread in togglers]
own = vars(openai._base_client.SyncAPIClient)["request"]
print(len(answers), set(answers), type(own).__name__, tokentrace.status()["errors"])
"""
)


def test_hooks_that_come_and_go_from_two_threads(agent):
    """LI1: two threads toggle the hooks under four that call: every call answered, the original back."""
    assert agent(RACE).strip() == "100 {'chatcmpl-1'} function {}"
