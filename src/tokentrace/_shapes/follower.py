"""Who hears of a call's life."""

from __future__ import annotations

from typing import Any, Protocol


class Follower(Protocol):
    """Who wants to know. Every method may be called late, twice, or from another thread."""

    def enter(self) -> None:
        """The host's own code begins to run."""

    def leave(self) -> None:
        """It is over, or it has handed back a stream."""

    def chunk(self, item: Any) -> None:
        """A stream gave an item to the host."""

    def end(self, value: Any = None) -> None:
        """The call is over; ``value`` is the response where it is known."""

    def fail(self, error: BaseException) -> None:
        """The call ended with an error."""

    def abandon(self) -> None:
        """The host dropped the call before its end."""
