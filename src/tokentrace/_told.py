"""What an agent framework tells of where its code is: session, agent, run.

`instrument` sets who is asked; `turns` takes what the application itself did not say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokentrace._failsafe import attempt


@dataclass(frozen=True, slots=True)
class Told:
    """What is known, each empty where nobody says.

    Attributes:
        session: an id of the conversation.
        agent: whose code runs.
        run: an id of all that serves one user input.
    """

    session: str = ""
    agent: str = ""
    run: str = ""


NOTHING = Told()


def _nobody() -> Told:
    return NOTHING


_source: Callable[[], Told] = _nobody


def listen(source: Callable[[], Told] | None) -> None:
    """Set who is asked from now on, None for nobody."""
    global _source  # noqa: PLW0603 - instrument() and uninstrument() switch it
    _source = source or _nobody


def ask() -> Told:
    """Return what is told of the caller."""
    told: Told = attempt(_source, default=NOTHING)
    return told
