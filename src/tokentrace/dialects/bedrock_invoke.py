"""Bedrock's InvokeModel and CountTokens: a body in the form of the model's own maker.

The body may come as boto3 takes it, ``{"modelId": …, "body": b"{…}"}``, or as on the wire, alone.
Its form is told by its keys, for the model may be a profile or an ARN that tells nothing.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from tokentrace.dialects import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    mistral_chat,
)
from tokentrace.dialects._reading import Walk, each, fields, get, items, number, picked, text_of
from tokentrace.prompt import Message, Part, Prompt, Usage

API, COUNT = "bedrock.invoke", "bedrock.count_tokens"
METRICS = anthropic_messages.BEDROCK_METRICS
LONGEST = 2**26  # characters of a body that is given as text
SETTINGS = {"temperature": "temperature", "top_p": "top_p", "topP": "top_p", "top_k": "top_k"}
CAPS = ("max_gen_len", "maxTokenCount", "max_tokens", "maxTokens", "max_tokens_to_sample")


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def parse(body: Mapping[str, Any], messages: Walk = each) -> Prompt:
    """Read a request body, or a request to count one; never an error."""
    body = fields(body) or {}
    model = text_of(body.get("modelId")) or text_of(body.get("model"))
    counted = body.get("input")
    inner = fields(get(counted, "converse"))
    if inner is not None:
        read = bedrock_converse.parse(inner, messages)
        return replace(read, api=COUNT, model=model or read.model)
    wrapped = fields(get(counted, "invokeModel"))
    held = _decoded(body if wrapped is None else wrapped)
    form = _form(held, model)
    prompt: Prompt = form.parse(held, messages) if form else _text(held, messages)
    name = API if wrapped is None else COUNT
    return replace(prompt, api=name, model=model or prompt.model)


def _decoded(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON object inside of a ``body`` of bytes, text or base64; else what was given."""
    given = body.get("body")
    if isinstance(given, bytes | bytearray):
        given = given[:LONGEST].decode("utf-8", "replace")
    if not isinstance(given, str):
        return fields(given) or body
    found = _json(given)
    if found is None and not given.lstrip().startswith("{"):
        try:
            found = _json(b64decode(given[:LONGEST]).decode("utf-8", "replace"))
        except ValueError:
            found = None
    return body if found is None else found


def _json(text: str) -> Mapping[str, Any] | None:
    from json import loads

    try:
        return fields(loads(text[:LONGEST]))
    except (ValueError, RecursionError):
        return None


def _form(body: Mapping[str, Any], model: str) -> ModuleType | None:
    """Return the dialect of a body: Anthropic's, Nova's, Cohere's, or OpenAI's form; None for text."""
    if "anthropic_version" in body or "claude" in model or "max_tokens_to_sample" in body:
        return anthropic_messages
    if "messages" not in body:
        return cohere_chat if "message" in body else None
    if {"schemaVersion", "inferenceConfig", "toolConfig"} & body.keys():
        return bedrock_converse
    blocks = [get(one, "content") for one in items(body["messages"])[:8]]
    first = next((one[0] for one in map(items, blocks) if one), None)
    typed = first is None or isinstance(get(first, "type"), str)
    return mistral_chat if typed else bedrock_converse


def _text(body: Mapping[str, Any], messages: Walk) -> Prompt:
    """Read a body whose prompt is text: its template is already in it."""
    texts = (body.get(name) for name in ("prompt", "inputText", "texts", "inputs"))
    found = next((one for one in texts if one is not None), None)
    config = fields(body.get("textGenerationConfig")) or {}
    caps = (number(get(place, name)) for place in (body, config) for name in CAPS)
    images = [{"image": one} for one in items(body.get("images"))]
    images += [{"image": body["inputImage"]}] if body.get("inputImage") else []
    return Prompt(
        api=API,
        messages=messages([*(items(found) or [found]), *images], _piece),
        max_output=next((cap for cap in caps if cap is not None), None),
        settings=picked({**body, **config}, SETTINGS),
        features=frozenset({"raw"}),
    )


def _piece(raw: Any) -> Message:
    image = get(raw, "image")
    if image is not None:
        block = {"source": {"bytes": image}, "format": "png"}
        return Message("user", bedrock_converse.parts_of([{"image": block}]))
    return Message("user", (Part("text", text_of(raw)),))


# ── the response ─────────────────────────────────────────────────────────────────────────────────

INPUTS = ("inputTextTokenCount", "prompt_token_count", "inputTokens")
OUTPUTS = ("generation_token_count", "outputTextTokenCount")
HEADERS = ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count")


def usage(response: Any) -> Usage:
    """Read a whole answer: its body, a count's answer, or the headers where the body is a stream."""
    body = get(response, "body")
    held = _decoded(response) if isinstance(body, str | bytes | bytearray) else response
    reported = get(held, "usage", held)
    if get(reported, METRICS) is not None or _is_anthropic(reported):
        return anthropic_messages.usage(held)
    found = mistral_chat.usage(held)
    found = bedrock_converse.numbers(reported, found)
    found = _plain(_plain(found, held), reported)
    return _headed(found, response) if found.input is None else found


def _is_anthropic(reported: Any) -> bool:
    return number(get(reported, "input_tokens")) is not None


def _plain(usage: Usage, place: Any) -> Usage:
    """Add numbers that stand in the answer itself, as Llama and Titan give them."""
    took = next((n for name in INPUTS if (n := number(get(place, name))) is not None), None)
    gave = next((n for name in OUTPUTS if (n := number(get(place, name))) is not None), None)
    results = items(get(place, "results"))
    if gave is None and results:
        gave = sum(number(get(one, "tokenCount")) or 0 for one in results)
    places = (place, *results)
    ends = [
        get(one, name)
        for one in places
        for name in ("stop_reason", "stopReason", "completionReason")
    ]
    reasons = tuple(one for one in ends if isinstance(one, str) and one)
    return replace(
        usage,
        input=took if usage.input is None else usage.input,
        output=gave if usage.output is None else usage.output,
        finish_reasons=usage.finish_reasons or reasons,
    )


def _headed(usage: Usage, response: Any) -> Usage:
    """Add what boto3's headers say; the body of an answer is a stream that only its owner reads."""
    headers = get(get(response, "ResponseMetadata"), "HTTPHeaders")
    took, gave = (_digits(get(headers, name)) for name in HEADERS)
    return replace(usage, input=took, output=gave if usage.output is None else usage.output)


def _digits(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isdigit() and len(text) < 12 else None


def fold(running: Usage, chunk: Any) -> Usage:
    """Return the running usage after one chunk: the event as it came, or ``{"chunk": …}`` of boto3."""
    given = get(get(chunk, "chunk"), "bytes")
    event: Any = _decoded({"body": given}) if isinstance(given, bytes | bytearray | str) else chunk
    metrics = get(event, METRICS)
    after = bedrock_converse.fold(anthropic_messages.fold(running, event), event)
    if metrics is not None or after is not running:
        return after
    if get(event, "usage") is not None and get(event, "choices") is not None:
        return mistral_chat.fold(running, event)
    found = _plain(Usage(), event)
    return running if found == Usage() else _plain(_later(running, found), event)


def _later(running: Usage, found: Usage) -> Usage:
    """Return ``running`` with the newest numbers: Llama repeats them, growing, in each chunk."""
    return replace(
        running,
        input=running.input if found.input is None else found.input,
        output=running.output if found.output is None else found.output,
        finish_reasons=found.finish_reasons or running.finish_reasons,
    )


def final(stream: Any) -> Usage | None:
    """Return None: boto3's streams keep no snapshot."""
    del stream
    return None
