"""The readers that all dialects share."""

from __future__ import annotations

import base64
import json
import struct
from types import SimpleNamespace

import pytest

from tokentrace import dialects
from tokentrace.dialects import _reading


def jpeg(width, height, exif=0):
    """Return the start of a JPEG with an optional metadata segment of ``exif`` bytes."""
    meta = b"\xff\xe1" + struct.pack(">H", exif + 2) + b"\x00" * exif if exif else b""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x00" * 9
    return b"\xff\xd8" + meta + b"\xff\xdb" + struct.pack(">H", 4) + b"\x00\x00" + frame


IMAGES = {
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 640, 480) + b"\x08" * 9,
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480) + b"\x00" * 30,
    "jpeg": jpeg(640, 480),
    "jpeg behind metadata": jpeg(640, 480, exif=60_000),
    "webp lossy": b"RIFF\x00\x00\x00\x00WEBPVP8 "
    + b"\x00" * 10
    + struct.pack("<HH", 640, 480)
    + b"\x00" * 9,
    "webp lossless": b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f"
    + struct.pack("<I", 639 | 479 << 14)
    + b"\x00" * 9,
    "webp extended": b"RIFF\x00\x00\x00\x00WEBPVP8X"
    + b"\x00" * 8
    + (639).to_bytes(3, "little")
    + (479).to_bytes(3, "little")
    + b"\x00" * 9,
}


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_image_sizes(name):
    """Width and height are read from the header of each common format."""
    assert _reading.image_size(base64.b64encode(IMAGES[name]).decode()) == (640, 480)


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_damaged_images_have_no_size(name):
    """An image cut off anywhere ahead of its size, or filled with another alphabet, has none."""
    data = base64.b64encode(IMAGES[name]).decode()
    for length in (0, 1, 2, 3, 5, 9, 12):
        assert _reading.image_size(data[:length]) == (0, 0)
    assert _reading.image_size("é" * 40) == (0, 0)


def test_an_image_in_lines_has_its_size():
    """Base64 that is broken into lines is read too."""
    data = base64.encodebytes(IMAGES["jpeg behind metadata"]).decode()
    assert _reading.image_size(data) == (640, 480)


def test_a_large_image_is_not_decoded():
    """Reading the size of a large image takes a few bytes from its text."""
    taken = []

    class Text(str):
        __slots__ = ()

        def __getitem__(self, key):
            piece = str.__getitem__(self, key)
            taken.append(len(piece))
            return piece

    data = base64.b64encode(IMAGES["jpeg behind metadata"] + b"\x00" * 2_000_000).decode()
    assert _reading.image_size(Text(data)) == (640, 480)
    assert sum(taken) < 1_000


def test_media_of_urls():
    """Data URLs tell mime, size and pixels; other URLs are remote."""
    url = "data:image/png;base64," + base64.b64encode(IMAGES["png"]).decode()
    held = _reading.media(url, "low")
    assert (held.width, held.height, held.detail, held.mime) == (640, 480, "low", "image/png")
    assert held.size == len(IMAGES["png"])
    assert not held.remote
    assert _reading.media("https://x.test/a.png").remote
    assert _reading.media(None).remote
    assert _reading.media("data:text/plain,hello").size == 5
    assert _reading.media("QUJD", mime="audio/wav").size == 3


def test_payload_sizes():
    """The size of base64 is told without decoding it."""
    for size in range(12):
        assert _reading.payload_size(base64.b64encode(b"x" * size).decode()) == size


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (0, 0), (3.0, 3), (True, None), (-1, None), (1.5, None), ("3", None), (None, None)],
)
def test_numbers(value, expected):
    """Only whole numbers that are not negative are numbers of tokens."""
    assert _reading.number(value) == expected


def test_get_reads_mappings_and_objects():
    """Items of mappings and attributes of objects; texts and lists have neither."""
    assert _reading.get({"a": 1}, "a") == 1
    assert _reading.get(SimpleNamespace(a=1), "a") == 1
    assert _reading.get("text", "upper") is None
    assert _reading.get([1], "count", 7) == 7


def test_fields_of_models_only():
    """A mapping has fields, an SDK model has its own, anything else has none."""
    Model = type("Model", (), {"model_fields": {}})
    model = Model()
    model.role = "user"
    assert _reading.fields(model) == {"role": "user"}
    assert _reading.fields(SimpleNamespace(role="user")) is None
    assert _reading.fields([("role", "user")]) is None


def test_compact_is_json_of_anything():
    """Odd values become null, payloads nothing, and the result is always JSON."""
    text = _reading.compact({"a": b"bytes", "b": ["x" * 2_000, "short"], 3: {1, 2}, "c": "ü"})
    assert json.loads(text) == {"a": None, "b": ["", "short"], "3": None, "c": "ü"}


def test_compact_is_bounded():
    """A list that holds itself ends, and so does one of a million numbers."""
    cyclic: list = []
    cyclic.append(cyclic)
    assert len(_reading.compact(cyclic)) < 1_000
    assert len(_reading.compact([1] * 1_000_000)) < 30_000


def test_every_api_has_its_dialect():
    """Each api name leads to a module with the four functions; an unknown one to none."""
    for api in dialects.DIALECTS:
        dialect = dialects.find(api)
        assert all(callable(getattr(dialect, f)) for f in ("parse", "usage", "fold", "final"))
    assert dialects.find("nobody.knows") is None
