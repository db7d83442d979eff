"""The process in which a callable lives: takes turns on standard input, answers on a pipe.

``python -m tokentrace.scenario.worker PIPE TARGET SESSION``, one JSON object a line both ways. What
the callable prints goes to standard error, and what it would read is empty.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import IO, Any

import tokentrace
from tokentrace import _failsafe
from tokentrace.scenario.children import KEPT, TAIL
from tokentrace.scenario.driving import FAILED, OK

FURTHER = ("session", "turn", "phase")


def main(words: list[str]) -> None:
    """Load the callable, then serve one turn after the other until the input ends."""
    pipe, target, session = int(words[0]), words[1], words[2]
    os.set_inheritable(pipe, False)
    with os.fdopen(pipe, "wb", buffering=0) as answers, _input() as turns:
        called, error = _failsafe.outcome_of(load, target)
        _tell(answers, {} if error is None else unusable(target, error))
        if error is not None:
            return
        with asyncio.Runner() as runner:
            for line in turns:
                _tell(answers, serve(called, {**json.loads(line), "session": session}, runner))


def _input() -> IO[bytes]:
    """Return standard input, and leave an empty one and a safe output to the callable."""
    turns = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return os.fdopen(turns, "rb")


def _tell(answers: IO[bytes], message: Mapping[str, Any]) -> None:
    view = memoryview(json.dumps(message).encode() + b"\n")
    while view:
        view = view[answers.write(view) :]


def load(target: str) -> Callable[..., Any]:
    """Return the callable of that name, found from the current folder on."""
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as it stands there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    module, _, path = target.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{path} cannot be called")
    return found  # type: ignore[no-any-return]


def unusable(target: str, error: BaseException) -> dict[str, str]:
    """Return what to say of a callable that could not be had."""
    module = target.partition(":")[0]
    ours = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
    mend = "start from the folder that it is in, or set PYTHONPATH" if ours else ""
    return {"input": f"{target}: {type(error).__name__}: {error}", "mend": mend}


def serve(
    called: Callable[..., Any], turn: Mapping[str, Any], runner: asyncio.Runner
) -> dict[str, str]:
    """Return how one call went, as the fields of an `Outcome`."""
    with (
        tokentrace.session(turn["session"]),
        tokentrace.turn(number=turn["turn"]),
    ):
        value, error = _failsafe.outcome_of(called, turn["prompt"], **_wanted(called, turn))
        if error is None and inspect.isawaitable(value):
            context = contextvars.copy_context()
            value, error = runner.run(_failsafe.outcome(value), context=context)
    _flush()
    if error is not None:
        shown = "".join(traceback.format_exception(_theirs(error)))
        return {"state": FAILED, "reason": type(error).__name__, "shown": shown[-TAIL:]}
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        text = "a generator came back; give a callable that returns the whole answer"
        return {"state": FAILED, "reason": "no answer", "shown": text}
    return {"state": OK, "answer": str(value)[:KEPT]}


def _wanted(called: Callable[..., Any], turn: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else the callable has parameters for, by their names."""
    try:
        parameters = inspect.signature(called).parameters
    except (TypeError, ValueError):  # of a builtin
        return {}
    return {name: turn[name] for name in FURTHER if name in parameters}


def _theirs(error: BaseException) -> BaseException:
    """Return an error without the frames that are ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__package__") in OURS:
        trace = trace.tb_next
    return error.with_traceback(trace)


OURS = (__package__, "tokentrace")


def _flush() -> None:
    """Write what was traced, so that it can be read between the turns."""
    from tokentrace import telemetry

    _failsafe.attempt(telemetry.flush)


if __name__ == "__main__":
    main(sys.argv[1:])
