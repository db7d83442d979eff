"""What tools, calls and results cost Gemini, in the three forms in which prompts were counted.

``strings``
    Vertex AI, and models up to 2.0: the strings of a definition or of values alone, keys too.
``python``
    2.5 through the Gemini API: as if a definition were a Python function with its docstring.
``tagged``
    3 and later: as Google shows it for FunctionGemma,
    ``declaration:name{description:<escape>…<escape>,parameters:{…}}`` between two tokens.

Fitted on recorded requests with reported usage by ``scripts/learn_gemini.py`` (2026-11-25); without
nested objects the tagged form is exact but for the words themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokentrace.counting.rules.gemini_text import spaced
from tokentrace.dialects._reading import either, fields, get, items, text_of

DEPTH = 24
NODES = 10_000
# Keywords of a schema whose value is a text.
SPOKEN = ("description", "title", "format", "pattern", "default")
UNIONS = ("anyOf", "oneOf", "allOf", "any_of")
DEFINITIONS = ("$defs", "defs", "definitions")

# The Python form: for a definition, for a parameter with and without a description, for an
# optional one, for a list, and for each class that an object inside becomes.
FUNCTION, DESCRIBED, BARE, OPTIONAL, LIST, CLASS = 18, 9, 10, 4, 3, 36
# Calls and results in it: once, for each argument, for each key of a result, for each deeper one.
PAIR, ARGUMENT, KEY, DEEPER = 5, 3, 5, 3
# The tagged form: a text in its pair of escapes, and one with a key in front.
ESCAPED, LABELLED = 2, 4
CALLED = 4


@dataclass(slots=True)
class Pen:
    """Counts the words of one definition or value, within bounds.

    Attributes:
        ruler: measures text.
        error: ± tokens of what was estimated.
        left: nodes that may still be looked at: what holds itself has no end.
        seen: names of definitions that were counted.
        nested: whether an object stood inside another.
    """

    ruler: Any
    error: int = 0
    left: int = NODES
    seen: set[str] = field(default_factory=set)
    nested: bool = False

    def text(self, value: Any) -> int:
        """Return the tokens of a text; a number's or a truth value's as it is written."""
        if value is None or value == "":
            return 0
        tokens, error = self.ruler.tokens(value if isinstance(value, str) else _plain(value))
        self.error += error
        return int(tokens)

    def name(self, value: Any) -> int:
        """Return the tokens of an identifier."""
        return self.text(spaced(value)) if isinstance(value, str) else 0

    def more(self, depth: int) -> bool:
        """Whether one more node may be looked at."""
        self.left -= 1
        return self.left > 0 and depth < DEPTH


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else ""


# ── parts of a schema ────────────────────────────────────────────────────────────────────────────


def _properties(schema: Any) -> Iterator[tuple[str, Any]]:
    held = fields(get(schema, "properties")) or {}
    yield from ((name, inner) for name, inner in held.items() if isinstance(name, str))


def _required(schema: Any) -> list[str]:
    return [name for name in items(get(schema, "required")) if isinstance(name, str)]


def _within(schema: Any) -> Iterator[Any]:
    """Yield the schemas of a list's items and of a union."""
    inner = get(schema, "items")
    if fields(inner) is not None:
        yield inner
    for name in UNIONS:
        yield from items(get(schema, name))


def _kind(schema: Any) -> bool:
    """Whether a schema says its type."""
    return get(schema, "type") is not None


def definitions(schema: Any) -> Mapping[str, Any]:
    """Return the definitions that references of a schema point at."""
    found = (fields(get(schema, name)) for name in DEFINITIONS)
    return next((one for one in found if one), {})


def _resolved(schema: Any, known: Mapping[str, Any], pen: Pen) -> Any:
    """Return what a reference points at, once; the schema itself where it is none."""
    name = text_of(get(schema, "$ref")).rpartition("/")[2]
    if not name or name in pen.seen:
        return schema
    pen.seen.add(name)
    return known.get(name, schema)


# ── strings ──────────────────────────────────────────────────────────────────────────────────────


def strings_tool(tool: Any, pen: Pen) -> int:
    """Return the strings of a definition; parameters as JSON Schema are not counted."""
    schema = get(tool, "parameters")
    return pen.name(get(tool, "name")) + pen.text(get(tool, "description")) + listed(schema, pen)


def listed(schema: Any, pen: Pen, depth: int = 0, titled: bool = False) -> int:
    """Return the strings of a schema; titles and the order of properties in responses only."""
    if fields(schema) is None or not pen.more(depth):
        return 0
    spoken = [name for name in SPOKEN if titled or name != "title"]
    total = sum(pen.text(get(schema, name)) for name in spoken if _is_text(get(schema, name)))
    total += _kind(schema) + sum(map(pen.text, items(get(schema, "enum"))))
    total += sum(map(pen.name, _required(schema)))
    if titled:
        total += sum(map(pen.name, items(either(schema, "propertyOrdering")))) // 2
    for name, inner in _properties(schema):
        total += pen.name(name) + listed(inner, pen, depth + 1, titled)
    return total + sum(listed(one, pen, depth + 1, titled) for one in _within(schema))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def strings_value(value: Any, pen: Pen, depth: int = 0) -> int:
    """Return the strings of a call's arguments or of a result, keys too; numbers cost nothing."""
    if isinstance(value, str):
        return pen.text(value)
    if not pen.more(depth):
        return 0
    if isinstance(value, list | tuple):
        return sum(strings_value(one, pen, depth + 1) for one in value)
    held = fields(value) or {}
    return sum(pen.name(k) + strings_value(v, pen, depth + 1) for k, v in held.items())


# ── Python ───────────────────────────────────────────────────────────────────────────────────────


def python_tool(tool: Any, pen: Pen) -> int:
    """Return what a definition costs as a function with a docstring."""
    schema = _declared(tool)
    total = FUNCTION + pen.name(get(tool, "name")) + pen.text(get(tool, "description"))
    return total + _parameters(schema, definitions(schema), pen, 0)


def _declared(tool: Any) -> Any:
    found = (either(tool, name) for name in ("parameters", "parametersJsonSchema"))
    return next((one for one in found if one is not None), None)


def _parameters(schema: Any, known: Mapping[str, Any], pen: Pen, depth: int) -> int:
    if not pen.more(depth):
        return 0
    required = _required(schema)
    total = 0
    for name, inner in _properties(schema):
        spoken = pen.text(get(inner, "description"))
        total += pen.name(name) + (spoken + DESCRIBED if spoken else BARE)
        total += 0 if name in required else OPTIONAL
        total += sum(2 + pen.text(one) for one in items(get(inner, "enum")))
        total += _classes(inner, known, pen, depth + 1)
    return total


def _classes(schema: Any, known: Mapping[str, Any], pen: Pen, depth: int) -> int:
    """Return what objects inside of a parameter cost."""
    if not pen.more(depth):
        return 0
    schema = _resolved(schema, known, pen)
    total = sum(LIST + _classes(one, known, pen, depth + 1) for one in _within(schema))
    if get(schema, "properties"):
        pen.nested = True
        total += CLASS + (pen.text(get(schema, "description")) if depth > 1 else 0)
        total += _parameters(schema, known, pen, depth + 1)
    return total


def python_value(value: Any, pen: Pen, call: bool, depth: int = 0) -> int:
    """Return what a call's arguments, or a result, cost beside their name."""
    if not isinstance(value, list | tuple | Mapping):
        return pen.text(value)
    if not pen.more(depth):
        return 0
    if isinstance(value, list | tuple):
        return sum(python_value(one, pen, call, depth + 1) for one in value) + max(
            0, len(value) - 1
        )
    each = DEEPER if depth else (ARGUMENT if call else KEY)
    inner = (pen.name(k) + python_value(v, pen, call, depth + 1) for k, v in value.items())
    return sum(inner) + each * len(value)


# ── tagged ───────────────────────────────────────────────────────────────────────────────────────


def tagged_tool(tool: Any, pen: Pen) -> int:
    """Return what a definition costs between its two tokens."""
    schema, spoken = _declared(tool), pen.text(get(tool, "description"))
    total = CALLED + pen.name(get(tool, "name")) + (spoken + LABELLED if spoken else 0) + 1
    if fields(schema) is None:
        return total + 1
    return total + 3 + bool(spoken) + _body(schema, definitions(schema), pen, 0)


def _object(schema: Any, known: Mapping[str, Any], pen: Pen, depth: int) -> int:
    return 2 + _body(_resolved(schema, known, pen), known, pen, depth)


def _body(schema: Any, known: Mapping[str, Any], pen: Pen, depth: int) -> int:
    """Return the fields of a schema and the commas between them, without its braces."""
    if not pen.more(depth):
        return 0
    found = [LABELLED + pen.text(text) for name in SPOKEN if _is_text(text := get(schema, name))]
    for name in ("enum", "required"):
        texts = items(get(schema, name))
        if texts:
            found.append(1 + len(texts) + sum(ESCAPED + pen.name(str(one)) for one in texts))
    inner = sum(pen.name(k) + _object(v, known, pen, depth + 1) for k, v in _properties(schema))
    pen.nested = pen.nested or bool(inner and depth)
    if inner:
        found.append(2 + inner - bool(found or _kind(schema)))
    found += [1 + _object(one, known, pen, depth + 1) for one in _within(schema)]
    if _kind(schema):
        found.append(LABELLED + 1)
    return sum(found) + max(0, len(found) - 1)


def tagged_value(value: Any, pen: Pen, depth: int = 0) -> int:
    """Return what a value costs: texts in escapes, keys and braces in tokens of their own."""
    if isinstance(value, str):
        return ESCAPED + pen.text(value)
    if not isinstance(value, list | tuple | Mapping):
        return pen.text(value)
    if not pen.more(depth):
        return 0
    if isinstance(value, list | tuple):
        inner = sum(tagged_value(one, pen, depth + 1) for one in value)
    else:
        inner = sum(pen.name(k) + 1 + tagged_value(v, pen, depth + 1) for k, v in value.items())
    return 1 + (inner + len(value) if value else 0)


# ── the table ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Form:
    """How one way of counting sees tools, calls and results.

    Attributes:
        tool: tokens of a definition.
        call, result: tokens of the values, without the name.
        once: tokens of a call, and of a result, besides name and values.
    """

    tool: Callable[[Any, Pen], int]
    call: Callable[[Any, Pen], int]
    result: Callable[[Any, Pen], int]
    once: int


FORMS = {
    "strings": Form(strings_tool, strings_value, strings_value, 0),
    "python": Form(
        python_tool,
        lambda value, pen: python_value(value, pen, call=True),
        lambda value, pen: python_value(value, pen, call=False),
        PAIR,
    ),
    "tagged": Form(tagged_tool, tagged_value, tagged_value, CALLED),
}
