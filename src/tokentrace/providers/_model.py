"""What is known about a provider and its models, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """One model, or a group of models that share their numbers.

    Attributes:
        match: glob over plain model names, see `providers.plain`.
        input: largest input in tokens where the maker limits it apart from the window.
        output: largest output in tokens.
        window: tokens that input and output share.
        refuses_sum: the provider refuses input + requested output > window; where False it
            answers and stops at the window.
        tokenizer: the vocabulary that counts its text, or the nearest one; empty where nobody has
            said so, and o200k_base stands in.
        family: the family of models that share a counting rule, empty where the rules decide.
    """

    match: str
    input: int | None = None
    output: int | None = None
    window: int | None = None
    refuses_sum: bool = False
    tokenizer: str = "o200k_base"
    family: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves models.

    Attributes:
        name: short name, as in ``provider=`` of the public functions.
        otel_name: value of OpenTelemetry's provider name; our own where the standard has none.
        hosts: globs over host names of base URLs.
        models: rows in order of precedence: the first that matches holds.
        dated: when the rows were read, ISO date; empty where there are none.
        source: where their numbers come from, in one line; empty where there are none.
    """

    name: str
    otel_name: str
    hosts: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    dated: str = ""
    source: str = ""
