"""Wrappers of others that took hold of an SDK's callable before us, and would pass us by.

Some instrumentations put theirs onto a client class, below the base class on which we stand, and
keep the base class's own function. What they keep is replaced by ours, and put back again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

DEPTH = 8

Undo = Callable[[], Any]


def take(owner: Any, name: str, original: Any) -> list[Undo]:
    """Have everybody who keeps ``original`` call what now stands at ``owner.name``.

    Returns:
        What puts each of them back.
    """
    ours = getattr(owner, name)
    if isinstance(owner, FunctionType):  # a decorator's function holds what it calls itself
        return [put(original) for put in _keeping(owner, original, ours, DEPTH)]
    undo: list[Undo] = []
    for kind in _below(owner):
        held = vars(kind).get(name)
        if held is original:
            setattr(kind, name, vars(owner)[name])
            undo.append(partial(setattr, kind, name, original))
        elif held is not None:
            undo += [put(original) for put in _keeping(held, original, ours)]
    return undo


def _below(owner: Any) -> Iterator[type]:
    for kind in type.__subclasses__(owner):
        yield kind
        yield from _below(kind)


def _keeping(
    held: Any, original: Any, ours: Any, depth: int = 0
) -> Iterator[Callable[[Any], Undo]]:
    """Replace ``original`` in a chain of wrappers; yield, for each place, what puts a value back."""
    if depth > DEPTH:
        return
    for read, write in _places(held):
        value = read()
        if value is original:
            write(ours)
            yield partial(partial, write)
        elif callable(value) and value is not held and not _is_ours(value, ours):
            yield from _keeping(value, original, ours, depth + 1)


def _is_ours(value: Any, ours: Any) -> bool:
    """Whether a wrapper is the one that we have just put there: it must keep what it wraps."""
    mine = getattr(ours, "_self_wrapper", ours)
    return value is ours or getattr(value, "_self_wrapper", None) is mine


def _places(held: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Yield how to read and write each place in which a wrapper keeps what it calls."""
    if type(held) is FunctionType:  # a proxy says of itself that it is one
        for cell in held.__closure__ or ():
            yield partial(_content, cell), partial(setattr, cell, "cell_contents")
    elif hasattr(type(held), "__wrapped__") or "__wrapped__" in getattr(held, "__dict__", {}):
        yield partial(getattr, held, "__wrapped__", None), partial(setattr, held, "__wrapped__")


def _content(cell: Any) -> Any:
    """Return what a closure's cell holds; one that is not filled yet holds nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
