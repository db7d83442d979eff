"""The errors of tokentrace.

::

    Exception
    └── TokentraceError           everything that tokentrace raises on purpose
        ├── TokenLimitExceeded    the guard refused a call; nothing was sent
        └── InputError            a file, body or option that cannot be used
    Warning
    └── UserWarning
        └── TokenLimitWarning     a prompt crossed a threshold of its limit
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokentrace.prompt import LimitReport


class TokentraceError(Exception):
    """Base class of all errors that tokentrace raises on purpose."""


class TokenLimitExceeded(TokentraceError):  # noqa: N818 - the public name that the design fixes
    """The guard refused a call before any byte was sent.

    Not to be retried: the same request is refused again. Shorten the prompt, raise the limit, or
    give the guard a ``compress`` callback.

    Attributes:
        report: what was counted, against which limit, and what to cut.
    """

    def __init__(self, report: LimitReport) -> None:
        super().__init__(report.message)
        self.report = report

    def __reduce__(self) -> tuple[type[TokenLimitExceeded], tuple[LimitReport]]:
        return type(self), (self.report,)


class TokenLimitWarning(UserWarning):
    """A prompt crossed a threshold of its limit.

    The text is constant for a model and threshold, so that warning filters and log de-duplication
    work; the numbers are in ``report``.
    """

    def __init__(self, message: str, report: LimitReport | None = None) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[type[TokenLimitWarning], tuple[str, LimitReport | None]]:
        return type(self), (str(self), self.report)


class InputError(TokentraceError):
    """A file, body or option that cannot be used, with the mend.

    Attributes:
        source: the file or option it came from.
        mend: what to do about it, one sentence.
    """

    def __init__(self, message: str, *, source: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.source = source
        self.mend = mend

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        return f"{where}{self.args[0]}{f' ({self.mend})' if self.mend else ''}"
