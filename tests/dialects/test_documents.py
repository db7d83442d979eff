"""The text of files in a body."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokentrace.dialects import _documents as documents


def encoded(data):
    return base64.b64encode(data).decode()


def page(operators, head=b""):
    return b"%PDF-1.4\n1 0 obj << " + head + b" >>\nstream\n" + operators + b"\nendstream\nendobj\n"


def read(operators):
    return documents.text(encoded(page(b"BT " + operators + b" ET")), "a.pdf")


@pytest.mark.parametrize(
    ("operators", "text"),
    [
        (b"(An owl) Tj", "An owl"),
        (b"0 700 Td (An) Tj 0 -20 Td (owl) Tj", "An\nowl"),
        (b"0 700 Td (An ) Tj 40 0 Td (owl) Tj", "An owl"),
        (b"1 0 0 1 50 700 Tm (An) Tj 1 0 0 1 50 680 Tm (owl) Tj", "An\nowl"),
        (b"[(A) -20 (n) -300 (owl)] TJ", "An owl"),
        (b"(An) Tj T* (owl) Tj", "An\nowl"),
        (b"(An) Tj (owl) '", "An\nowl"),
        (rb"(\(An\) owl \101) Tj", "(An) owl A"),
        (b"(an (old) owl) Tj", "an (old) owl"),
        (b"(An    owl) Tj", "An owl"),
        (b"0 0 m 1 1 l S", ""),
        (b"(An owl", ""),
    ],
)
def test_lines_of_a_page(operators, text):
    """Strings are joined into lines by how the pen moves."""
    assert read(operators) == text


def test_glyphs_become_as_many_letters():
    """A font with a table of its own shows glyphs of two bytes; their number is known."""
    assert len(read(b"<00410042004300440045> Tj")) == 5
    assert len(read(b"(\x00a\x00b\x00c) Tj")) == 3


def test_packed_pages_are_unpacked_and_other_streams_left_out():
    """Deflated operators are text; pictures and fonts are not, whatever bytes they hold."""
    packed = page(zlib.compress(b"BT (An owl) Tj ET"), b"/Filter /FlateDecode")
    picture = page(b"BT (no) Tj ET", b"/Subtype /Image")
    damaged = page(b"BT nothing", b"/Filter /FlateDecode")
    assert documents.text(encoded(packed + picture + damaged), "a.pdf") == "An owl"


def test_plain_text_is_known_by_kind_or_name():
    """A media type of text, or a name that says so."""
    words = encoded("Où est le hibou ?".encode())
    assert documents.text(f"data:text/plain;base64,{words}", "") == "Où est le hibou ?"
    assert documents.text(words, "notes.md") == "Où est le hibou ?"
    assert documents.text(words, "notes.docx") == ""


def test_too_much_is_not_read(monkeypatch):
    """A payload or a page's text beyond the limit is left to an estimate by its size."""
    monkeypatch.setattr(documents, "LARGEST", 100)
    assert read(b"(An owl) Tj " * 20) == ""
    monkeypatch.setattr(documents, "LONGEST", 10)
    assert documents.text(encoded(b"An owl at night"), "a.txt") == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(data):
    """Nothing that stands in a body raises."""
    for held in (data, page(data), page(b"BT" + data), page(zlib.compress(data), b"/FlateDecode")):
        assert isinstance(documents.text(encoded(b"%PDF-" + held), "a.pdf"), str)


@given(st.text(max_size=100))
def test_any_text_is_taken_for_a_payload(payload):
    """What is no base64 has no text."""
    assert isinstance(documents.text(payload, "a.txt"), str)
