"""Logs of agents that nobody instrumented: their lines become records.

What lines mean is data: a format, shipped in ``formats`` or given by a user (`load`). `Follower`
reads line by line, also a log that is still being written; `read` reads files that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tokentrace.errors import InputError
from tokentrace.prompt import Record
from tokentrace.readers import Problems
from tokentrace.readers.agent_log.following import Follower
from tokentrace.readers.agent_log.form import Form, load, shipped
from tokentrace.readers.lines import Torn

__all__ = ["Follower", "Form", "Lines", "load", "read", "recognised", "shipped"]

Lines = Iterable[tuple[int, bytes]]


def recognised(line: bytes, forms: Sequence[Form]) -> Form | None:
    """Return the first of ``forms`` that knows a line, None where none does."""
    return next((form for form in forms if form.known(line)), None)


def read(lines: Lines, path: str, follower: Follower, problems: Problems) -> Iterator[Record]:
    """Yield the records that the lines of one file complete; `Follower.end` has the rest.

    A last line without an end is still being written, or cut off: it is left out, and goes to
    ``problems`` where it would have said something.
    """
    follower.path = path
    for number, line in lines:
        if type(line) is not Torn:
            yield from follower.feed(line, number)
        elif follower.form.known(line):
            problems.add(path, number, "a line without an end, left out")


def nothing(path: str, form: Form) -> InputError:
    """Return what to say of a log without a turn."""
    mend = "let the agent log at level INFO, or give the log's earlier files, too"
    return InputError(f"a log of {form.name} without a turn", source=path, mend=mend)
