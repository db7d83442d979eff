"""Every hook row in every form of a call: one span, right numbers, right parent, host unharmed."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tokentrace
from instrument import forms
from instrument.forms import MAIN, SDKS, Shop, items, maybe
from tokentrace import schema
from tokentrace.testing import Reply, Wire, capture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# name of the form, what the wire answers, the usage that must be known at its end
FORMS = [
    ("plain", "plain", True),
    ("with_options", "plain", True),
    ("beta", "plain", True),
    ("raw", "plain", True),
    ("streamed_response", "plain", True),
    ("streamed_response_unread", "plain", False),
    ("stream", "stream", True),
    ("raw_stream", "stream", True),
    ("streamed_response_stream", "stream", True),
    ("manager", "stream", True),
    ("manager_early", "stream", None),
    ("early_exit", "stream", None),
    ("early_exit_of_with", "stream", None),
    ("dropped", "stream", None),
    ("never_read", "stream", None),
    ("parse", "structured", True),
    ("error", "refused", False),
    ("broken_stream", "broken", None),
]
FAILING = {"error", "broken_stream"}
COLOURS = {"sync": False, "async": True}


def reply_of(sdk, answer):
    """Return what the wire answers; a structured answer is JSON in the text."""
    if answer != "structured":
        return getattr(sdk, answer)
    text = '{"because": "limits"}'
    if sdk.create == "chat.completions":
        return tokentrace.testing.openai_chat(text, prompt_tokens=sdk.reported)
    return tokentrace.testing.anthropic_message(text, input_tokens=sdk.reported)


def longer(sdk):
    """Return the SDK with a request that is far above any bound of its count."""
    messages = [{"role": "user", "content": forms.TEXT * 200}]
    return replace(sdk, request={**sdk.request, "messages": messages})


def perform(form, sdk, asynchronous, answer):
    """Do what a caller does; return the outcome and what went over the wire."""
    shop = Shop(sdk, asynchronous, Wire(reply_of(sdk, answer)))

    async def run():
        return await getattr(forms, form)(shop)

    try:
        outcome = asyncio.run(run())
    except forms.MissingFormError as missing:
        pytest.skip(str(missing))
    except Exception as error:
        outcome = (type(error).__name__, str(error))
    return outcome, shop.wire.requests


def comparable(outcome):
    """Return an outcome so that two runs of it compare equal."""
    if isinstance(outcome, list | tuple):
        return type(outcome)(comparable(item) for item in outcome)
    dump = getattr(outcome, "model_dump", None)
    return (type(outcome).__name__, dump(warnings=False)) if dump else outcome


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("form", "answer", "reports"), FORMS, ids=[row[0] for row in FORMS])
@pytest.mark.parametrize("name", SDKS)
class TestEveryForm:
    """The table, row by row."""

    def test_one_span_with_the_golden_numbers(self, name, form, answer, reports, colour):
        """One call is one span, with the counted and the reported tokens."""
        sdk = SDKS[name]
        with capture() as captured:
            perform(form, sdk, COLOURS[colour], answer)
        (call,) = captured.calls
        if form != "parse" and sdk.tokens is not None:
            assert call.tokens == sdk.tokens
        assert sum(call.components.values()) == call.tokens
        assert call.model == sdk.request["model"]
        assert call.api == {"messages": "anthropic.messages"}.get(sdk.create, "openai.chat")
        if reports is not None:
            assert call.usage.input == (sdk.reported if reports else None)
        assert bool(call.error_type) == (form in FAILING)
        assert len(captured.spans) == 1

    def test_the_host_gets_what_it_would_get(self, name, form, answer, reports, colour):
        """Result, types, errors and the bytes on the wire are those of a run without us."""
        sdk = SDKS[name]
        bare, bare_wire = perform(form, sdk, COLOURS[colour], answer)
        with capture():
            traced, traced_wire = perform(form, sdk, COLOURS[colour], answer)
        assert comparable(traced) == comparable(bare)
        assert [(r.path, r.content) for r in traced_wire] == [
            (r.path, r.content) for r in bare_wire
        ]

    def test_the_caller_is_the_parent(self, name, form, answer, reports, colour):
        """The span lies under the span that was current, and leaves it current."""
        sdk = SDKS[name]
        tracer = TracerProvider().get_tracer("app")
        with capture() as captured, tracer.start_as_current_span("agent") as span:
            perform(form, sdk, COLOURS[colour], answer)
            assert trace.get_current_span() is span
        (call,) = captured.calls
        assert call.parent_id == f"{span.get_span_context().span_id:016x}"

    def test_a_refusal_leaves_no_byte(self, name, form, answer, reports, colour):
        """The guard's refusal reaches the caller as it is, before anything is sent."""
        sdk = longer(SDKS[name])
        guard = tokentrace.Guard(limit=10, on_exceed="raise")
        with capture(guard=guard) as captured:
            outcome, wire = perform(form, sdk, COLOURS[colour], answer)
        assert outcome[0] == "TokenLimitExceeded"
        assert wire == []
        (call,) = captured.calls
        assert (call.decision, call.usage.input) == ("refuse", None)
        assert call.error_type == "tokentrace.TokenLimitExceeded"


@pytest.mark.parametrize("name", SDKS)
def test_a_cancelled_call_ends_its_span(name):
    """Cancellation passes, and the span says so."""
    sdk = SDKS[name]

    class Slow(Wire):
        async def wait(self, request):
            await asyncio.sleep(30)

        def client(self, name, *, asynchronous=False):
            library = tokentrace.testing.http_library(name)
            return library.AsyncClient(transport=library.MockTransport(self.wait))

    async def run():
        await forms.cancel(Shop(sdk, asynchronous=True, wire=Slow()))

    with capture() as captured:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run())
        (call,) = captured.calls
    assert call.error_type == "asyncio.CancelledError"


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", SDKS)
def test_clients_made_before_instrument_are_traced(name, colour):
    """A client, its resource and its raw resource taken early pass through the hook."""
    sdk = SDKS[name]
    shop = Shop(sdk, COLOURS[colour], Wire(sdk.plain))
    resource = shop.resource()
    early = (resource.create, resource.with_raw_response.create)

    async def run():
        for create in early:
            await forms.maybe(create(**sdk.request))

    with capture() as captured:
        asyncio.run(run())
        assert len(captured.calls) == 2


@pytest.mark.parametrize(
    ("module", "kind", "options", "provider"),
    [
        ("openai", "AzureOpenAI", {"api_version": "2024-06-01"}, "azure.ai.openai"),
        (
            "anthropic",
            "AnthropicBedrock",
            {"aws_region": "us-east-1", "aws_access_key": "a", "aws_secret_key": "b"},
            "aws.bedrock",
        ),
    ],
)
def test_flavoured_clients_keep_the_dialect(module, kind, options, provider):
    """Azure and Bedrock clients are the same hook, with their own provider."""
    if module == "anthropic" and importlib.util.find_spec("boto3") is None:
        pytest.skip("boto3 is not installed")
    made = pytest.importorskip(module)
    sdk = MAIN[module]
    wire = Wire(sdk.plain)
    secret = {} if kind == "AnthropicBedrock" else {"api_key": "test"}
    address = (
        {"azure_endpoint": "http://wire.test"}
        if "Azure" in kind
        else {"base_url": "http://wire.test"}
    )
    client = getattr(made, kind)(
        http_client=wire.client(module), max_retries=0, **secret, **address, **options
    )
    with capture() as captured:
        Shop(sdk, asynchronous=False, wire=wire).resource(client).create(**sdk.request)
    (call,) = captured.calls
    assert call.provider == provider
    assert call.tokens == sdk.tokens
    assert call.usage.input == sdk.reported


def test_a_call_inside_a_call_counts_once():
    """An SDK that calls another one under it is one call."""
    sdk = MAIN["openai"]
    inner = Shop(sdk, asynchronous=False, wire=Wire(sdk.plain))

    def answer(sent):
        inner.resource().create(**sdk.request)
        return sdk.plain

    with capture() as captured:
        Shop(sdk, asynchronous=False, wire=Wire(answer)).resource().create(**sdk.request)
    assert len(captured.calls) == 1
    assert len(inner.wire.requests) == 1


def test_a_call_between_two_chunks_counts_too():
    """The mark of being inside a call is gone while the caller reads a stream."""
    sdk = MAIN["openai"]
    with capture() as captured:
        stream = Shop(sdk, False, Wire(sdk.stream)).resource().create(stream=True, **sdk.request)
        next(stream)
        Shop(sdk, False, Wire(sdk.plain)).resource().create(**sdk.request)
        list(stream)
    assert len(captured.calls) == 2


def test_retries_are_one_call():
    """One logical call is one span, however often the SDK tries."""
    sdk = MAIN["openai"]
    wire = Wire(
        Reply({"error": {"message": "busy"}}, status=429, headers={"retry-after-ms": "1"}),
        sdk.plain,
    )
    shop = Shop(sdk, asynchronous=False, wire=wire)
    with capture() as captured:
        shop.resource(shop.make(max_retries=2)).create(**sdk.request)
    assert len(wire.requests) == 2
    assert len(captured.calls) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_own_span_does_not_double_ours(monkeypatch, asynchronous, stream):
    """With a provider of the application's, anthropic 2.x has a span of its own: one is enough."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    sdk = MAIN["anthropic"]
    shop = Shop(sdk, asynchronous, Wire(sdk.stream if stream else sdk.plain))

    async def run():
        answer = await maybe(shop.resource().create(stream=stream, **sdk.request))
        return await items(answer) if stream else answer

    tokentrace.instrument()
    asyncio.run(run())
    tokentrace.uninstrument()
    (span,) = exporter.get_finished_spans()
    assert span.name == "chat claude-sonnet-4-6"
    assert span.attributes[schema.USAGE_INPUT] == sdk.reported
    asyncio.run(run())
    assert len(exporter.get_finished_spans()) == 1 + has_own_span()


def has_own_span():
    """Whether this anthropic SDK traces itself when nobody else does."""
    return importlib.util.find_spec("anthropic._tracing") is not None
