"""Records from trace back ends: Jaeger and Tempo, by URL.

A back end is asked window by window of time, so that no answer is large; a window that holds more
than a page is cut in two. What comes back is OTLP JSON, which `otlp_json` reads as it reads files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tokentrace.prompt import Record
from tokentrace.readers import Problems, Seen

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
PATIENCE = 30.0  # seconds for one answer, the connection with it

KINDS = ("jaeger", "tempo")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a back end, and how.

    Attributes:
        start, end: the range of time, ns since the epoch; traces that touch it are read whole.
        service: of the spans; empty for all.
        session: only traces of sessions whose ids are or begin so; empty for all.
        traceql: the search of Tempo, in place of our own.
        headers: sent with each request; never shown.
        timeout: seconds for one answer.
        allow_private: whether addresses of private networks may be asked.
    """

    start: int
    end: int
    service: str = ""
    session: str = ""
    traceql: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = PATIENCE
    allow_private: bool = False

    def __str__(self) -> str:
        """Return what was asked, for a message."""
        said = [f"from {_stamp(self.start)} to {_stamp(self.end)}"]
        said += [f"of service {self.service!r}"] if self.service else []
        said += [f"of session {self.session!r}"] if self.session else []
        said += [f"for {self.traceql}"] if self.traceql else []
        return " ".join(said)


def _stamp(moment: int) -> str:
    return datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lately(span: int = HOUR) -> Wanted:
    """Return a question for all of the last hour, or of another span of ns."""
    now = time.time_ns()
    return Wanted(now - span, now)


def is_backend(path: str) -> bool:
    """Whether a path names a back end: ``jaeger:…`` or ``tempo:…``."""
    return path.partition(":")[0] in KINDS and ":" in path


def read(path: str, wanted: Wanted, problems: Problems, seen: Seen) -> Iterator[Record]:
    """Yield the records of a back end; see `tokentrace.readers.read`.

    Raises:
        InputError: a wrong or private address, no answer in time, one that is none of such a back
            end, or nothing that tokentrace recorded.
    """
    from tokentrace.readers.backends import addresses, jaeger, tempo, web

    readers: dict[str, Callable[..., Iterator[Record]]]
    readers = {"jaeger": jaeger.read, "tempo": tempo.read}
    place = addresses.place(path)
    with web.asking(place, wanted, seen) as ask:
        yield from readers[place.kind](ask, wanted, problems)
