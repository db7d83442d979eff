"""What is special about the calls of google-genai, mistralai and cohere, beyond the table of forms."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from instrument.forms import items, maybe
from instrument.loopback import Server, events, whole
from instrument.sdks.table import MANY, TEXT, shorter
from tokentrace.testing import Reply, Wire, capture

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class Aiohttp:DeprecationWarning")


def rows_of(needed, module):
    """Return the module of an SDK's rows; the test is skipped where the SDK is not installed."""
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    return import_module(f"instrument.sdks.{module}")


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def google():
    return rows_of("google.genai", "google")


@pytest.fixture
def mistral():
    return rows_of("mistralai", "mistral")


@pytest.fixture
def cohere():
    return rows_of("cohere", "cohere")


async def later(body, report):
    """Shorten a body, after a moment."""
    await asyncio.sleep(0)
    return shorter(body, report)


COMPRESS = {"limit": 900, "on_exceed": "raise"}


# ── google-genai ─────────────────────────────────────────────────────────────────────────────────


def test_the_model_is_counted_and_stays_in_the_path(server, google):
    """Gemini's model stands in the path: the count knows it, the body does not hold it."""
    server.answer = google.PLAIN
    guard = tokentrace.Guard(**COMPRESS, compress=shorter)
    with capture(guard=guard) as captured, google.gemini(server.url) as client:
        client.models.generate_content(model=google.MODEL, contents=TEXT * MANY)
    (sent,) = server.requests
    assert sent.path.endswith(f"/models/{google.MODEL}:generateContent")
    assert "model" not in sent.body
    assert captured.calls[0].model == google.MODEL
    assert captured.calls[0].decision == "compress"


def test_what_the_caller_adds_to_a_body_is_counted(server, google):
    """``extra_body`` of the call goes onto the wire, so it is counted, with what it is merged into."""
    from google.genai import types

    if "extra_body" not in types.HttpOptions.model_fields:
        pytest.skip("this generation has no extra_body")
    server.answer = google.PLAIN
    extra = {"systemInstruction": {"parts": [{"text": TEXT * 10}]}, "generationConfig": {"topK": 3}}
    config = types.GenerateContentConfig(
        temperature=0.5, http_options=types.HttpOptions(extra_body=extra)
    )
    with capture() as captured, google.gemini(server.url) as client:
        client.models.generate_content(model=google.MODEL, contents=TEXT, config=config)
    (call,) = captured.calls
    assert server.requests[0].body["systemInstruction"] == extra["systemInstruction"]
    assert call.components["system"] > 40
    assert (call.settings["top_k"], call.settings["temperature"]) == (3, 0.5)


def test_each_turn_of_a_function_loop_is_a_call(server, google):
    """The SDK calls the caller's function itself: two requests are two calls."""

    def weather(city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"

    weather.__annotations__ = {"city": str, "return": str}  # older generations read no text

    asked = {"functionCall": {"name": "weather", "args": {"city": "Berlin"}}}
    call = {"candidates": [{"content": {"role": "model", "parts": [asked]}}]}
    wire = Wire(Reply(call), Reply(google.said("Rain.", usageMetadata=google.USAGE)))
    from google.genai import types

    options = types.HttpOptions(
        base_url="http://wire.test", client_args={"transport": wire.transport("google-genai")}
    )
    client = google.genai.Client(api_key="test", http_options=options)
    config = types.GenerateContentConfig(tools=[weather])
    with capture() as captured:
        client.models.generate_content(model=google.MODEL, contents=TEXT, config=config)
    first, second = captured.calls
    assert first.components["tools"] == second.components["tools"] > 0
    assert second.components["tool_results"] > 0
    assert second.usage.input == 31


def test_counting_and_embedding_are_no_calls(server, google):
    """Asking for a count is silent, and embeddings are left alone."""
    with capture() as captured, google.gemini(server.url) as client:
        server.answer = whole({"totalTokens": 7})
        assert client.models.count_tokens(model=google.MODEL, contents=TEXT).total_tokens == 7
        server.answer = whole({"embeddings": [{"values": [0.5]}]})
        client.models.embed_content(model="gemini-embedding-001", contents=TEXT)
    assert captured.calls == []
    assert len(server.requests) == 2


def test_an_error_in_a_stream_is_one_where_it_is_one_to_the_caller(server, google):
    """Newer generations raise what comes in the midst of a stream; older ones pass it on."""
    error = {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}
    server.answer = events(google.said("Be"), error, done=False)
    raised = False
    with capture() as captured, google.gemini(server.url) as client:
        try:
            list(client.models.generate_content_stream(model=google.MODEL, contents=TEXT))
        except google.genai.errors.APIError:
            raised = True
    assert bool(captured.calls[0].error_type) is raised


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_interactions_are_calls(server, google, stream, asynchronous):
    """Google's Interactions API has a client of its own in the SDK."""
    if find_spec("google.genai._gaos") is None:
        pytest.skip("this generation has no such client")
    done = {"id": "i1", "object": "interaction", "status": "completed", "model": google.MODEL,
            "usage": {"total_input_tokens": 31, "total_output_tokens": 2, "total_tokens": 33}}  # fmt: skip
    pieces = [{"event_type": "interaction.complete", "interaction": done}]
    server.answer = events(*pieces, done=False) if stream else whole(done)

    async def run(client):
        resource = (client.aio if asynchronous else client).interactions
        answer = await maybe(resource.create(model=google.MODEL, input=TEXT, stream=stream))
        return await items(answer) if stream else answer

    with capture() as captured, google.gemini(server.url) as client:
        asyncio.run(run(client))
    (call,) = captured.calls
    assert (call.api, call.provider, call.model) == (
        "gemini.interactions",
        "gcp.gemini",
        google.MODEL,
    )
    assert call.usage.input == 31


def test_a_refusal_tells_the_limit(server, google):
    """Google's error says what the model takes."""
    text = "The input token count (2000) exceeds the maximum number of tokens allowed (1000)."
    error = {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}
    server.answer = whole({"error": error}, status=400)
    with capture(), google.gemini(server.url) as client:
        with pytest.raises(google.genai.errors.ClientError):
            client.models.generate_content(model=google.MODEL, contents=TEXT * MANY)
        assert "1000" in str(tokentrace.status()["learned"])


# ── mistralai ────────────────────────────────────────────────────────────────────────────────────


def test_mistral_opens_no_span_of_its_own(server, mistral, monkeypatch):
    """With a provider of the application's there is one span a call: ours."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    server.answer = mistral.PLAIN
    tokentrace.instrument()
    with mistral.opened(server.url) as client:
        client.chat.complete(**mistral.CHAT.request)
    tokentrace.uninstrument()
    (span,) = exporter.get_finished_spans()
    assert span.name == f"chat {mistral.MODEL}"


@pytest.mark.parametrize("form", ["refused", "stream refused", "async stream refused"])
def test_a_refusal_of_mistral_tells_the_limit(server, mistral, form):
    """The SDK raises above our place: the response itself is read, also where it was to be a stream."""
    text = "Prompt contains 2000 tokens, too large for model with 1000 maximum context length"
    server.answer = whole({"object": "error", "message": text}, status=400)
    row = mistral.CHAT.longer()

    async def run():
        return await maybe(row.forms[form].do(server.url, row.request))

    with capture() as captured:
        with pytest.raises(Exception, match="too large"):
            asyncio.run(run())
        assert "1000" in str(tokentrace.status()["learned"])
    assert captured.calls[0].error_type == "400"


def test_embeddings_of_mistral_are_left_alone(server, mistral):
    """Other paths pass as they are."""
    server.answer = whole({"id": "e", "object": "list", "model": "mistral-embed", "data": [],
                           "usage": mistral.USAGE})  # fmt: skip
    with capture() as captured, mistral.opened(server.url) as client:
        client.embeddings.create(model="mistral-embed", inputs=[TEXT])
    assert captured.calls == []


# ── cohere ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [False, True])
def test_an_async_callback_is_awaited_before_anything_is_sent(server, cohere, stream):
    """Also where the SDK opens a stream as a context manager."""
    server.answer = cohere.STREAM if stream else cohere.PLAIN
    request = cohere.SECOND.longer().request

    async def run():
        async with cohere.opened_async(server.url) as client:
            if not stream:
                return await client.chat(**request)
            return [item async for item in client.chat_stream(**request)]

    with capture(guard=tokentrace.Guard(**COMPRESS, compress=later)) as captured:
        asyncio.run(run())
    assert server.requests[0].body["messages"] == cohere.SECOND.request["messages"]
    assert (captured.calls[0].decision, captured.calls[0].usage.input) == ("compress", 31)


def test_an_async_callback_may_refuse_a_stream(server, cohere):
    """What is still too long after it is refused, and nothing is sent."""

    async def useless(body, report):
        return body

    async def run():
        async with cohere.opened_async(server.url) as client:
            return [item async for item in client.chat_stream(**cohere.SECOND.longer().request)]

    with capture(guard=tokentrace.Guard(**COMPRESS, compress=useless)):
        with pytest.raises(tokentrace.TokenLimitExceeded):
            asyncio.run(run())
    assert server.requests == []


def test_what_the_caller_adds_is_counted_and_compressed(server, cohere):
    """``additional_body_parameters`` go onto the wire; a shorter body is sent without them."""
    server.answer = cohere.PLAIN
    added = {"additional_body_parameters": {"tools": [tool(TEXT * MANY)]}}
    guard = tokentrace.Guard(**{**COMPRESS, "limit": 2_000}, compress=shorter)
    with capture(guard=guard) as captured, cohere.opened(server.url) as client:
        client.chat(**cohere.SECOND.request, request_options=added)
    assert captured.calls[0].compressed_tokens > 3 * MANY
    assert server.requests[0].body["tools"] == [tool(TEXT)]


def tool(text):
    function = {"name": "f", "description": text, "parameters": {"type": "object"}}
    return {"type": "function", "function": function}


def test_messages_that_can_be_read_once_are_counted_and_sent(server, cohere):
    """A generator of messages is read ahead, in the SDK's own body."""
    server.answer = cohere.PLAIN
    with capture() as captured, cohere.opened(server.url) as client:
        messages = (message for message in cohere.SECOND.request["messages"])
        client.chat(model=cohere.MODEL, messages=messages)
    assert server.requests[0].body["messages"] == cohere.SECOND.request["messages"]
    assert captured.calls[0].components["user"] >= 5


def test_retries_of_cohere_are_one_call(server, cohere):
    """The SDK calls its own method again for another attempt."""
    answers = iter(
        [whole({"message": "busy"}, status=503, headers={"retry-after": "0.01"}), cohere.PLAIN]
    )

    with Server() as running, capture() as captured, cohere.opened(running.url) as client:
        running.answer = lambda _: next(answers)
        client.chat(**cohere.SECOND.request)
        assert len(running.requests) == 2
    (call,) = captured.calls
    assert (call.usage.input, call.error_type) == (31, "")


def test_cohere_on_bedrock_is_of_bedrock(cohere):
    """A client that rewrites its requests for another provider is that provider's."""
    pytest.importorskip("boto3")
    client = cohere.cohere.BedrockClientV2(
        aws_region="us-east-1", aws_access_key="a", aws_secret_key="b"
    )
    wire = Wire(Reply({"message": "no"}, status=400))
    client._client_wrapper.httpx_client.httpx_client._transport = wire.transport("cohere")
    with capture() as captured, pytest.raises(cohere.cohere.core.ApiError):
        client.chat(**cohere.SECOND.request)
    (call,) = captured.calls
    assert (call.provider, call.server_address, call.error_type) == ("aws.bedrock", "", "400")


def test_embeddings_of_cohere_are_left_alone(server, cohere):
    """Other paths pass as they are."""
    server.answer = whole({"id": "e", "embeddings": {"float": [[0.5]]}, "texts": [TEXT]})
    with capture() as captured, cohere.opened(server.url) as client:
        client.embed(model="embed-v4.0", input_type="search_query", texts=[TEXT])
    assert captured.calls == []
    assert len(server.requests) == 1


# ── all of them ──────────────────────────────────────────────────────────────────────────────────


ALL = {"google": "google.genai", "mistral": "mistralai", "cohere": "cohere"}


@pytest.mark.parametrize("module", ALL)
def test_session_and_turn_stand_on_their_spans(server, module):
    """Calls in a session carry its name, agent and turn, and lie under the turn's span."""
    rows = rows_of(ALL[module], module)
    row = rows.ROWS[0]
    server.answer = row.forms["plain"].answer
    with capture() as captured, tokentrace.session("conv-1", agent="devops"):
        for form in ("plain", "stream"):
            server.answer = row.forms[form].answer
            with tokentrace.turn():
                row.forms[form].do(server.url, row.request)
    first, second = captured.calls
    assert (first.session, first.agent, first.turn) == ("conv-1", "devops", 1)
    assert (second.turn, second.lineage) == (2, first.lineage)
    turns = [span for span in captured.spans if span.name == "invoke_agent devops"]
    assert [f"{turn.context.span_id:016x}" for turn in turns] == [
        call.parent_id for call in captured.calls
    ]


def test_looking_for_an_sdk_imports_none():
    """A hook of an SDK that is not imported costs a look at where it lies."""
    code = (
        "import sys, tokentrace; tokentrace.instrument(exporter='none'); tokentrace.status()\n"
        "code = [n for n in sys.modules if n.split('.')[0] in ('google', 'mistralai', 'cohere')"
        " and getattr(sys.modules[n], '__file__', None)]\n"
        "print([n for n in code if not n.startswith(('google.protobuf', 'google.rpc', 'google._upb'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_status_tells_which_generation_is_there():
    """Of two places that an SDK has had, one is hooked once it is imported, the other is not installed."""
    if find_spec("mistralai") is None:
        pytest.skip("mistralai is not installed")
    rows_of("mistralai", "mistral")
    with capture():
        hooks = tokentrace.status()["hooks"]
    states = {
        hooks[f"{module}:BaseSDK.do_request"]
        for module in ("mistralai.basesdk", "mistralai.client.basesdk")
    }
    assert states == {"hooked", "not installed"}
