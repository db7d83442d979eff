"""How OpenAI's models see pictures and files, and how far off a file may be.

A picture costs what `tokentrace.counting.images` says. A file becomes a message of its own with the
file's text.
"""

from __future__ import annotations

import math

from tokentrace.counting import images
from tokentrace.counting.rules import Scope, openai_marks
from tokentrace.counting.rules.openai_styles import plain_name, style
from tokentrace.counting.tally import Tally
from tokentrace.prompt import Message, Part, Prompt

CHAT = "openai.chat"
PAGES = 216  # what chat shows of a PDF besides its text, see `file`
STRUCTURE = 1_000  # bytes of a file without any text
BYTES_A_TOKEN = 60  # of a file that could not be read; office files and scans differ tenfold
UNSEEN = 10_000  # ± tokens of a file that the body only names; 12 were 7 to 8,425
UNREAD = 1_000
TEXT_SHARE = 0.25  # of a text, for a PDF's lines and spaces may be put together otherwise


def image(part: Part, scope: Scope) -> int:
    """Return the tokens of a picture: in chat one more for models that see patches.

    Evidence for the one (2026-11-25): 6 of 6 requests of o4-mini, gpt-4.1-nano, gpt-5-mini,
    gpt-5-nano and gpt-5.4; two have the picture in the body, the others name well-known ones.
    """
    seen, name = part.data, plain_name(scope.model)
    found = images.tokens(name, seen.width, seen.height, seen.detail)
    return found + (scope.api == CHAT and images.patched(name))


def alone(message: Message, scope: Scope) -> int:
    """Return 1 for a message of pictures alone over the Responses API.

    Evidence (2026-11-25): 4 of 4 requests of gpt-4.1, gpt-4.1-mini and gpt-5.4, two of them with
    the picture in the body; in chat 0 of 1. A message of empty text costs no more (5 of 6).
    """
    return int(scope.api != CHAT and all(part.kind == "image" for part in message.parts))


def file(part: Part, scope: Scope) -> Tally:
    """Count a file: the framing of a message, and the text that could be read of it.

    Evidence over Responses (2026-11-25): 8 requests of gpt-4o, gpt-4.1 and o4-mini with one of two
    small PDFs are exact, and 5 with a PDF by URL cost just that with its known text. In chat a PDF
    of one page cost 216 more with gpt-4o-mini (2), about 110 with gpt-4.1-nano (1, two files).
    """
    seen = part.data
    tally: Tally = scope.lens.spread(part.text, "media", scope.ruler, ("file",))
    tally.put("media", style(scope.model).message)
    if not part.text:
        tally.put("media", _guess(part))
    if seen.mime.endswith("/pdf"):
        tally.put("media", _pages(scope))
    return tally


def unsure(prompt: Prompt, scope: Scope) -> int:
    """Return ± tokens of a prompt's files."""
    return sum(
        _unsure(part, scope)
        for message in prompt.messages
        for part in message.parts
        if part.kind == "file"
    )


def _unsure(part: Part, scope: Scope) -> int:
    if part.data.remote:
        return UNSEEN
    if part.text:
        tokens: int = scope.ruler.tokens(part.text)[0]
        return _pages(scope) + math.ceil(TEXT_SHARE * tokens)
    return UNREAD + _guess(part)


def _pages(scope: Scope) -> int:
    """Return what OpenAI's chat shows of a PDF besides its text; other hosts read it themselves."""
    theirs = scope.provider in openai_marks.HOSTS and openai_marks.kin(scope)
    return PAGES if scope.api == CHAT and theirs else 0


def _guess(part: Part) -> int:
    """Return the tokens of a file by its size, where its text could not be read."""
    size: int = part.data.size
    return max(0, size - STRUCTURE) // BYTES_A_TOKEN
