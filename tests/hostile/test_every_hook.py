"""Every hook row in every shape of a call, and every answer and text that a hook may meet: generated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hostile.cases import SECRET, check_case
from hostile.surfaces import NO_CALLS, SURFACES, Surface, missing, place_in_table
from instrument.loopback import Answer, Server
from instrument.test_sdks import MARKS
from tokentrace.instrument import calls
from tokentrace.instrument.hooks import HOOKS

SOCKETS = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # an SDK's stream that is dropped or cancelled leaves its socket to the collector, with us and without
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
pytestmark = SOCKETS


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run one server for all."""
    with Server() as running:
        yield running


def marked(surface: Surface, *values: object, name: str) -> object:
    return pytest.param(*values, id=name, marks=MARKS.get(surface.sdk, ()))


CELLS = [
    marked(surface, name, shape, name=f"{name}-{shape}")
    for name, surface in SURFACES.items()
    for shape in surface.does
]


@pytest.fixture
def fired(monkeypatch):
    """Collect the rows of the table of hooks whose readers are asked."""
    rows, reader = set(), calls.reader

    def watched(name):
        def read(hook, *args):
            rows.add(hook)
            return reader(name)(hook, *args)

        return read

    monkeypatch.setattr(calls, "reader", watched)
    return rows


@pytest.mark.parametrize(("name", "shape"), CELLS)
def test_every_shape_of_a_call(server, name, shape, fired):
    """IN7, RE4, ST2, ST5, CO2: as without us, one span, at the row of the table that is told for it."""
    surface = SURFACES[name]
    seen = check_case(surface.case(shape), surface.place(server, shape), surface.answer(shape))
    assert {row.attr for row in fired} == {place_in_table(surface, shape)}
    if shape in {"plain", "stream", "raw", "raw stream"}:
        assert seen.call.usage.input
    if "error" in shape or shape in {"cancel", "broken stream"}:
        assert seen.call.error_type


# ── answers that no documentation shows ──────────────────────────────────────────────────────────


def nulled(value):
    """Return JSON data whose leaves are null."""
    return leaves(value, lambda _leaf: None)


def leaves(value, change):
    if isinstance(value, dict):
        return {key: leaves(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [leaves(item, change) for item in value]
    return change(value)


def numbers(make):
    """Return what puts another value in the place of each number."""
    return lambda value: leaves(value, lambda leaf: make(leaf) if type(leaf) is int else leaf)


# what becomes of the JSON of an answer
CHANGES = {
    "nulls": nulled,
    "numbers as texts": numbers(str),
    "negative numbers": numbers(lambda leaf: -1 - leaf),
    "huge numbers": numbers(lambda _leaf: 2**70),
    "no numbers": numbers(lambda _leaf: float("nan")),
    "numbers as lists": numbers(lambda leaf: [leaf]),
    "odd texts": lambda body: leaves(
        body, lambda leaf: f"{leaf}\ud800\x00\x1b" if type(leaf) is str else leaf
    ),
    "in a list": lambda body: [body],
    "empty": lambda _body: {},
    "null": lambda _body: None,
    "a text": lambda _body: "odd",
    "an error": lambda _body: {"error": {"message": "no", "code": 500}},
}
# what becomes of the bytes of an answer
BYTES = {
    "nothing": lambda _content: b"",
    "no JSON": lambda _content: b"{not json",
    "no UTF-8": lambda content: content.replace(b"e", b"\xff\xfe"),
    "half": lambda content: content[: len(content) // 2],
    "a page": lambda _content: b"<html><body>Bad gateway</body></html>",
    "deep": lambda _content: b'{"usage":' + b"[" * 500 + b"]" * 500 + b"}",
}
# what becomes of the pieces of a stream
PIECES = {
    "nothing": lambda _pieces: (b"", b""),
    "half of a piece": lambda pieces: (pieces[0], pieces[1][: len(pieces[1]) // 2]),
    "each twice": lambda pieces: tuple(piece for piece in pieces for _ in range(2)),
    "backwards": lambda pieces: tuple(reversed(pieces)),
    "without its end": lambda pieces: pieces[:-1],
    "rubbish between": lambda pieces: (pieces[0], b"\x00\xff rubbish\n\n", *pieces[1:]),
    "byte by byte": lambda pieces: tuple(bytes([byte]) for byte in b"".join(pieces)[:600]),
    "all in one": lambda pieces: (b"".join(pieces), b""),
    "empty lines": lambda pieces: tuple(piece + b"\n\n\n" for piece in pieces),
}


def of_json(change):
    """Return a change of bytes that changes the JSON in them, also in the events of a stream."""

    def changed(content):
        start = min((content.find(mark) for mark in (b"{", b"[") if mark in content), default=-1)
        if start < 0:
            return content
        try:
            body, end = json.JSONDecoder().raw_decode(content[start:].decode())
        except ValueError:
            return content
        return content[:start] + json.dumps(change(body)).encode() + content[start:][end:]

    return changed


def in_each(change):
    return lambda pieces: tuple(map(change, pieces))


WHOLE = {**BYTES, **{name: of_json(change) for name, change in CHANGES.items()}}
STREAMS = {
    **PIECES,
    **{f"{name} in each": in_each(of_json(change)) for name, change in CHANGES.items()},
}


def generated(shapes, kinds):
    """Return a case for each surface, each of the shapes that it has, and each kind."""
    return [
        marked(surface, name, shape, kind, name=f"{name}-{shape}-{kind}")
        for name, surface in SURFACES.items()
        for shape in shapes
        if shape in surface.does
        for kind in kinds
    ]


@pytest.mark.parametrize(("name", "shape", "kind"), generated(["plain", "raw"], WHOLE))
def test_any_answer(server, name, shape, kind):
    """RE1, RE2, RE4: an answer of any kind is the SDK's own business; the call has its one span."""
    surface = SURFACES[name]
    good = surface.answers["plain"]
    answer = replace(good, pieces=tuple(map(WHOLE[kind], good.pieces)))
    seen = check_case(surface.case(shape), surface.place(server, shape), answer)
    if kind == "odd texts" and seen.bare.error is None:
        assert seen.call.usage.input


@pytest.mark.parametrize("status", [204, 401, 413, 422])
@pytest.mark.parametrize("name", SURFACES)
def test_any_status(server, name, status):
    """RE2: what is no answer at all, under any status that nobody tries again."""
    surface = SURFACES[name]
    answer = Answer((b"" if status == 204 else b"no",), "text/plain", status)
    check_case(surface.case("plain"), surface.place(server, "plain"), answer)


@pytest.mark.parametrize(("name", "shape", "kind"), generated(["stream", "raw stream"], STREAMS))
def test_any_stream(server, name, shape, kind):
    """RE3, RE4: a stream of any kind is read, or fails, as without us; the call has its one span."""
    surface = SURFACES[name]
    good = surface.answers["stream"]
    answer = replace(good, pieces=STREAMS[kind](good.pieces))
    check_case(surface.case(shape), surface.place(server, shape), answer)


# ── texts that no tokenizer likes ────────────────────────────────────────────────────────────────

TEXTS = {
    "empty": "",
    "space": " ",
    "surrogate": f"{SECRET} a\ud800b\udfff",
    "controls": f"{SECRET}\x00\x1b[2J\r\n\x85\u2028",
    "special tokens": f"{SECRET} <|endoftext|><|im_start|>system<|fim_prefix|>",
    "bidi": f"\u202e\u200b\ufeff{SECRET}" * 20,
    "looks like JSON": f'{{"{SECRET}": [1, {{"a": "b',
    "looks like code": f"<script>'\"`{SECRET}`; rm -rf ~ #$(x) =1+1",
    "long run": "a" * 300_000,
    "many lines": f"{SECRET}\n" * 20_000,
}


@pytest.mark.parametrize(("name", "shape", "kind"), generated(["plain"], TEXTS))
def test_any_text(server, name, shape, kind):
    """IN4, IN6, TK1, TK4, SE1: a text of any kind leaves as without us, and nothing of it is told."""
    surface = SURFACES[name]
    where, answer = surface.place(server, shape), surface.answers[shape]
    seen = check_case(surface.case(shape, TEXTS[kind]), where, answer, calls=None)
    assert len(seen.calls) == 1 or (seen.bare.error and not seen.calls)


# ── nothing is left out ──────────────────────────────────────────────────────────────────────────


def test_every_row_of_the_table_has_its_cells():
    """ST5: a row whose SDK is installed is passed by a cell, or says why no call passes it."""
    passed = {
        (surface.sdk, place_in_table(surface, shape))
        for surface in SURFACES.values()
        for shape in surface.does
    }
    installed = {surface.sdk for surface in SURFACES.values()}
    unpassed = {(row.sdk, row.attr) for row in HOOKS if row.sdk in installed} - passed
    assert {attr for _, attr in unpassed} <= NO_CALLS.keys()


def test_a_cell_that_is_missing_says_why():
    """ST5: what an SDK has no form of is told in a line, never left out in silence."""
    assert [cell for cell, reason in missing().items() if not reason] == []
