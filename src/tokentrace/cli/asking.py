"""`tokentrace models NAME --ask`: what a provider's own model endpoint says. The only one that asks.

A key is read from the variable that the provider's SDK reads, goes into one header, over https or to
this machine, and is never printed. Redirects are not followed: they would take it along.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tokentrace import _config, providers
from tokentrace.errors import InputError
from tokentrace.report.models import Answer

TIMEOUT = 10.0
LONGEST = 2**24
OPTION = "--ask"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider tells about its models.

    Attributes:
        base: as in its SDK.
        path: below it; ``{model}`` is the model's name, a path without it is a list of all.
        keys: variables that its SDK reads the key from; the first that is set is sent.
        header: of the key, with what stands before it.
        needed: whether it answers nobody without a key.
    """

    base: str
    path: str
    keys: tuple[str, ...]
    header: tuple[str, str] = ("Authorization", "Bearer ")
    needed: bool = True


# Paths, headers and variables as in the SDKs of 2026-11.
ENDPOINTS = {
    "anthropic": Endpoint(
        "https://api.anthropic.com", "/v1/models/{model}", ("ANTHROPIC_API_KEY",), ("x-api-key", "")
    ),
    "gemini": Endpoint(
        "https://generativelanguage.googleapis.com",
        "/v1beta/models/{model}",
        ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        ("x-goog-api-key", ""),
    ),
    "mistral": Endpoint("https://api.mistral.ai", "/v1/models/{model}", ("MISTRAL_API_KEY",)),
    "cohere": Endpoint("https://api.cohere.com", "/v1/models/{model}", ("CO_API_KEY",)),
    "groq": Endpoint("https://api.groq.com", "/openai/v1/models/{model}", ("GROQ_API_KEY",)),
    "openrouter": Endpoint(
        "https://openrouter.ai", "/api/v1/models", ("OPENROUTER_API_KEY",), needed=False
    ),
}
# vLLM and whatever else speaks OpenAI's api at a URL that is given.
GIVEN = Endpoint("", "/models", ("OPENAI_API_KEY",), needed=False)
SILENT = ("openai", "azure", "bedrock", "vertex")  # their model endpoints tell no limit
VERSION = {"anthropic": {"anthropic-version": "2023-06-01"}}

INPUTS = (
    "max_input_tokens", "inputTokenLimit", "max_context_length", "context_length", "context_window",
    "max_model_len",
)  # fmt: skip
OUTPUTS = ("outputTokenLimit", "max_completion_tokens", "max_tokens")
NAMES = ("id", "name", "root", "canonical_slug")


def ask(name: str, provider: str = "", base_url: str = "") -> Answer:
    """Ask who serves a model for its limits.

    Raises:
        InputError: nobody is known to ask, or the answer holds no limit.
    """
    server = providers.find(name, provider, base_url)[0].name
    model = name.removeprefix("models/").removeprefix(f"{server}/")
    endpoint = _endpoint(server, base_url)
    url, path = base_url or endpoint.base, endpoint.path.replace("{model}", quote(model, safe=""))
    place = _place(url)
    told = _of(model, _fetched(_joined(url, path), _headers(endpoint, server, url), place))
    tokens = _number(told, INPUTS)
    if tokens is None:
        raise InputError(f"{place} tells no limit of {model!r}", source=OPTION)
    return Answer(model, server, place, tokens, _number(told, OUTPUTS))


def _endpoint(server: str, base_url: str) -> Endpoint:
    """Return whom to ask; raise InputError where that is nobody."""
    if server in SILENT:
        mend = "see the table without --ask, or the provider's model pages"
        raise InputError(f"the model endpoint of {server} tells no limit", source=OPTION, mend=mend)
    if server in ENDPOINTS:
        return ENDPOINTS[server]
    if not base_url:
        known = ", ".join(ENDPOINTS)
        mend = f"give --base-url, or --provider: {known}"
        whose = f" of {server}" if server else ""
        raise InputError(f"no model endpoint{whose} is known", source=OPTION, mend=mend)
    return GIVEN


def _place(url: str) -> str:
    """Return host and port of a URL; raise InputError where there are none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets that are none, a port that is no number
        usable = False
    if not usable:
        raise InputError("give a URL with http:// or https://", source="--base-url")
    return parts.netloc.rpartition("@")[2]


def _joined(base: str, path: str) -> str:
    """Return a base URL and a path, of which the base may hold the beginning already."""
    base = base.rstrip("/")
    shared = (end for end in range(len(path), 0, -1) if path[end:][:1] in {"", "/"})
    return base + path[next((end for end in shared if base.endswith(path[:end])), 0) :]


def _headers(endpoint: Endpoint, server: str, url: str) -> dict[str, str]:
    """Return the headers of a request, with the key where it may go."""
    held = {"Accept": "application/json", **VERSION.get(server, {})}
    key = next(filter(None, map(_config.text, endpoint.keys)), "")
    if not key and endpoint.needed:
        raise InputError("there is no key", source=OPTION, mend=f"set {endpoint.keys[-1]}")
    parts = urlsplit(url)
    private = parts.scheme == "https" or parts.hostname in LOOPBACK
    if key and not private and endpoint.needed:
        raise InputError(
            "the key is sent over https only", source=OPTION, mend="--base-url https://…"
        )
    if key and private:
        name, before = endpoint.header
        held[name] = before + key
    return held


class Unredirected(HTTPRedirectHandler):
    """Follows no redirect: the answer is then an error."""

    def redirect_request(self, *_: Any) -> None:
        """Return nothing to ask instead."""


def _fetched(url: str, headers: Mapping[str, str], place: str) -> Any:
    """Return the JSON at a URL; raise InputError in one line that holds no key."""
    try:
        request = Request(url, headers=dict(headers))  # noqa: S310 - the scheme is checked by _place
        with build_opener(Unredirected).open(request, timeout=TIMEOUT) as response:
            return json.loads(_read(response))
    except HTTPError as error:
        with error:
            why = f"{error.code} {error.reason}"
    except URLError as error:
        why = type(error.reason).__name__ if isinstance(error.reason, OSError) else "no connection"
    except (OSError, HTTPException) as error:
        why = type(error).__name__
    except (ValueError, RecursionError):  # a text of these may hold a header
        why = "no JSON came back, or the request cannot be sent"
    raise InputError(f"{place}: {why}", source=OPTION)


def _read(response: Any) -> bytes:
    """Return a body that is neither endless nor endlessly slow."""
    until, held = time.monotonic() + TIMEOUT, bytearray()
    while block := response.read1(2**16):
        held += block
        if len(held) > LONGEST or time.monotonic() > until:
            raise TimeoutError
    return bytes(held)


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def _of(model: str, told: Any) -> Mapping[str, Any]:
    """Return what an answer says of a model: the whole of it, or its entry in a list of all."""
    inner = told.get("data", told) if isinstance(told, Mapping) else told
    if isinstance(inner, list):
        named = (one for one in inner if isinstance(one, Mapping) and model in _named(one))
        inner = next(named, None)
    return inner if isinstance(inner, Mapping) else {}


def _named(entry: Mapping[str, Any]) -> set[Any]:
    return {entry[key] for key in NAMES if isinstance(entry.get(key), str)}


def _number(told: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """Return the first number of tokens under one of the names."""
    return next(_numbers(told, names), None)


def _numbers(told: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[int]:
    inner = told.get("top_provider")
    for place in (told, inner if isinstance(inner, Mapping) else {}):
        for name in names:
            value = place.get(name)  # Cohere writes it with a point
            if (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and 1 <= value < 2**53
            ):
                yield int(value)
