"""``request(http_method, path, request_dict, http_options)`` of google-genai's client, streamed or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tokentrace.dialects._reading import get
from tokentrace.instrument.asking import COUNT_CALLS, SECONDS
from tokentrace.instrument.hooks import SILENT, Hook
from tokentrace.instrument.requests import Request

NAMES = ("http_method", "path", "request_dict", "http_options")
# What follows the model in a path, its query cut off: ``models/M:generateContent``.
PATH = re.compile(r"(?:.*/)?([^/:]+):(\w+)(?:\?.*)?", re.DOTALL)
ON_VERTEX = ("contents", "systemInstruction", "tools", "generationConfig")
METHODS = {
    "generateContent": "gemini.generateContent",
    "streamGenerateContent": "gemini.generateContent",
    "countTokens": "gemini.countTokens",
}


def read(hook: Hook, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments; the model, which stands in the path, is counted with the body."""
    given = {**dict(zip(NAMES, args, strict=False)), **kwargs}
    found, sent = PATH.fullmatch(str(given.get("path"))), given.get("request_dict")
    model, method = found.groups() if found else ("", "")
    api = METHODS.get(method)
    if api is None or api in SILENT or not isinstance(sent, dict):
        return None
    options = given.get("http_options")
    body = {key: value for key, value in sent.items() if not key.startswith("_")}
    counted = {**_merged(body, _option(client, options, "extra_body")), "model": model}

    def replace(new: dict[str, Any]) -> None:
        left = {key: value for key, value in new.items() if key != "model"}
        sent.clear()
        sent.update(left)

    provider = "vertex" if getattr(client, "vertexai", False) else "gemini"
    base_url = str(_option(client, options, "base_url") or "")
    stream = method == "streamGenerateContent"
    path = str(given["path"]).partition("?")[0].rpartition(":")[0]

    def ask(asked: Mapping[str, Any]) -> Any:
        request = getattr(client, hook.attr.rpartition(".")[2].removesuffix("_streamed"))
        body = _asked(path, asked, provider)
        return request("post", f"{path}:{COUNT_CALLS[api].at}", body, _in_time(client, options))

    counts = provider != "vertex" or not get(counted, "cachedContent")  # it would leave that out
    return Request(
        hook.sdk, api, counted, provider, base_url, stream, replace, ask=ask if counts else None
    )


def _asked(path: str, body: Mapping[str, Any], provider: str) -> dict[str, Any]:
    """Return what a count call takes: on Vertex the prompt, else the whole request inside."""
    if provider == "vertex":
        return {key: body[key] for key in ON_VERTEX if key in body}
    return {"generateContentRequest": {**body, "model": path}}


def _in_time(client: Any, options: Any) -> Any:
    """Return a call's options for its count call, whose body holds already what they add."""
    changes: dict[str, Any] = {"timeout": int(SECONDS * 1_000)}
    if hasattr(getattr(client, "_http_options", None), "extra_body"):
        changes["extra_body"] = {}
    if hasattr(options, "model_copy"):
        return options.model_copy(update=changes)
    return {**(options or {}), **changes}


def _option(client: Any, options: Any, name: str) -> Any:
    """Return an option of the call, or the client's where the call has none."""
    found = get(options, name)
    return get(getattr(client, "_http_options", None), name) if found is None else found


def _merged(body: dict[str, Any], extra: Any) -> dict[str, Any]:
    """Return the body with what the caller adds to it, as the SDK will merge it; neither is changed."""
    if not isinstance(extra, Mapping):
        return body
    merged = dict(body)
    for key, value in extra.items():
        held = merged.get(key)
        both = isinstance(held, dict) and isinstance(value, Mapping)
        merged[key] = _merged(held or {}, value) if both else value
    return merged
