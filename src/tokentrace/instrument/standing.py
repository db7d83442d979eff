"""The proxy that stands where a function of an SDK or a framework stood.

wrapt's own can be neither copied nor pickled; a method can, and hosts do so: with the state of a tool
that holds ``agent.run``, or on the way to another process.
"""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module
from operator import attrgetter
from typing import Any

from wrapt import BoundFunctionWrapper, FunctionWrapper


def found(module: str, path: str) -> Any:
    """Return what stands at a dotted path of a module."""
    return attrgetter(path)(import_module(module))


class Copied:
    """What copies and pickles like a function, or like a method of its object.

    It has no annotations: they would stand for those of what is wrapped.
    """

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        return self if owner is None else getattr(deepcopy(owner, memo), self.__name__)

    def __reduce_ex__(self: Any, _protocol: Any) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        if owner is None:
            return found, (self.__module__, self.__qualname__)
        return getattr, (owner, self.__name__)


class Bound(Copied, BoundFunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """Stands in for a method."""


class Standing(Copied, FunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """Stands in for a function."""

    __bound_function_wrapper__ = Bound
