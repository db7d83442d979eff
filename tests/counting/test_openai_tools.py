"""The text that definitions and response schemas become."""

from __future__ import annotations

import time

import pytest

from tokentrace.counting.rules import openai_tools
from tokentrace.prompt import Part


def function(name="f", description="", **parameters):
    definition = {"name": name, "description": description, "parameters": parameters}
    return openai_tools.function(definition)


def typed(schema):
    """Return the type that a property of this schema gets."""
    text = function(properties={"a": schema}, required=["a"])
    return text.removeprefix("type f = (_: { a: ").removesuffix(" }) => any;\n\n")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": "null"}, "null"),
        ({}, "any"),
        ({"type": []}, ""),
        ({"type": {"odd": 1}}, "any"),
        ({"type": "object"}, "object"),
        ({"type": "array"}, "any[]"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string|null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"const": "x"}, '"x"'),
        ({"allOf": [{"type": "boolean"}]}, "boolean"),
        ({"type": "object", "properties": {"b": {"type": "string"}}}, "{ b?: string }"),
        (None, "any"),
        ("string", "any"),
    ],
)
def test_types(schema, text):
    """Each kind of schema has its type."""
    assert typed(schema) == text


def test_comments_stand_above_and_defaults_behind():
    """Title, an empty comment line, description, then the property with its default."""
    schema = {"type": "integer", "title": "Age", "description": "In\n  years.", "default": 3}
    assert function(properties={"age": schema}) == (
        "type f = (_: {\n// Age\n//\n// In\n// years.\nage?: number, // default: 3\n}) => any;\n\n"
    )


def test_an_array_of_objects_stands_on_lines_of_its_own():
    """An object with comments inside an array is written out between lines."""
    inner = {"title": "Edit", "properties": {"old": {"type": "string", "description": "What."}}}
    assert function(
        properties={"edits": {"type": "array", "items": inner}}, required=["edits"]
    ) == (
        "type f = (_: {\nedits: Array<\n// Edit\n{\n// What.\nold?: string,\n}\n>,\n}) => any;\n\n"
    )


def test_older_models_see_no_titles_and_no_unions():
    """Without titles a union is any."""
    schema = {"title": "A", "anyOf": [{"type": "string"}, {"type": "null"}]}
    definition = {"name": "f", "parameters": {"title": "F", "properties": {"a": schema}}}
    text = openai_tools.function(definition, titles=False)
    assert text == "type f = (_: { a?: any }) => any;\n\n"


def test_references_are_written_out():
    """A reference is replaced by its definition; its own keys win."""
    text = function(
        properties={"a": {"$ref": "#/$defs/Size", "description": "How big."}},
        required=["a"],
        **{"$defs": {"Size": {"enum": ["s", "l"], "description": "A size."}}},
    )
    assert text == 'type f = (_: {\n// How big.\na: "s" | "l",\n}) => any;\n\n'


def test_a_list_of_definitions_is_a_namespace():
    """Head, the functions in order, foot; tools of other types are left out."""
    parts = [
        Part("tool", name="a", data={"type": "function", "function": {"name": "a"}}),
        Part("tool", name="s", data={"type": "web_search"}),
        Part("tool", name="b", data={"type": "function", "name": "b", "description": "B."}),
    ]
    assert [name for name, _ in openai_tools.functions(parts)] == ["", "a", "b", ""]
    assert "".join(text for _, text in openai_tools.functions(parts)) == (
        "# Tools\n\n## functions\n\nnamespace functions {\n\ntype a = () => any;\n\n"
        "// B.\ntype b = () => any;\n\n} // namespace functions"
    )


def test_a_response_schema_keeps_what_the_model_needs():
    """Only known keys stay, letters outside ASCII are escaped, names of properties all stay."""
    schema = {
        "type": "object",
        "description": "Größe",
        "additionalProperties": False,
        "properties": {"format": {"type": "string", "format": "date", "default": "x"}},
        "required": ["format"],
    }
    part = Part("schema", name="bird", data={"name": "bird", "schema": schema})
    assert openai_tools.response_format(part) == (
        "# Response Formats\n\n## bird\n\n"
        '{"type":"object","description":"Gr\\u00f6\\u00dfe","properties":{"format":{"type":"string"}}}'
    )


def cyclic():
    schema: dict = {"type": "object", "description": "again"}
    schema["properties"] = {"a": schema, "b": schema}
    return schema


def deep():
    schema: dict = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("schema", [cyclic(), deep()], ids=["cyclic", "deep"])
def test_endless_schemas_end(schema):
    """A schema that holds itself, or is 5,000 deep, is written in bounded time and space."""
    began = time.process_time()
    text = openai_tools.function({"name": "f", "parameters": schema})
    slim = openai_tools.slim(schema)
    assert text.endswith("=> any;\n\n")
    assert len(text) + len(slim) < 2_000_000
    assert time.process_time() - began < 2
