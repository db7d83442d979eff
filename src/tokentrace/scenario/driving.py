"""Two ways to give an agent a prompt: a command, one process a turn, or a callable in a process.

Neither way runs anything in this process, and none uses a shell.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tokentrace import _config, boot
from tokentrace.boot import programs
from tokentrace.errors import InputError
from tokentrace.scenario import children
from tokentrace.scenario.children import Child, Family, Stopped
from tokentrace.scenario.plan import Step

OK, FAILED, TIMED_OUT, FLOODED = "ok", "failed", "timed_out", "flooded"
HOLE = re.compile(r"\{(prompt|turn|session|phase)\}")
LONGEST = 8 * 2**20  # of a message from the worker
WORKER = f"{__package__}.worker"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn went.

    Attributes:
        state: ``ok``, ``failed``, ``timed_out`` or ``flooded``.
        reason: why, without any of the agent's words; empty where it is ok.
        answer: what the agent said; kept in memory only.
        shown: the agent's own account of its failure, for the terminal only.
    """

    state: str
    reason: str = ""
    answer: str = ""
    shown: str = ""


class Driver(Protocol):
    """Gives prompts to one session of an agent, one after the other."""

    def serve(self, step: Step) -> Outcome:
        """Have the agent serve a turn."""

    def close(self) -> None:
        """Nothing more will come."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session of an agent runs, and what it is told.

    Attributes:
        session: its id.
        folder: of its trace files, absolute.
        family: the processes of the run.
        given: further variables.
    """

    session: str
    folder: str
    family: Family
    given: Mapping[str, str] = field(default_factory=dict)

    def variables(self, **told: str) -> dict[str, str]:
        """Return the environment of the agent: traced, into this run's folder, as this session."""
        ours = {
            "TOKENTRACE_DIR": self.folder,
            "TOKENTRACE_EXPORTER": "local",
            "TOKENTRACE_SESSION": self.session,
        }
        known = _config.handed_down({**self.given, **ours, **told}, boot.FOLDER)
        return {name: value for name, value in known.items() if name not in _config.SILENCING}


Make = Callable[[Place], Driver]


def command(text: str, *, stdin: bool = False) -> Make:
    """Return what makes drivers of a command.

    Args:
        text: program and arguments as a shell would split them; ``{prompt}``, ``{turn}``,
            ``{session}`` and ``{phase}`` in a word are replaced, once, by what they name.
        stdin: the prompt goes to the program's standard input.

    Raises:
        InputError: it is none, it is not there, or the prompt would reach it nowhere.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{error}".lower(), source="--command") from None
    if not words:
        raise InputError("is empty", source="--command")
    if not stdin and not any("{prompt}" in word for word in words[1:]):
        mend = "put {prompt} into it, or add --stdin"
        raise InputError("the prompt reaches it nowhere", source="--command", mend=mend)
    if shutil.which(words[0]) is None:
        raise _cannot(words[0], _missing(words[0]))
    return lambda place: Command(words, place, stdin=stdin)


def _missing(program: str) -> OSError:
    return PermissionError(13, "") if Path(program).exists() else FileNotFoundError(2, "")


def _cannot(program: str, error: OSError) -> InputError:
    reason = os.strerror(error.errno or 0).lower()
    return InputError(
        f"{program}: {reason}", source="--command", mend=programs.mend(program, error)
    )


class Command:
    """A program that is started for each turn and says its answer on standard output."""

    def __init__(self, words: list[str], place: Place, *, stdin: bool) -> None:
        self._words, self._place, self._stdin = words, place, stdin

    def serve(self, step: Step) -> Outcome:
        """Run the program once."""
        known = {
            "prompt": step.prompt,
            "turn": str(step.number),
            "session": self._place.session,
            "phase": step.phase,
        }
        words = [HOLE.sub(lambda hole: known[hole.group(1)], word) for word in self._words]
        variables = self._place.variables(TOKENTRACE_TURN=str(step.number))
        try:
            child = self._place.family.start(words, variables, fed=self._stdin)
        except OSError as error:
            raise _cannot(words[0], error) from None
        try:
            if self._stdin:
                child.feed(step.prompt.encode())
            return _outcome(child, child.wait(step.timeout), step.timeout)
        finally:
            self._place.family.leave(child)

    def close(self) -> None:
        """Have nothing left to do."""


def _outcome(child: Child, code: int | None, timeout: float) -> Outcome:
    """Return what came of a process; one that still runs is ended."""
    if code is None:
        children.end([child])
    shown = child.err.end or child.out.end
    if child.flooded:
        return Outcome(FLOODED, "endless output", shown="")
    if code is None:
        return Outcome(TIMED_OUT, f"no end after {timeout:g} s", shown=shown)
    if code:
        return Outcome(FAILED, _ended(code), shown=shown)
    return Outcome(OK, answer=child.out.text)


def _ended(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    known = {int(one): one.name for one in signal.Signals}
    return f"ended by {known.get(-code, f'signal {-code}')}"


# ── a callable ───────────────────────────────────────────────────────────────────────────────────


def target(name: str) -> Make:
    """Return what makes drivers of a callable, ``package.module:callable``, sync or async.

    It lives in a process of its own, one for a session, so that it can be ended.

    Raises:
        InputError: the name is none.
    """
    module, colon, path = name.partition(":")
    parts = [*module.split("."), *path.split(".")]
    if not (colon and all(part.isidentifier() for part in parts)):
        raise InputError(f"no name {name!r}", source="--target", mend="package.module:callable")
    return lambda place: Target(name, place)


class Target:
    """A callable in a worker process, which starts with the first turn, and anew after a failure."""

    def __init__(self, name: str, place: Place) -> None:
        self._name, self._place = name, place
        self._child: Child | None = None
        self._channel = -1
        self._rest = b""

    def serve(self, step: Step) -> Outcome:
        """Call it once."""
        until = time.monotonic() + step.timeout
        told = self._told(until) if self._child is None and self._start() else {}
        if told is not None:
            told = self._asked(step, until)
        if told is not None:
            return Outcome(**told)
        outcome = self._lost(step.timeout, until)
        if self._place.family.ended:
            raise Stopped
        return outcome

    def _start(self) -> bool:
        """Start the worker."""
        self._channel, writes = os.pipe()
        words = [sys.executable, "-m", WORKER, str(writes), self._name, self._place.session]
        try:
            variables = self._place.variables()
            self._child = self._place.family.start(words, variables, fed=True, passed=(writes,))
        finally:
            os.close(writes)
        return True

    def _asked(self, step: Step, until: float) -> dict[str, Any] | None:
        """Give the worker a turn; return its answer, None where there is none."""
        assert self._child is not None
        turn = {"prompt": step.prompt, "turn": step.number, "phase": step.phase}
        self._child.write(json.dumps(turn).encode() + b"\n")
        return self._told(until)

    def _told(self, until: float) -> dict[str, Any] | None:
        """Return the next message of the worker, None where it ends, floods or is late."""
        while b"\n" not in self._rest:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._channel], [], [], left)[0]:
                return None
            block = os.read(self._channel, 2**16)
            self._rest += block
            if not block or len(self._rest) > LONGEST:
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        if "input" in told:
            self.close()
            raise InputError(told["input"], source="--target", mend=told.get("mend", ""))
        return told

    def _lost(self, timeout: float, until: float) -> Outcome:
        """Return what came of a worker that gave no answer, and have it ended."""
        child = self._child
        assert child is not None
        late = time.monotonic() >= until
        code = child.wait(0.0 if late else 1.0)
        outcome = _outcome(child, code, timeout)
        self._forget()
        if outcome.state in {OK, FAILED}:
            reason = f"its process ended: {outcome.reason or 'exit code 0'}"
            return Outcome(FAILED, reason, shown=outcome.shown)
        return outcome

    def close(self) -> None:
        """End the worker: it ends by itself where nothing more is to come."""
        if self._child is not None:
            self._child.write(None)
            if self._child.wait(5.0) is None:
                children.end([self._child])
            self._forget()

    def _forget(self) -> None:
        if self._child is not None:
            self._child.write(None)
            self._place.family.leave(self._child)
            os.close(self._channel)
        self._child, self._channel, self._rest = None, -1, b""
