"""How long sound and film are, and how many pages a PDF has: files made here, whole and damaged."""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokentrace.dialects import _lengths as lengths
from tokentrace.dialects._reading import Payload, media, payload


def wav(seconds=2.5):
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(int(seconds * 16_000)))
    return held.getvalue()


def box(name, *held):
    inside = b"".join(held)
    return struct.pack(">I4s", 8 + len(inside), name) + inside


def mp4(seconds=12.5, *, sound=True, first=False, wide=False):
    scale = struct.pack(">IQ" if wide else ">II", 600, int(seconds * 600))
    times = bytes(16 if wide else 8)
    head = box(b"mvhd", bytes([int(wide), 0, 0, 0]), times, scale, bytes(80))
    tracks = [box(b"trak", box(b"hdlr", bytes(8), b"vide"))]
    tracks += [box(b"trak", box(b"hdlr", bytes(8), b"soun"))] if sound else []
    movie = box(b"moov", head, *tracks)
    parts = [box(b"mdat", bytes(5_000)), movie]
    return box(b"ftyp", b"isom", bytes(4)) + b"".join(reversed(parts) if first else parts)


def mp3(seconds=4, *, tag=0, frames=0):
    frame = b"\xff\xfb\x90\x00"  # MPEG 1 layer 3, 128 kbit/s, 44.1 kHz
    if frames:
        frame += bytes(32) + b"Xing" + struct.pack(">II", 1, frames)
    size = struct.pack("BBBB", 0, 0, tag >> 7, tag & 127)
    head = b"ID3\x04\x00\x00" + size + bytes(tag) if tag else b""
    return head + frame + bytes(seconds * 16_000 - len(frame))


def flac(seconds=3):
    packed = 44_100 << 44 | 1 << 41 | 15 << 36 | seconds * 44_100
    return b"fLaC\x00\x00\x00\x22" + bytes(10) + struct.pack(">Q", packed) + bytes(16)


def webm(seconds=7.0):
    scale = b"\x2a\xd7\xb1\x83" + (1_000_000).to_bytes(3, "big")
    return b"\x1aE\xdf\xa3" + bytes(30) + scale + b"\x44\x89\x88" + struct.pack(">d", seconds * 1e3)


def pdf(pages=3, *, packed=False, linear=0, padding=0):
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b"9 0 R " * pages, pages)
    head = b"%PDF-1.5\n" + (
        b"1 0 obj << /Linearized 1 /N %d >> endobj\n" % linear if linear else b""
    )
    outline = b"5 0 obj << /Type /Outlines /Count 99 >> endobj\n"
    if packed:
        held = zlib.compress(b"2 0 3 90 " + tree + b" << /Type /Catalog /Pages 2 0 R >>")
        body = b"4 0 obj << /Type /ObjStm /N 2 /Filter /FlateDecode >>\nstream\n" + held
        body += b"\nendstream endobj\n"
    else:
        body = b"2 0 obj " + tree + b" endobj\n" + b"3 0 obj << /Type /Page >> endobj\n" * pages
    return head + outline + bytes(padding) + body + b"trailer << >>\n%%EOF"


def of(data, mime):
    return lengths.told(lengths.Bytes(data), len(data), mime)


@pytest.mark.parametrize(
    ("data", "mime", "seconds", "sound"),
    [
        (wav(), "audio/wav", 2.5, True),
        (mp4(), "video/mp4", 12.5, True),
        (mp4(first=True), "video/mp4", 12.5, True),
        (mp4(wide=True), "video/quicktime", 12.5, True),
        (mp4(sound=False), "video/mp4", 12.5, False),
        (mp3(), "audio/mpeg", 4.0, True),
        (mp3(tag=300), "audio/mpeg", 4.0, True),
        (mp3(frames=1_000), "audio/mp3", 1_000 * 1152 / 44_100, True),
        (flac(), "audio/flac", 3.0, True),
        (webm(), "video/webm", 7.0, False),
    ],
)
def test_seconds_are_read_from_headers(data, mime, seconds, sound):
    """Each format says how long it is, as bytes and as base64 of either alphabet."""
    wanted = {"seconds": pytest.approx(seconds, rel=1e-3), "sound": sound}
    assert of(data, mime) == wanted
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        assert lengths.told(Payload(text), len(data), mime) == wanted
        assert payload(text, mime).seconds == pytest.approx(seconds, rel=1e-3)
    assert media(f"data:{mime};base64,{text}").seconds == pytest.approx(seconds, rel=1e-3)
    assert payload(data, mime).seconds == pytest.approx(seconds, rel=1e-3)


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        (pdf(), 3),
        (pdf(1), 1),
        (pdf(120, packed=True), 120),
        (pdf(3, linear=12), 12),
        (pdf(7, padding=2**23), 7),
        (b"%PDF-1.4\n" + b"3 0 obj << /Type /Page >> endobj\n" * 4, 4),
        (b"%PDF-1.4\n", 0),
        (b"PK\x03\x04", 0),
    ],
)
def test_pages_are_read_from_the_tree(data, pages):
    """The page tree says how many pages there are, packed or not; else the pages are counted."""
    assert of(data, "application/pdf") == {"pages": pages}
    text = base64.b64encode(data).decode()
    assert payload(text, "application/pdf").pages == pages


def test_a_large_file_is_not_decoded_whole(monkeypatch):
    """Of a large PDF only the ends are decoded, of a film only its index."""
    asked = []

    class Watched(lengths.Bytes):
        def take(self, offset, length):
            asked.append(length)
            return super().take(offset, length)

    for data, mime in ((pdf(7, padding=2**24), "application/pdf"), (mp4(), "video/mp4")):
        asked.clear()
        lengths.told(Watched(data), len(data), mime)
        assert sum(asked) <= lengths.FIRST + lengths.LAST + 32


@pytest.mark.parametrize(("rates", "seconds"), [((9,) * 9, 0.24), ((3, 3, 9, 3), 0.0)])
def test_sound_at_a_varying_rate_has_no_seconds_by_its_size(rates, seconds):
    """Frames that follow one another at the same rate tell how long all of it is; others do not."""
    known = lengths.RATES_1
    frames = (
        bytes((255, 251, rate << 4, 0)).ljust(144_000 * known[rate] // 44_100, b"\0")
        for rate in rates
    )
    data = b"".join(frames)
    assert of(data, "audio/mpeg").get("seconds", 0.0) == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("make", [wav, mp4, mp3, flac, webm, pdf])
def test_damage_is_unknown_and_no_error(make):
    """A file that breaks off, or has odd bytes, is read as far as it goes, or is unknown."""
    whole = make()
    mime = {"pdf": "application/pdf", "mp4": "video/mp4"}.get(make.__name__, "audio/x")

    @settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 400), st.integers(0, 400), st.binary(max_size=12))
    def holds(end, at, odd):
        for data in (whole[:end], whole[:at] + odd + whole[at + len(odd) :]):
            found = of(data, mime)
            assert all(value >= 0 for value in found.values())
            assert found.get("seconds", 0) < lengths.LONGEST
            assert found.get("pages", 0) <= lengths.MOST_PAGES

    holds()


def test_what_is_no_medium_is_not_looked_at():
    """Images and texts have neither, and what is no base64 is unknown."""
    assert of(b"hello", "text/plain") == {}
    assert media("data:audio/wav;base64,!!!!").seconds == 0
    assert payload("", "application/pdf").pages == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((60.0, None, None, None), 60),
        ((60.0, "10s", "25.5s", None), 15.5),
        ((60.0, 50, 90, None), 10),
        ((0.0, "10s", "25s", None), 15),
        ((60.0, None, None, 5), 300),
        ((60.0, "x", {}, "fast"), 60),
        ((60.0, "90s", None, None), 0),
    ],
)
def test_a_clip_is_what_is_looked_at(given, expected):
    """Offsets shorten, frames a second multiply, and nonsense is ignored."""
    assert lengths.clip(*given) == expected
