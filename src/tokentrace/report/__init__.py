"""What was read, shown: one file a form.

``text.render(report, console)`` prints tables, ``json.render(report)`` returns the document that
``report.schema.json`` describes.
"""

from __future__ import annotations

import unicodedata

UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def safe(text: str, most: int = 200) -> str:
    """Return ``text`` on one line for a terminal: no escapes, no bidi or invisible controls."""
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    if text.isascii() and text.isprintable():
        return text
    kept = ("" if unicodedata.category(one) in UNSAFE else one for one in text)
    return "".join(kept)
