"""Every regular expression of the package, and texts that come as near to a match as they can."""

from __future__ import annotations

import ast
import pkgutil
import re
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import tokentrace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from re import _constants as sre
    from re import _parser as parser

TOP = Path(tokentrace.__file__).parent
FUNCTIONS = {"compile", "search", "match", "fullmatch", "sub", "split", "findall", "finditer"}
ANCHORED = {"match", "fullmatch"}
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)
ANY_REPEAT = (*REPEATS, sre.POSSESSIVE_REPEAT)
DEPTH = 4


def modules() -> Iterator[Any]:
    """Yield every module of the package that can be imported here."""
    for found in pkgutil.walk_packages(tokentrace.__path__, "tokentrace."):
        if not found.name.startswith(
            ("tokentrace.boot", "tokentrace.__main__", "tokentrace.pytest_plugin")
        ):
            yield import_module(found.name)


def every() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Return the patterns by what they are, each with whether it is only ever matched at a beginning.

    They are those that modules hold, those that stand in calls, and those that are made of tables.
    """
    found: dict[str, tuple[re.Pattern[Any], bool]] = {}
    for module in modules():
        source = _source(module)
        told = [
            (pattern, _anchored(source, name))
            for name, held in list(vars(module).items())
            for pattern in _inside(held, DEPTH)
        ]
        for pattern, anchored in (*told, *_called(source), *_made()):
            key = f"{pattern.pattern!r:.160} {pattern.flags}"
            found[key] = (pattern, anchored and found.get(key, (pattern, True))[1])
    return found


def _source(module: Any) -> str:
    path = getattr(module, "__file__", None) or ""
    return Path(path).read_text("utf-8") if path.endswith(".py") else ""


def _anchored(source: str, name: str) -> bool:
    """Whether a module uses a pattern by that name, and only to match from a beginning."""
    used = set(re.findall(rf"\b{name}\.(\w+)\(", source)) & FUNCTIONS
    return bool(used) and used <= ANCHORED


@cache
def _made() -> tuple[tuple[re.Pattern[Any], bool], ...]:
    """Return the patterns of refusals and of logs."""
    from tokentrace.providers import overflow
    from tokentrace.readers import agent_log

    told = [(pattern, False) for pattern, _ in overflow._patterns()]
    for form in agent_log.shipped():
        rules = [rule for some in form.rules.values() for rule in some]
        told += [(one, True) for one in (form.scan, *(rule.pattern for rule in rules))]
        told += [(rule.rows, True) for rule in rules if rule.rows]
    return tuple(told)


def _inside(held: Any, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(held, re.Pattern):
        yield held
    elif depth and isinstance(held, (list, tuple, set, frozenset)):
        for one in held:
            yield from _inside(one, depth - 1)
    elif depth and isinstance(held, dict):
        for one in held.values():
            yield from _inside(one, depth - 1)


def _called(source: str) -> Iterator[tuple[re.Pattern[Any], bool]]:
    """Yield the patterns that a module hands to functions of `re` as they stand in its source."""
    for node in ast.walk(ast.parse(source)):
        called = node.func if isinstance(node, ast.Call) else None
        if not isinstance(called, ast.Attribute) or called.attr not in FUNCTIONS - {"compile"}:
            continue
        first = node.args[0] if node.args else None
        if ast.unparse(called.value) == "re" and isinstance(first, ast.Constant):
            yield re.compile(first.value), called.attr in ANCHORED


# ── texts ────────────────────────────────────────────────────────────────────────────────────────


def texts(pattern: re.Pattern[Any], size: int) -> Iterator[Any]:
    """Yield texts of about ``size`` characters: every repeat pumped, behind what leads to it.

    Each stands once with an end that nothing matches, and once as many short tries in a row.
    """
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    every_pump = {pump for pump in _pumps(tree.data, "") if pump[1]}
    for lead, pump in sorted(every_pump):
        long = lead + pump * (size // len(pump))
        many = (lead + pump * 3) * (size // (len(lead) + 3 * len(pump)))
        for text in (long, f"{long}\0", f"{many}\0", pump * (size // len(pump)) + "\0"):
            yield text.encode("utf-8", "replace") if isinstance(pattern.pattern, bytes) else text


def _pumps(data: Any, lead: str) -> Iterator[tuple[str, str]]:
    for kind, held in data:
        if kind in ANY_REPEAT:
            yield lead, _sample(held[2])
            yield from ((lead + before, pump) for before, pump in _pumps(held[2], _sample(held[2])))
        for one in inner(kind, held):
            yield from _pumps(one, lead)
        lead += _sample([(kind, held)])


def _sample(data: Any) -> str:
    """Return a text that a piece of a pattern matches, as far as that is easily told."""
    return "".join(_one(kind, held) for kind, held in data)


def _one(kind: Any, held: Any) -> str:
    if kind is sre.LITERAL:
        return chr(held)
    if kind is sre.NOT_LITERAL:
        return "a" if held != ord("a") else "b"
    if kind is sre.ANY or kind is sre.IN:
        return _member(held) if held else "a"
    first = next(iter(inner(kind, held)), ())
    return _sample(first) * (max(1, held[0]) if kind in ANY_REPEAT else 1)


def inner(kind: Any, held: Any) -> list[Any]:
    """Return the pieces that a piece of a pattern is made of."""
    if kind in ANY_REPEAT:
        return [held[2]]
    if kind is sre.SUBPATTERN:
        return [held[3]]
    if kind is sre.ATOMIC_GROUP:
        return [held]
    return list(held[1]) if kind is sre.BRANCH else []


CLASSES = {
    sre.CATEGORY_DIGIT: "1", sre.CATEGORY_SPACE: " ", sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_DIGIT: "a", sre.CATEGORY_NOT_SPACE: "a", sre.CATEGORY_NOT_WORD: "-",
}  # fmt: skip


def _member(held: Any) -> str:
    """Return a member of a set of characters."""
    if held[0][0] is sre.NEGATE:
        taken = {chr(one) for kind, one in held[1:] if kind is sre.LITERAL}
        spans = [one for kind, one in held[1:] if kind is sre.RANGE]
        classes = [one for kind, one in held[1:] if kind is sre.CATEGORY]
        for one in "a1 -é\n~":
            spanned = any(low <= ord(one) <= high for low, high in spans)
            classed = any(re.match(_CLASS[kind], one) for kind in classes)
            if one not in taken and not spanned and not classed:
                return one
        return ""
    kind, first = held[0]
    if kind is sre.RANGE:
        return chr(first[0])
    return CLASSES[first] if kind is sre.CATEGORY else chr(first)


_CLASS = {
    sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_NOT_SPACE: r"\S", sre.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────


def nested(pattern: re.Pattern[Any]) -> bool:
    """Whether an unbounded repeat that gives back stands inside another one."""
    return _nested(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG).data, inside=False)


def _nested(data: Any, *, inside: bool) -> bool:
    for kind, held in data:
        endless = kind in REPEATS and held[1] is sre.MAXREPEAT
        if inside and endless:
            return True
        kept = inside and kind is not sre.ATOMIC_GROUP  # such a group gives nothing back
        if any(_nested(one, inside=kept or endless) for one in inner(kind, held)):
            return True
    return False
