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


TOOLS, SYSTEM, MESSAGES = "tools", "system", "messages"


@dataclass(frozen=True, slots=True)
class Caching:
    """How a provider keeps the beginning of a prompt from one call to the next.

    Attributes:
        match: glob over plain model names, see `providers.plain`.
        order: what stands first in the cached prefix; response schemas stand with the tools.
        ordered: the provider says so; where False, what stands before the messages may be in any order.
        minimum: tokens of the shortest prefix that is kept; None where nobody says.
        step: tokens in whose multiples a prefix is found again; 1 where it is found at its very end,
            0 where none is kept.
        exact: found again only where an earlier request marked its end, or the provider did.
        lookback: blocks before a mark in which an earlier mark is found; None for all.
        life: seconds for which a prefix is kept since its last use; None where nobody says.
        longest: the same, where the request asks for longer.
        silent: usage leaves the number out where nothing was read.
        breakers: features of a request besides its text whose change leaves the messages unread:
            ``tool_choice``, ``thinking``. Another model always does, for the whole prompt.
        dated: when this was read, ISO date.
        source: where it comes from, in one line.
    """

    match: str = "*"
    order: tuple[str, str, str] = (SYSTEM, TOOLS, MESSAGES)
    ordered: bool = False
    minimum: int | None = None
    step: int = 128
    exact: bool = False
    lookback: int | None = None
    life: float | None = None
    longest: float | None = None
    silent: bool = False
    breakers: tuple[str, ...] = ()
    dated: str = ""
    source: str = ""
