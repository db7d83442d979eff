"""What each kind of waste means: its code, what to do, and how sure a finding of it is."""

from __future__ import annotations

from dataclasses import dataclass

HIGH = "high"
MEDIUM = "medium"
LOW = "low"
CONFIDENCES = (HIGH, MEDIUM, LOW)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of waste.

    Attributes:
        code: of its findings.
        says: what the tokens are, to stand behind their number.
        remedy: what to do, one phrase.
        confidence: ``high`` where text was compared or counted both ways; ``medium`` where the text
            is there but may be needed.
    """

    code: str
    says: str
    remedy: str
    confidence: str


UNCALLED = "uncalled"
KINDS = {
    "duplicate": Kind(
        "waste.duplicate",
        "stand in the prompt a second time",
        "keep one copy, and refer to it from the other place",
        HIGH,
    ),
    "json": Kind(
        "waste.json",
        "are white space of indented JSON",
        "write JSON without indentation: json.dumps(data, separators=(',', ':'))",
        HIGH,
    ),
    "base64": Kind(
        "waste.base64",
        "are base64 in text",
        "send bytes as a file or an image, or leave them out: no model reads base64",
        HIGH,
    ),
    "carried": Kind(
        "waste.carried",
        "are results of tools, several turns old",
        "shorten or drop results of tools after a few turns",
        MEDIUM,
    ),
    "unchanged": Kind(
        "waste.unchanged",
        "are the same turn after turn",
        "put it at the front of the prompt, where the provider's cache reads it, or say it once",
        MEDIUM,
    ),
}
# What a report finds by all calls of a session, and a line of calls knows of those so far.
ADVISED = {
    **KINDS,
    UNCALLED: Kind(
        "tools.uncalled",
        "are definitions of tools that nobody called",
        "offer these tools only where they are needed, or shorten their descriptions",
        MEDIUM,
    ),
}
