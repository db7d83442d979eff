"""What pages, sound and film cost with each provider, by what the body tells of them."""

from __future__ import annotations

import base64

import pytest

from dialects.test_lengths import flac, mp4, pdf, wav
from tokentrace import count


def encoded(data):
    return base64.urlsafe_b64encode(data).decode()


def gemini(data, mime, model="gemini-2.5-flash", **more):
    """Return the count of a body with one medium, and the tokens of it."""
    settings = {"generationConfig": more.pop("config", {})}
    part = {"inlineData": {"mimeType": mime, "data": encoded(data)}, **more}
    body = {"model": model, "contents": [{"role": "user", "parts": [part]}], **settings}
    found = count(body, api="gemini.generateContent")
    return found, found.components.get("media", 0)


@pytest.mark.parametrize(
    ("data", "mime", "tokens"),
    [
        (wav(10), "audio/wav", 320),
        (flac(10), "audio/flac", 320),
        (mp4(10, sound=False), "video/mp4", 2_630),
        (mp4(10), "video/mp4", 2_950),
        (pdf(3), "application/pdf", 774),
        (pdf(40, packed=True), "application/pdf", 10_320),
    ],
)
def test_gemini_by_second_and_page(data, mime, tokens):
    """Up to 2.5 a second of sound is 32 tokens, of film 263 and its sound, a page 258."""
    found, media = gemini(data, mime)
    assert media == tokens
    assert found.error < 0.3 * tokens + 330


def test_gemini_three_by_second_and_page():
    """From 3 on film and sound are cheaper, and a page is a picture."""
    assert gemini(mp4(10), "video/mp4", "gemini-3-pro-preview")[1] == 910
    assert gemini(wav(10), "audio/wav", "gemini-3-pro-preview")[1] == 250
    assert gemini(pdf(3), "application/pdf", "gemini-3-pro-preview")[1] == 1_590


def test_resolutions_of_film():
    """Low resolution is 71 tokens a second up to 2.5, whether the part asks or the request."""
    low = "MEDIA_RESOLUTION_LOW"
    film = mp4(10, sound=False)
    assert gemini(film, "video/mp4", config={"mediaResolution": low})[1] == 710
    assert gemini(film, "video/mp4", mediaResolution={"level": low})[1] == 710
    three = {"model": "gemini-3-pro-preview", "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}
    assert gemini(film, "video/mp4", **three)[1] == 2_800


def test_clips_of_film():
    """A clip costs its own seconds, and as many times as often it is looked at."""
    clip = {"startOffset": "2s", "endOffset": "6s"}
    film = mp4(10, sound=False)
    assert gemini(film, "video/mp4", videoMetadata=clip)[1] == 4 * 263
    assert gemini(film, "video/mp4", videoMetadata={**clip, "fps": 2})[1] == 8 * 263
    stored = {"fileData": {"fileUri": "https://x.test/v"}, "videoMetadata": clip}
    stored["fileData"]["mimeType"] = "video/mp4"
    body = {"model": "gemini-2.5-flash", "contents": [{"role": "user", "parts": [stored]}]}
    found = count(body, api="gemini.generateContent")
    assert found.components["media"] == 4 * (263 + 32)
    assert found.error > 4 * 32


@pytest.mark.parametrize("mime", ["audio/wav", "video/mp4", "application/pdf"])
def test_what_cannot_be_read_is_bounded_by_its_size(mime):
    """Damaged media are counted by their size, with a bound as wide as the guess."""
    found, media = gemini(b"\x00" * 300_000, mime)
    assert media > 0
    assert found.error >= media - 258


def claude(data):
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded(data)}
    content = [{"type": "document", "source": source}]
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": content}]}
    return count(body, api="anthropic.messages")


def test_claude_by_page():
    """Each page of a PDF is a picture and its text."""
    one, four = claude(pdf(1)), claude(pdf(4))
    assert one.components["media"] == pytest.approx(1_600, abs=40)
    assert four.components["media"] == pytest.approx(4 * 1_600, abs=60)
    dense = claude(pdf(4, padding=40_000))
    assert dense.components["media"] - dense.error < 4 * 1_600
    assert dense.components["media"] + dense.error > 4 * 3_000


def test_openai_chat_by_page():
    """Chat shows each page besides its text, the Responses API its text alone."""
    totals = []
    for pages in (1, 5):
        data = f"data:application/pdf;base64,{base64.b64encode(pdf(pages)).decode()}"
        file = {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": [file]}]}
        totals.append(count(body, api="openai.chat").total)
    assert totals[1] - totals[0] == pytest.approx(4 * 216, abs=10)


def test_bytes_are_read_as_base64_is():
    """Bedrock's SDK is given bytes: a PDF's pages count all the same."""

    def body(data):
        document = {"format": "pdf", "name": "a", "source": {"bytes": data}}
        content = [{"document": document}, {"text": "hi"}]
        model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
        return {
            "modelId": model,
            "model": model,
            "messages": [{"role": "user", "content": content}],
        }

    one, three = (count(body(pdf(n)), api="bedrock.converse").components["media"] for n in (1, 3))
    assert three - one == pytest.approx(3_200, abs=40)
