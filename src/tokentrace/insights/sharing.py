"""Cached tokens laid over the components of a prompt, as far as anybody knows where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tokentrace.prompt import Usage
from tokentrace.providers.prices import Rates

DRIFT = "\0"  # no component's name


def laid(
    room: dict[str, int], cached: Mapping[str, int], usage: Usage, rates: Rates
) -> Iterator[tuple[int, Mapping[str, int]]]:
    """Yield what was read and written as rates and tokens by component, or of `DRIFT`.

    What is known of a component holds. The rest goes by size to those of which nothing is known,
    and only what has no room there to the others.

    Args:
        room: tokens that may be cached, by component; what was laid is taken off.
        cached: tokens read, by component, as far as they are known.
        usage: what was read and written in all.
        rates: what they cost.
    """
    read, long = usage.cache_read or 0, usage.cache_write_long or 0
    if cached and read:
        known = _known(room, cached, read)
        yield rates.read, _taken(room, known)
        read -= sum(known.values())
        others = {name: count for name, count in room.items() if name not in known}
        rest = shared(read, others)
        yield rates.read, _taken(room, rest)
        read -= sum(rest.values())
    short = (usage.cache_write or 0) - long
    for rate, amount in ((rates.read, read), (rates.write_long, long), (rates.write, short)):
        if amount:
            yield rate, _taken(room, shared(amount, room))


def _taken(room: dict[str, int], given: Mapping[str, int]) -> Mapping[str, int]:
    """Take tokens off the room that there is for more."""
    for name, count in given.items():
        room[name] -= count
    return given


def _known(room: Mapping[str, int], cached: Mapping[str, int], read: int) -> dict[str, int]:
    """Return what is known to be read of each component, never more than was read in all."""
    held: dict[str, int] = {}
    for name, count in cached.items():
        if name in room and count > 0:
            held[name] = min(count, room[name], read)
            read -= held[name]
    return held


def shared(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share whole things by weight, to each at most its weight; largest remainders decide."""
    whole = sum(weights.values())
    amount = min(amount, whole)
    if amount <= 0:
        return {}
    given, rests = {}, []
    for name, weight in weights.items():
        given[name], rest = divmod(amount * weight, whole)
        rests.append((-rest, name))
    left = amount - sum(given.values())
    for _, name in sorted(rests)[:left] if left else ():
        given[name] += 1
    return given
