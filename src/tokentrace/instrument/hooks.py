"""Where tokentrace stands in each SDK: a table of rows, nothing else.

A row may miss (an SDK that is not installed, a name that moved): `status()` tells. A module that
other generations of an SDK have elsewhere has rows for either. One more SDK of a known wire format
is its rows here, and one in the table of versions. This file imports nothing: ``noxfile.py`` reads it
for the versions to run, ``scripts/providers_table.py`` for ``docs/providers.md``.
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
        reader: how the callable's arguments are read: the name of a file of `instrument.places`,
            or `ITEMS`, or `OWN_SPAN`.
        since: the first of the versions that were run (see `SDKS`) which has it; empty for the oldest.
        until: the last of them which has it; empty for the newest.
    """

    sdk: str
    module: str
    attr: str
    reader: str
    since: str = ""
    until: str = ""


# Instead of a reader: the place gives the items of a stream that another place gave.
ITEMS = "items"
# Instead of a reader: the place starts the SDK's own span of a call, which has ours already.
OWN_SPAN = "own span"
# Instead of a reader: the place runs an agent, see `instrument.frameworks`.
RUN = "run"

HOOKS = (
    Hook("openai", "openai._base_client", "SyncAPIClient.request", "stainless"),
    Hook("openai", "openai._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("anthropic", "anthropic._base_client", "SyncAPIClient.request", "stainless"),
    Hook("anthropic", "anthropic._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("groq", "groq._base_client", "SyncAPIClient.request", "stainless"),
    Hook("groq", "groq._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("together", "together._base_client", "SyncAPIClient.request", "stainless"),
    Hook("together", "together._base_client", "AsyncAPIClient.request", "stainless"),
    Hook("ollama", "ollama._client", "Client._request", "ollama"),
    Hook("ollama", "ollama._client", "AsyncClient._request", "ollama"),
    Hook("boto3", "botocore.client", "BaseClient._make_api_call", "bedrock"),
    Hook("aiobotocore", "aiobotocore.client", "AioBaseClient._make_api_call", "bedrock"),
    Hook(
        "huggingface_hub",
        "huggingface_hub.inference._client",
        "InferenceClient._inner_post",
        "huggingface",
    ),
    Hook(
        "huggingface_hub",
        "huggingface_hub.inference._generated._async_client",
        "AsyncInferenceClient._inner_post",
        "huggingface",
    ),
    # what litellm's decorator holds of each function: also names that were imported before pass there
    Hook("litellm", "litellm.main", "completion.__wrapped__", "litellm"),
    Hook("litellm", "litellm.main", "acompletion.__wrapped__", "litellm"),
    Hook("litellm", "litellm.main", "embedding.__wrapped__", "litellm"),
    Hook("litellm", "litellm.main", "aembedding.__wrapped__", "litellm"),
    Hook(
        "litellm",
        "litellm.litellm_core_utils.streaming_handler",
        "CustomStreamWrapper.__next__",
        ITEMS,
    ),
    Hook(
        "litellm",
        "litellm.litellm_core_utils.streaming_handler",
        "CustomStreamWrapper.__anext__",
        ITEMS,
    ),
    Hook("dashscope", "dashscope.client.base_api", "BaseApi.call", "dashscope"),
    Hook("dashscope", "dashscope.client.base_api", "BaseAioApi.call", "dashscope"),
    Hook("google-genai", "google.genai._api_client", "BaseApiClient.request", "google"),
    Hook("google-genai", "google.genai._api_client", "BaseApiClient.async_request", "google"),
    Hook("google-genai", "google.genai._api_client", "BaseApiClient.request_streamed", "google"),
    Hook(
        "google-genai", "google.genai._api_client", "BaseApiClient.async_request_streamed", "google"
    ),
    Hook("google-genai", "google.genai._gaos.basesdk", "BaseSDK.do_request", "speakeasy", "2.34.0"),
    Hook(
        "google-genai",
        "google.genai._gaos.basesdk",
        "AsyncBaseSDK.do_request_async",
        "speakeasy",
        "2.34.0",
    ),
    Hook("mistralai", "mistralai.client.basesdk", "BaseSDK.do_request", "speakeasy", "2.10.1"),
    Hook(
        "mistralai", "mistralai.client.basesdk", "BaseSDK.do_request_async", "speakeasy", "2.10.1"
    ),
    Hook("mistralai", "mistralai.basesdk", "BaseSDK.do_request", "speakeasy", until="1.12.4"),
    Hook("mistralai", "mistralai.basesdk", "BaseSDK.do_request_async", "speakeasy", until="1.12.4"),
    Hook(
        "mistralai",
        "mistralai.client._hooks.tracing",
        "TracingHook.before_request",
        OWN_SPAN,
        "2.10.1",
    ),
    Hook(
        "mistralai",
        "mistralai._hooks.tracing",
        "TracingHook.before_request",
        OWN_SPAN,
        "1.12.4",
        "1.12.4",
    ),
    Hook("cohere", "cohere.core.http_client", "HttpClient.request", "fern"),
    Hook("cohere", "cohere.core.http_client", "HttpClient.stream", "fern"),
    Hook("cohere", "cohere.core.http_client", "AsyncHttpClient.request", "fern"),
    Hook("cohere", "cohere.core.http_client", "AsyncHttpClient.stream", "fern"),
)


@dataclass(frozen=True, slots=True)
class Sdk:
    """The versions of an SDK whose hooks were run.

    Attributes:
        name: the distribution's name.
        run: versions, oldest first. Nothing is promised below the first; the last was the newest at
            hand; between them stands what is put together otherwise.
        apis: what its calls are read as.
        why: why the oldest is no older.
    """

    name: str
    run: tuple[str, ...]
    apis: tuple[str, ...]
    why: str = ""


CHAT, COMPLETIONS, EMBEDDINGS = "openai.chat", "openai.completions", "openai.embeddings"
BEDROCK = ("bedrock.converse", "bedrock.invoke")

# Run by ``nox -s matrix`` on 2026-11-29.
SDKS = (
    Sdk(
        "openai",
        ("1.60.0", "2.54.0", "3.57.0"),
        (CHAT, "openai.responses", COMPLETIONS, EMBEDDINGS),
    ),
    Sdk("anthropic", ("0.66.0", "0.125.0", "2.14.0"), ("anthropic.messages",)),
    Sdk("groq", ("0.13.0", "1.7.0"), (CHAT, EMBEDDINGS)),
    Sdk("together", ("2.0.0", "3.1.1"), (CHAT, COMPLETIONS, EMBEDDINGS)),
    Sdk("ollama", ("0.4.8", "0.6.3"), ("ollama.chat", "ollama.generate")),
    Sdk("boto3", ("1.38.0", "1.44.8"), BEDROCK, "older ones drop the cached tokens"),
    Sdk("aiobotocore", ("2.26.0", "3.10.0"), BEDROCK),
    Sdk("huggingface_hub", ("0.30.0", "1.33.0", "2.4.0"), (CHAT,)),
    Sdk("litellm", ("1.110.0", "1.110.2"), (CHAT, EMBEDDINGS), "older ones lose a stream's usage"),
    Sdk("dashscope", ("1.22.2", "2.0.2"), (CHAT,), "older ones forget to await a refusal"),
    Sdk(
        "google-genai",
        ("1.11.0", "2.34.0", "3.6.1"),
        ("gemini.generateContent", "gemini.interactions"),
    ),
    Sdk(
        "mistralai",
        ("1.9.11", "1.12.4", "2.10.1", "3.7.0"),
        ("mistral.chat", COMPLETIONS),
        "older ones do not work with today's pydantic",
    ),
    Sdk("cohere", ("5.21.0", "7.3.1"), ("cohere.chat",)),
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

# The vocabulary that the models of every SDK here need, or that is nearest to theirs; loaded when one
# of them is in use.
VOCABULARY = "o200k_base"

# The standard operation name of each api (OpenTelemetry gen_ai.operation.name, 2026-10).
OPERATIONS = {
    "openai.completions": "text_completion",
    "openai.embeddings": "embeddings",
    "ollama.generate": "text_completion",
    "gemini.generateContent": "generate_content",
}

# Calls that generate nothing: they are not traced, and what they say is no usage.
SILENT = frozenset(
    {
        "openai.responses.input_tokens",
        "anthropic.count_tokens",
        "gemini.countTokens",
        "bedrock.count_tokens",
    }
)
