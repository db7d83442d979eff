"""What litellm's ``completion`` and ``embedding`` take, behind its decorator: OpenAI's form for every provider."""

from __future__ import annotations

from typing import Any

from tokentrace.instrument.hooks import Hook
from tokentrace.instrument.requests import Request, plain
from tokentrace.instrument.unread import follow_items

# api and leading arguments, by the name of the function
FUNCTIONS = {
    "completion": ("openai.chat", ("model", "messages")),
    "acompletion": ("openai.chat", ("model", "messages")),
    "embedding": ("openai.embeddings", ("model", "input")),
    "aembedding": ("openai.embeddings", ("model", "input")),
}
# what of the arguments goes into the request's body, or limits it
BODY = (
    "model", "messages", "input", "tools", "tool_choice", "functions", "function_call",
    "parallel_tool_calls", "response_format", "prediction", "audio", "modalities", "thinking",
    "reasoning_effort", "web_search_options", "max_tokens", "max_completion_tokens", "n", "stream",
    "stream_options", "temperature", "top_p", "seed", "stop", "frequency_penalty",
    "presence_penalty", "service_tier", "dimensions", "encoding_format", "verbosity",
)  # fmt: skip
# Providers by the prefix of a model, where litellm's name is not ours. "openai/" stands for every
# host that speaks its form: there the host tells.
PREFIXES = {
    "azure_ai": "azure-inference",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "ollama": "ollama.com",
    "ollama_chat": "ollama.com",
    "together_ai": "together",
    "vertex_ai": "vertex",
}
ANY_HOST = {"openai", "hosted_vllm", "custom_openai", "litellm_proxy", "lm_studio", "vllm"}


def read(hook: Hook, client: Any, args: list[Any], kwargs: dict[str, Any]) -> Request | None:
    """Read the arguments; a call that litellm's own asynchronous functions make comes here once."""
    del client
    api, names = FUNCTIONS[hook.attr.partition(".")[0]]
    arguments = Arguments(names, args, kwargs)
    body = arguments.body()
    if not isinstance(body.get("model"), str) or names[1] not in body:
        return None
    form = body.get("response_format")
    if isinstance(form, type):
        body["response_format"] = _schema(form)
    base_url = str(kwargs.get("api_base") or kwargs.get("base_url") or "")
    return Request(
        hook.sdk,
        api,
        plain(body, api),
        _provider(body["model"], kwargs.get("custom_llm_provider")),
        base_url,
        body.get("stream") is True,
        arguments.replace,
        answer=answer,
        follow=arguments.follow,
    )


def answer(value: Any) -> Any:
    """Return an answer or a chunk; a prompt of no tokens is one that the chunk does not tell of."""
    usage = getattr(value, "usage", None)
    if usage is None or getattr(usage, "prompt_tokens", None):
        return value
    told = {name: getattr(usage, name, None) for name in ("completion_tokens", "total_tokens")}
    kept = {name: getattr(value, name, None) for name in ("id", "model", "choices")}
    return {**kept, "usage": told}


class Arguments:
    """What a function is called with, as long as it has not answered: litellm's own hold its answer."""

    def __init__(self, names: tuple[str, ...], args: list[Any], kwargs: dict[str, Any]) -> None:
        self._names, self._args, self._kwargs = names[: len(args)], args, kwargs
        self._body: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        """Return what of them goes into the request's body."""
        given = {**dict(zip(self._names, self._args, strict=False)), **self._kwargs}
        self._body = {key: given[key] for key in BODY if given.get(key) is not None}
        return self._body

    def replace(self, new: dict[str, Any]) -> None:
        """Put another body into them; what has not changed stays the caller's own."""
        for key in BODY:
            value = new.get(key)
            if value is self._body.get(key):
                continue
            if key in self._names:
                self._args[self._names.index(key)] = value
            else:
                self._kwargs[key] = value

    def follow(self, result: Any, follower: Any) -> bool:
        """Let go of them, and follow a stream."""
        self._args, self._kwargs, self._body = [], {}, {}
        return follow_items(result, follower)


def _provider(model: str, named: Any) -> str:
    """Return the provider that the caller names, by itself or before the model."""
    prefix, slash, _ = model.partition("/")
    named = named or (prefix if slash else "")
    if named in ANY_HOST or not isinstance(named, str):
        return ""
    from tokentrace.providers import PROVIDERS

    name = PREFIXES.get(named, named)
    return name if name in PROVIDERS else ""


def _schema(form: Any) -> dict[str, Any]:
    """Return the response schema that litellm makes of a class."""
    schema = form.model_json_schema() if hasattr(form, "model_json_schema") else {}
    return {"type": "json_schema", "json_schema": {"name": form.__name__, "schema": schema}}
