"""Where tokentrace stands in each SDK: a table of rows, nothing else.

A row may miss (an SDK that is not installed, a name that moved): `status()` tells. One more SDK of
a known wire format is its rows here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hook:
    """One place to stand.

    Attributes:
        sdk: the distribution's name.
        module: the module that must have been imported.
        attr: dotted path in it of the callable to wrap.
        reader: how the callable's arguments are read: the name of a file of `instrument.places`.
    """

    sdk: str
    module: str
    attr: str
    reader: str


HOOKS = (
    Hook("openai", "openai._base_client", "SyncAPIClient.request", "stainless"),
    Hook("openai", "openai._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("anthropic", "anthropic._base_client", "SyncAPIClient.request", "stainless"),
    Hook("anthropic", "anthropic._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("groq", "groq._base_client", "SyncAPIClient.request", "stainless"),
    Hook("groq", "groq._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("together", "together._base_client", "SyncAPIClient.request", "stainless"),
    Hook("together", "together._base_client", "AsyncAPIClient.request", "stainless"),
)

# Where spans are seen that somebody starts without making them current, or only after the call; it
# stands as soon as one of the instrumentations is imported that do so (see `telemetry.peers`).
WATCHED = Hook("opentelemetry", "opentelemetry.sdk.trace", "Tracer.start_span", "spans")
WATCHED_FOR = tuple(
    f"opentelemetry.instrumentation.{sdk}"
    for sdk in ("openai", "anthropic", "groq", "together", "mistralai", "cohere", "ollama")
)

# The path a client posts to, without its query, by the api it speaks. An unknown path is not ours.
ROUTES = {
    "/chat/completions": "openai.chat",
    "/responses": "openai.responses",
    "/responses/input_tokens": "openai.responses.input_tokens",
    "/completions": "openai.completions",
    "/embeddings": "openai.embeddings",
    "/openai/v1/chat/completions": "openai.chat",
    "/openai/v1/embeddings": "openai.embeddings",
    "/v1/chat/completions": "openai.chat",
    "/v1/completions": "openai.completions",
    "/v1/embeddings": "openai.embeddings",
    "/v1/messages": "anthropic.messages",
    "/v1/messages/count_tokens": "anthropic.count_tokens",
}

# Client classes that speak their maker's dialect to another provider, by a word in their name.
FLAVOURS = {
    "Azure": "azure",
    "Bedrock": "bedrock",
    "Vertex": "vertex",
    "Foundry": "azure",
}

# Vocabularies that an SDK's models need; loaded when the SDK is in use.
VOCABULARIES = {
    "openai": ("o200k_base",),
    "anthropic": ("o200k_base",),
    "groq": ("o200k_base",),
    "together": ("o200k_base",),
}

# The standard operation name of each api (OpenTelemetry gen_ai.operation.name, 2026-10).
OPERATIONS = {
    "openai.completions": "text_completion",
    "openai.embeddings": "embeddings",
}

# Calls that generate nothing: they are not traced, and what they say is no usage.
SILENT = frozenset({"openai.responses.input_tokens", "anthropic.count_tokens"})
