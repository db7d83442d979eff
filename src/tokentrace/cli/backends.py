"""The options for what is read from Jaeger and Tempo, and the question that they come to."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any

import typer

from tokentrace import _config
from tokentrace.errors import InputError
from tokentrace.readers import backends
from tokentrace.readers.backends import HOUR, SECOND, Wanted

PANEL = "Of jaeger:URL and tempo:URL"
HEADER, ALLOW = "TOKENTRACE_HEADER", "TOKENTRACE_ALLOW_PRIVATE"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SPAN = re.compile(r"(\d{1,9})([smhd])")
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")  # of a header (RFC 9110, 5.6.2)
VALUE = re.compile(r"[\t\x20-\x7e]*")
LONGEST = 3600.0


def _option(name: str, metavar: str | None, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=PANEL)


def asked(
    *,
    service: Annotated[str, _option("--service", "NAME", "Only this service.")] = "",
    since: Annotated[str, _option("--since", "SPAN", "The last 30s, 15m, 1h (default), 7d.")] = "",
    begin: Annotated[
        str, _option("--from", "TIME", "From then on, as 2026-11-30T14:00, UTC or with offset.")
    ] = "",
    end: Annotated[str, _option("--to", "TIME", "Until then; default: now.")] = "",
    traceql: Annotated[str, _option("--traceql", "QUERY", "Tempo's search, as { … }.")] = "",
    header: Annotated[
        list[str] | None, _option("--header", "'NAME: VALUE'", "Sent along. May be repeated.")
    ] = None,
    timeout: Annotated[
        float, _option("--timeout", "SECONDS", "For each answer.")
    ] = backends.PATIENCE,
    allow_private: Annotated[
        bool, _option("--allow-private", None, "Ask addresses of private networks, too.")
    ] = False,
) -> Wanted | None:
    """Return what options ask of back ends; None where none of them was given.

    Raises:
        InputError: a time, header or timeout that is none.
    """
    given = (service, since, begin, end, traceql, header, allow_private)
    if not any(given) and timeout == backends.PATIENCE:
        return None
    if not 0 < timeout <= LONGEST:
        raise InputError(f"no time of 1 to {LONGEST:g} seconds", source="--timeout")
    first, last = _range(since, begin, end)
    return Wanted(
        first,
        last,
        service=service,
        traceql=traceql,
        headers=dict(_header(one, "--header") for one in header or ()),
        timeout=timeout,
        allow_private=allow_private,
    )


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of back ends; it takes what they come to as ``wanted``."""
    mine = inspect.signature(asked, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True)
    kept = [one for name, one in own.parameters.items() if name != "wanted"]

    @wraps(command)
    def run(*args: Any, **given: Any) -> None:
        told = {name: given.pop(name) for name in mine if name in given}
        command(*args, wanted=asked(**told), **given)

    both = [*kept, *mine.values()]
    del run.__wrapped__  # it has no such options
    run.__signature__ = own.replace(parameters=both)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in both}
    return run


def question(paths: Sequence[str], wanted: Wanted | None, session: str) -> Wanted | None:
    """Return what is asked of the back ends among ``paths``, by options and environment.

    Args:
        paths: all that is read.
        wanted: by options.
        session: that is shown in the end; empty for all, or where others are read for comparison.

    Raises:
        InputError: options of back ends, and no path is one; or the variable holds no header.
    """
    from dataclasses import replace

    if not any(map(backends.is_backend, paths)):
        if wanted is None:
            return None
        mend = "these options are for jaeger:URL and tempo:URL"
        raise InputError("no path is a back end", source=PANEL.lower(), mend=mend)
    known = wanted or backends.lately()
    held = _config.text(HEADER)
    headers = dict([_header(held, HEADER)]) if held else {}
    allowed = known.allow_private or _config.read(ALLOW, _config.flag, default=False)
    return replace(
        known, session=session, headers={**headers, **known.headers}, allow_private=allowed
    )


def _range(since: str, begin: str, end: str) -> tuple[int, int]:
    """Return the first and last ns since the epoch."""
    if since and begin:
        raise InputError("not together with --from", source="--since")
    last = _time(end, "--to") if end else time.time_ns()
    span = _span(since) if since else HOUR
    first = _time(begin, "--from") if begin else last - span
    if not 0 <= first < last:
        raise InputError("ends before it begins", source="--from" if begin else "--to")
    return first, last


def _span(text: str) -> int:
    found = SPAN.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise InputError(f"no span of time {text!r:.40}", source="--since", mend="such as 15m, 2h")
    return int(found[1]) * UNITS[found[2]] * SECOND


def _time(text: str, source: str) -> int:
    """Return a time in ns since the epoch; without an offset it is UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
        there = found if found.tzinfo else found.replace(tzinfo=UTC)
        whole = int((there.replace(microsecond=0)).timestamp())
    except (ValueError, OverflowError):
        mend = "such as 2026-11-30T14:00 or 2026-11-30T14:00:05+01:00"
        raise InputError(f"no time {text!r:.40}", source=source, mend=mend) from None
    return whole * SECOND + there.microsecond * 1000


def _header(text: str, source: str) -> tuple[str, str]:
    """Return a header's name and value; neither is ever shown."""
    name, colon, value = text.partition(":")
    if not colon or not NAME.fullmatch(name.strip()) or not VALUE.fullmatch(value.strip()):
        mend = "write 'Authorization: Bearer …', in ASCII"
        raise InputError("no header", source=source, mend=mend)
    return name.strip(), value.strip()
