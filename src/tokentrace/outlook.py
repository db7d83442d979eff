"""What a prompt could do without, and when its conversation reaches the limit: frozen numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waste:
    """Tokens of one component that a prompt could do without.

    Attributes:
        kind: ``duplicate`` (text that stood in the prompt before), ``json`` (what compact JSON would
            save), ``base64``, ``carried`` (results of tools, several turns old) or ``unchanged`` (a
            named component with the same content turn after turn).
        component: whose tokens these are.
        tokens: as counted; kinds may overlap, so they are not to be added up.
        turns: for how many turns by now, 0 where the kind knows no age.
    """

    kind: str
    component: str
    tokens: int
    turns: int = 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a conversation reaches its limit, if it goes on like this.

    Attributes:
        turns: until the limit, 0.0 at or above it.
        earliest, latest: the ends of a 90 percent interval; ``latest`` is None where growth may as
            well be none.
        pace: tokens more a turn.
        growth: tokens more a turn by component, the largest first; those that do not grow are left
            out.
    """

    turns: float
    earliest: float
    latest: float | None
    pace: float
    growth: tuple[tuple[str, float], ...] = ()
