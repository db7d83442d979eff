"""Files that grow, turn over and shrink while they are read."""

from __future__ import annotations

import gzip

import pytest

from tokentrace.errors import InputError
from tokentrace.readers import Problems, following
from tokentrace.readers.following import Tail


@pytest.fixture
def log(tmp_path):
    """A file, and what follows it."""
    path = tmp_path / "agent.log"
    tail = Tail(str(path), Problems())
    yield path, tail
    tail.close()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_lines_come_once_and_whole(log):
    """A look gives what is new; half a line waits for its end; empty lines are counted only."""
    path, tail = log
    append(path, "one\n\ntw")
    first = list(tail.lines())
    append(path, "o\nthree\n")
    assert (first, list(tail.lines()), list(tail.lines())) == (
        [(1, b"one")], [(3, b"two"), (4, b"three")], [],
    )  # fmt: skip


def test_the_mark_at_a_files_start_is_no_text(log):
    """A byte order mark is left out at the top of each file, even in pieces, and nowhere else."""
    path, tail = log
    mark = b"\xef\xbb\xbf"
    path.write_bytes(mark[:2])
    before = list(tail.lines())
    with path.open("ab") as file:
        file.write(mark[2:] + b"one\n" + mark + b"two\n")
    first = [text for _, text in tail.lines()]
    path.rename(path.with_suffix(".1"))
    path.write_bytes(mark + b"three\n")
    assert (before, first) == ([], [b"one", mark + b"two"])
    assert [text for _, text in tail.lines()] == [b"three"]


def test_a_file_that_comes_later(log):
    """A file need not exist yet."""
    path, tail = log
    before = list(tail.lines())
    append(path, "late\n")
    assert (before, list(tail.lines())) == ([], [(1, b"late")])


def test_rotation_loses_nothing(log):
    """What was written before the file was renamed comes before the new file's lines."""
    path, tail = log
    append(path, "one\n")
    list(tail.lines())
    append(path, "two\n")
    path.rename(path.with_suffix(".1"))
    append(path, "three\n")
    assert [text for _, text in tail.lines()] == [b"two", b"three"]


def test_a_file_that_was_emptied(log):
    """A file that shrank is read from its start."""
    path, tail = log
    append(path, "a long first line\n")
    list(tail.lines())
    path.write_text("new\n")
    assert [text for _, text in tail.lines()] == [b"new"]


def test_a_file_that_was_let_go_of(log):
    """It goes on where it was, with its half line; another file of its name starts anew."""
    path, tail = log
    append(path, "one\ntw")
    first = list(tail.lines())
    tail.rest()
    still = list(tail.lines())
    append(path, "o\nhal")
    second = list(tail.lines())
    tail.rest()
    fresh = path.with_suffix(".new")
    append(fresh, "another of more bytes\n")
    fresh.replace(path)
    assert (first, still, second) == ([(1, b"one")], [], [(2, b"two")])
    assert [text for _, text in tail.lines()] == [b"another of more bytes"]


def test_a_line_over_the_cap(log, monkeypatch):
    """A line that is too long is skipped and told, and is not kept while it grows."""
    path, tail = log
    monkeypatch.setattr(following, "LINE_CAP", 10)
    for _ in range(4):
        append(path, "x" * 6)
        assert list(tail.lines()) == []
    append(path, "\nshort\n")
    assert list(tail.lines()) == [(2, b"short")]
    assert tail.problems.count == 1


def test_packed_files_are_refused(log):
    """Nothing more comes to a packed file: it says so, with the mend."""
    path, tail = log
    path.write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(InputError, match="tokentrace report reads it"):
        list(tail.lines())
