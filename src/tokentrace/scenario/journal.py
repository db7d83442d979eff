"""How far a run has come, in one file that is replaced as a whole: numbers, and whether it went well."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tokentrace.errors import InputError
from tokentrace.scenario.judging import Result
from tokentrace.scenario.plan import Scenario

FILE = "run.json"
ROOM = "scenarios"
NOTHING = "start a run without --resume"


class Pages(msgspec.Struct):
    """The file.

    Attributes:
        scenario, digest: which one, and its content as a hash.
        sessions: done turns by the session's id.
        resumed: when the run was gone on with, in ns since the epoch.
        finished: there is nothing to resume.
    """

    scenario: str
    digest: str
    sessions: dict[str, list[Result]]
    resumed: list[int] = []
    finished: bool = False
    version: int = 1


@dataclass(slots=True)
class Journal:
    """A run's folder and what is done in it. Thread-safe.

    Attributes:
        folder: of the run; absolute.
        pages: what stands in its file.
    """

    folder: Path
    pages: Pages
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def results(self, session: str) -> list[Result]:
        """Return the turns of a session that are done."""
        return list(self.pages.sessions[session])

    def marks(self, session: str) -> list[tuple[int, int]]:
        """Return the begin of each turn that is done, in ns since the epoch, and its number.

        What a turn recorded that was interrupted is nobody's: it begins where the last done turn
        ended, and bears the number 0.
        """
        done = self.pages.sessions[session]
        marks = [(one.start, one.number) for one in done]
        for moment in self.pages.resumed:
            ends = [one.start + round(one.seconds * 1e9) for one in done if one.start < moment]
            marks.append((max(ends, default=0), 0))
        return sorted(marks)

    def resume(self) -> None:
        """Take down that the run is gone on with."""
        with self._lock:
            self.pages.resumed.append(time.time_ns())
            self._write()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the run as long as this process drives it.

        Raises:
            InputError: another process does; both would serve the same turns.
        """
        held = os.open(self.folder, os.O_RDONLY)
        try:
            with _locking(self.folder.name):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(held)

    def add(self, session: str, result: Result) -> None:
        """Take down a turn that is done."""
        with self._lock:
            self.pages.sessions[session].append(result)
            self._write()

    def finish(self) -> None:
        """Say that there is nothing to resume."""
        with self._lock:
            self.pages.finished = True
            self._write()

    def _write(self) -> None:
        """Replace the file: whoever reads it, whenever, finds the old one or the new one."""
        place = self.folder / FILE
        fresh = place.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self.pages), indent=1))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(place)
        except OSError as error:
            raise _unwritable(place, error) from None

    def place(self, session: str) -> Path:
        """Return the folder of a session's trace files: the run's own where it is the only one."""
        if len(self.pages.sessions) == 1:
            return self.folder
        return self.folder / session.rpartition("-")[2]


@contextmanager
def _locking(name: str) -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        mend = f"wait for it, or {NOTHING}"
        raise InputError(f"{name} is still going on", source="--resume", mend=mend) from None
    except OSError:  # a file system without locks
        return


def _unwritable(place: Path, error: OSError) -> InputError:
    reason = os.strerror(error.errno or 0).lower()
    return InputError(f"cannot be written: {reason}", source=str(place), mend="--dir DIR")


def begin(scenario: Scenario, home: str, concurrency: int) -> Journal:
    """Make a new run's folder.

    Args:
        scenario: what is run.
        home: the trace folder, below which runs lie.
        concurrency: its sessions.

    Raises:
        InputError: it cannot be made.
    """
    from tokentrace.telemetry.local import make_folder

    stamp = time.strftime("%Y%m%dT%H%M%S")
    room = Path(home).absolute() / ROOM
    try:
        make_folder(home)
        make_folder(str(room))
        folder = _fresh(room, f"{scenario.name}-{stamp}")
    except OSError as error:
        raise _unwritable(room, error) from None
    ids = [folder.name, *(f"{folder.name}-{place}" for place in range(1, concurrency + 1))]
    names = ids[:1] if concurrency == 1 else ids[1:]
    journal = Journal(folder, Pages(scenario.name, scenario.digest, {name: [] for name in names}))
    journal._write()  # noqa: SLF001 - its first page
    return journal


def _fresh(room: Path, name: str) -> Path:
    """Make a folder that was not there before."""
    for place in range(1, 1_000):
        folder = room / (name if place == 1 else f"{name}.{place}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(17, "")


def resume(scenario: Scenario, home: str) -> Journal:
    """Return the newest run of a scenario that was interrupted.

    Raises:
        InputError: there is none, or the scenario is another one by now.
    """
    room = Path(home).absolute() / ROOM
    for folder in sorted(_folders(room), key=lambda one: one.stat().st_mtime_ns, reverse=True):
        pages = _read(folder / FILE)
        if pages is None or pages.scenario != scenario.name or pages.finished:
            continue
        if pages.digest != scenario.digest:
            text = f"{scenario.name} was changed since {folder.name} began"
            raise InputError(text, source="--resume", mend=NOTHING)
        found = Journal(folder, pages)
        found.resume()
        return found
    raise InputError(
        f"no interrupted run of {scenario.name} in {room}", source="--resume", mend=NOTHING
    )


def _folders(room: Path) -> Iterable[Path]:
    return [one for one in room.glob("*") if (one / FILE).is_file()]


def _read(path: Path) -> Pages | None:
    """Return what stands in a run's file, None where it is damaged."""
    try:
        pages = msgspec.json.decode(path.read_bytes(), type=Pages)
    except (OSError, ValueError, RecursionError):
        return None
    return pages if pages.sessions else None
