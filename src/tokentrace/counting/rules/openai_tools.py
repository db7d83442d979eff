"""How OpenAI writes function definitions and response schemas into the prompt.

The provider turns JSON schemas into text in the manner of TypeScript. That text is published
nowhere; what stands here reproduces reported numbers (2026-11-22; see `openai_evidence`).
Schemas may be cyclic, deep or of any type: at most 64 levels and 10,000 nodes are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any

from tokentrace.dialects._reading import fields, get, items, text_of
from tokentrace.prompt import Part

DEPTH = 64
NODES = 10_000
HEAD = "# Tools\n\n## functions\n\nnamespace functions {\n\n"
FOOT = "} // namespace functions"
KEPT = frozenset({
    "type", "title", "description", "properties", "items", "enum", "anyOf", "oneOf", "allOf",
    "$ref", "$defs", "definitions", "const",
})  # fmt: skip
NAMED = frozenset({"properties", "$defs", "definitions"})
SIMPLE = {
    "string": "string",
    "boolean": "boolean",
    "null": "null",
    "number": "number",
    "integer": "number",
}


def definition(part: Part) -> Mapping[str, Any] | None:
    """Return name, description and parameters of a function tool; None for any other tool.

    A tool search that the caller makes itself is a function of that name.
    """
    held = fields(part.data)
    if held is None:
        return None
    if searching(part):
        return {**held, "name": part.name}
    kind = held.get("type")
    if kind is not None and kind != "function":
        return None
    inner = fields(held.get("function"))
    if inner is not None:
        return inner
    return held if "name" in held else None


def searching(part: Part) -> bool:
    """Whether a tool is a search for other tools that the caller makes itself."""
    return (get(part.data, "type"), get(part.data, "execution")) == ("tool_search", "client")


def shown(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the tools that the prompt shows: not those that a caller's search has yet to find.

    Evidence (2026-11-25): 2 requests of gpt-5.4, exact. Those that the provider's own search finds
    cost about as much as if they were shown (2026-11-22: 9 requests, all within 17).
    """
    if not any(map(searching, parts)):
        return parts
    return [part for part in parts if not get(part.data, "defer_loading")]


def described(part: Part) -> bool:
    """Whether a definition has a description."""
    return bool(text_of((definition(part) or {}).get("description")))


def functions(parts: Sequence[Part], *, titles: bool = True) -> list[tuple[str, str]]:
    """Return the text of function definitions in pieces: (tool's name or "", text).

    Older models (``titles=False``) do not see the titles and unions of a schema.
    """
    pieces = [("", HEAD)]
    for part in shown(parts):
        found = definition(part)
        if found is not None:
            pieces.append((part.name, function(found, titles=titles)))
    return [*pieces, ("", FOOT)]


def function(found: Mapping[str, Any], *, titles: bool = True) -> str:
    """Return one definition: its description as comment lines, then its type."""
    name, parameters = text_of(found.get("name")), fields(found.get("parameters")) or {}
    head = comment(text_of(found.get("description")))
    if not fields(parameters.get("properties")):
        return f"{head}type {name} = () => any;\n\n"
    writer = Writer(parameters, titles=titles)
    return f"{head}type {name} = (_: {writer.above(parameters)}{writer.object(parameters, 0)}) => any;\n\n"


def comment(text: str) -> str:
    """Return a text as comment lines, without the indentation of its lines."""
    if not text:
        return ""
    lines = text.strip().split("\n")
    return "".join(f"// {line.strip()}".rstrip() + "\n" for line in lines)


def literal(value: Any) -> str:
    """Return a value as JSON."""
    try:
        return dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "null"


class Writer:
    """Writes one parameters schema; counts its nodes."""

    def __init__(self, root: Mapping[str, Any], *, titles: bool = True) -> None:
        self.root = root
        self.titles = titles
        self.left = NODES

    def above(self, schema: Mapping[str, Any]) -> str:
        """Return title and description as a comment with an empty line between."""
        name = text_of(schema.get("title")) if self.titles else ""
        both = (name, text_of(schema.get("description")))
        return comment("\n\n".join(text for text in both if text))

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the schema with its reference replaced by what it refers to."""
        name = schema.get("$ref")
        if not isinstance(name, str):
            return schema
        last = name.rsplit("/", 1)[-1]
        for table in ("$defs", "definitions"):
            found = fields(get(self.root.get(table), last))
            if found is not None:
                return {**found, **{key: v for key, v in schema.items() if key != "$ref"}}
        return {key: value for key, value in schema.items() if key != "$ref"}

    def type(self, value: Any, depth: int) -> str:
        """Return the type of a schema."""
        self.left -= 1
        schema = fields(value)
        if schema is None or depth > DEPTH or self.left < 0:
            return "any"
        schema = self.resolved(schema)
        every = items(schema.get("allOf"))
        if len(every) == 1:
            return self.type(every[0], depth + 1)
        either = items(schema.get("anyOf")) or items(schema.get("oneOf"))
        if either:
            return "|".join(self.type(one, depth + 1) for one in either) if self.titles else "any"
        return self.given(schema) or self.plain(schema, depth)

    def given(self, schema: Mapping[str, Any]) -> str:
        """Return the values that a schema lists; empty where it lists none."""
        if items(schema.get("enum")):
            return " | ".join(literal(one) for one in schema["enum"])
        return literal(schema["const"]) if "const" in schema else ""

    def plain(self, schema: Mapping[str, Any], depth: int) -> str:
        """Return the type of a schema that says it by ``type``."""
        kind = schema.get("type")
        if isinstance(kind, list | tuple):
            return " | ".join(self.type({**schema, "type": one}, depth + 1) for one in kind)
        if isinstance(kind, str) and kind in SIMPLE:
            return SIMPLE[kind]
        if kind == "array":
            return self.array(schema.get("items"), depth)
        if fields(schema.get("properties")):
            return self.object(schema, depth + 1)
        return "object" if kind == "object" or "properties" in schema else "any"

    def array(self, items: Any, depth: int) -> str:
        """Return an array's type; one of objects stands on lines of its own."""
        if not items:
            return "any[]"
        inner = self.type(items, depth + 1)
        if "\n" not in inner:
            return f"{inner}[]"
        head = self.above(self.resolved(fields(items) or {}))
        return f"Array<\n{head}{inner}\n>"

    def object(self, schema: Mapping[str, Any], depth: int) -> str:
        """Return an object: on one line where it has no comments, else a property a line."""
        properties = fields(schema.get("properties")) or {}
        required = items(schema.get("required"))
        lines = []
        for name, value in properties.items():
            if self.left < 0:
                break
            held = self.resolved(fields(value) or {})
            mark = "" if name in required else "?"
            note = f" // default: {literal(held['default'])}" if "default" in held else ""
            line = f"{name}{mark}: {self.type(value, depth)}"
            lines.append((self.above(held), line, note))
        if any(above or note or "\n" in line for above, line, note in lines):
            return "{\n" + "".join(f"{a}{line},{note}\n" for a, line, note in lines) + "}"
        return "{ " + ", ".join(line for _, line, _ in lines) + " }"


# ── response schemas ─────────────────────────────────────────────────────────────────────────────


def response_format(part: Part) -> str:
    """Return the text of a response schema: a heading, its description, compact JSON."""
    head = (
        f"# Response Formats\n\n## {part.name}\n\n{comment(text_of(get(part.data, 'description')))}"
    )
    return head + slim(get(part.data, "schema"))


def slim(schema: Any) -> str:
    """Return compact JSON of a schema with the keys that the provider keeps."""
    found = _slim(schema, 0, [NODES], named=False)
    return dumps({} if found is None else found, separators=(",", ":"))


def _slim(value: Any, depth: int, left: list[int], *, named: bool) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > DEPTH:
        return None
    if isinstance(value, list | tuple):
        return [_slim(one, depth + 1, left, named=False) for one in value[: left[0] + 1]]
    held = fields(value)
    if held is not None:
        return {
            str(key): _slim(one, depth + 1, left, named=key in NAMED and not named)
            for key, one in held.items()
            if named or key in KEPT
        }
    return value if isinstance(value, str | int | float) else None
