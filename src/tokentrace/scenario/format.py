"""What a scenario file may hold. The published JSON schema is made from these types."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

DAY = 86_400
MOST_TURNS = 1_000

Name = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(?!\n)$", description="A word of 1 to 64.")
]
Seconds = Annotated[float, Meta(gt=0, le=DAY, description="Seconds that a turn may take.")]
Tokens = Annotated[int, Meta(gt=0, lt=2**53)]
Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[list[Text], Meta(min_length=1)]


class Expectations(Struct, frozen=True, forbid_unknown_fields=True):
    """What must be true after a turn; the inner file, phase or turn wins, key by key."""

    response_contains: (
        Annotated[Text | Texts, Meta(description="Texts in the answer, in any case.")] | UnsetType
    ) = UNSET
    component_present: (
        Annotated[Text | Texts, Meta(description="Components that hold tokens.")] | UnsetType
    ) = UNSET
    max_total: Annotated[Tokens, Meta(description="Input tokens of the turn.")] | UnsetType = UNSET
    max_utilization: (
        Annotated[float, Meta(gt=0, le=100, description="Share of the limit; 1 is the limit.")]
        | UnsetType
    ) = UNSET
    max_component: (
        Annotated[dict[Text, Tokens], Meta(description="Tokens by component.")] | UnsetType
    ) = UNSET


class Turn(Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt."""

    prompt: Text
    expect: Expectations = Expectations()
    timeout: Seconds | UnsetType = UNSET


class Phase(Struct, frozen=True, forbid_unknown_fields=True):
    """Turns that belong together; a turn that is a text is its prompt."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    turns: Annotated[list[Text | Turn], Meta(min_length=1, max_length=MOST_TURNS)]
    expect: Expectations = Expectations()
    timeout: Seconds | UnsetType = UNSET


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario: prompts in phases, and what is expected of the agent that gets them."""

    name: Name
    phases: Annotated[list[Phase], Meta(min_length=1, max_length=100)]
    description: str = ""
    expect: Expectations = Expectations()
    timeout: Seconds = 120.0
    concurrency: Annotated[
        int, Meta(ge=1, le=64, description="Sessions of the scenario at the same time.")
    ] = 1
    stop_after: Annotated[
        int, Meta(ge=1, description="Failed turns in a row after which a session is given up.")
    ] = 3
    essential: (
        Annotated[list[Text], Meta(description="Components that must neither shrink nor go.")]
        | UnsetType
    ) = UNSET
    thresholds: Annotated[
        dict[str, int | float],
        Meta(description="Of the verdict, by name; see the page on findings."),
    ] = {}


def schema() -> str:
    """Return the JSON schema of scenario files (2020-12)."""
    known = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(File)}
    return json.dumps(known, indent=2) + "\n"


def keys() -> set[str]:
    """Return every key that a scenario file may hold."""
    return {name for kind in (File, Phase, Turn, Expectations) for name in kind.__struct_fields__}
