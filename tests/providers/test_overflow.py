"""Context-length errors: what is read from which wording, and what is never taken for one."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from tokentrace.providers import overflow
from tokentrace.providers.overflow import Overflow, of_error, read

TELLING = {
    "openai chat": (
        (
            "This model's maximum context length is 16385 tokens. However, your messages resulted in "
            "17001 tokens. Please reduce the length of the messages."
        ),
        Overflow(16_385, 17_001),
    ),
    "openai chat with functions": (
        (
            "This model's maximum context length is 16385 tokens. However, your messages resulted in "
            "17001 tokens (16800 in the messages, 201 in the functions). Please reduce the length."
        ),
        Overflow(16_385, 17_001),
    ),
    "openai chat with output": (
        (
            "This model's maximum context length is 8192 tokens. However, you requested 9224 tokens "
            "(1224 in the messages, 8000 in the completion). Please reduce the length of the messages "
            "or completion."
        ),
        Overflow(8_192, 9_224, shared=True),
    ),
    "openai completions": (
        (
            "This model's maximum context length is 4097 tokens, however you requested 5001 tokens "
            "(4001 in your prompt; 1000 for the completion). Please reduce your prompt; or completion "
            "length."
        ),
        Overflow(4_097, 5_001, shared=True),
    ),
    "openai embeddings": (
        (
            "This model's maximum context length is 8192 tokens, however you requested 9415 tokens "
            "(9415 in your prompt; 0 for the completion). Please reduce your prompt."
        ),
        Overflow(8_192, 9_415, shared=True),
    ),
    "openai from gpt-5 on": (
        (
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in "
            "300007 tokens. Please reduce the length of the messages."
        ),
        Overflow(272_000, 300_007),
    ),
    "the same, limit only": (
        "Input tokens exceed the configured limit of 922000 tokens",
        Overflow(922_000),
    ),
    "openai responses": (
        "Your input exceeds the context window of this model. Please adjust your input.",
        Overflow(),
    ),
    "deepseek": (
        (
            "This model's maximum context length is 65536 tokens. However, you requested 70100 tokens "
            "(62100 in the messages, 8000 in the completion). Please reduce the length."
        ),
        Overflow(65_536, 70_100, shared=True),
    ),
    "old vllm without output": (
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in "
            "the messages, Please reduce the length of the messages."
        ),
        Overflow(4_096, 5_000),
    ),
    "new vllm": (
        (
            "This model's maximum context length is 32768 tokens. However, you requested 30000 output "
            "tokens and your prompt contains at least 2769 input tokens, for a total of at least 32769 "
            "tokens. Please reduce the length of the input prompt or the number of requested output "
            "tokens. (parameter=input_tokens, value=2769)"
        ),
        Overflow(32_768, 32_769, shared=True),
    ),
    "new vllm, characters": (
        (
            "This model's maximum context length is 4096 tokens. However, you requested 4096 output "
            "tokens and your prompt contains 12769 characters (more than 0 characters)."
        ),
        Overflow(4_096, None, shared=True),
    ),
    "vllm multimodal": (
        (
            "The prompt (total length 9001) is too long to fit into the model (context length 8192). "
            "Make sure that `max_model_len` is no smaller than the number of text tokens."
        ),
        Overflow(8_192, 9_001),
    ),
    "anthropic": ("prompt is too long: 213462 tokens > 200000 maximum", Overflow(200_000, 213_462)),
    "anthropic with output": (
        (
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease "
            "input length or `max_tokens` and try again"
        ),
        Overflow(200_000, 209_573, shared=True),
    ),
    "bedrock": (
        (
            "An error occurred (ValidationException) when calling the Converse operation: The model "
            "returned the following errors: prompt is too long: 200500 tokens > 199999 maximum"
        ),
        Overflow(199_999, 200_500),
    ),
    "bedrock without numbers": ("Input is too long for requested model.", Overflow()),
    "gemini": (
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048576).",
        Overflow(1_048_576, 1_196_265),
    ),
    "mistral": (
        (
            "Prompt contains 40001 tokens and 0 draft tokens, too large for model with 32768 maximum "
            "context length"
        ),
        Overflow(32_768, 40_001),
    ),
    "xai": (
        "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
        Overflow(131_072, 140_000),
    ),
    "groq": ("Please reduce the length of the messages or completion.", Overflow()),
    "openrouter": (
        (
            "This endpoint's maximum context length is 163840 tokens. However, you requested about "
            "170001 tokens (160001 of text input, 2000 of tool input, 8000 in the output). Please "
            "reduce the length of either one."
        ),
        Overflow(163_840, 170_001, shared=True),
    ),
    "kimi": (
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 270000)",
        Overflow(262_144, 270_000),
    ),
    "copilot": (
        "prompt token count of 130431 exceeds the limit of 128000",
        Overflow(128_000, 130_431),
    ),
    "llama.cpp": (
        "the request exceeds the available context size, try increasing it",
        Overflow(),
    ),
    "llama.cpp with numbers": (
        "request (5001 tokens) exceeds the available context size (4096 tokens), try increasing it",
        Overflow(4_096, 5_001),
    ),
    "minimax": ("invalid params, context window exceeds limit (2013)", Overflow()),
    "cerebras": (
        (
            "Please reduce the length of the messages or completion. Current length is 8393 while "
            "limit is 8192"
        ),
        Overflow(8_192, 8_393),
    ),
    "together": (
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        Overflow(8_192, 9_000),
    ),
    "openai-compatible": (
        "Input length 265330 exceeds model's maximum context length of 262144 tokens.",
        Overflow(262_144),
    ),
}


def of_body(status, body):
    """Return what an answer says that no SDK made an exception of."""
    return of_error(SimpleNamespace(status_code=status, body=body))


@pytest.mark.parametrize(("message", "told"), TELLING.values(), ids=TELLING)
def test_each_wording_is_read(message, told):
    """Limit, tokens, and whether the output counts, as each provider words them."""
    assert read(400, "", message) == told
    assert read(None, "invalid_request_error", f"Error code: 400 - {message.upper()}") == told


def test_every_shape_of_the_table_is_read_by_a_test():
    """No row of the table is left without a text that it, and none before it, matches."""
    texts = [overflow.BLANKS.sub(" ", message).lower() for message, _ in TELLING.values()]
    first = {
        next((n for n, (one, _) in enumerate(overflow._patterns()) if one.search(text)), -1)
        for text in texts
    }
    assert first - {-1} == set(range(len(overflow.SHAPES)))


def test_the_table_is_dated():
    """The page that says where the wordings come from bears the table's date."""
    assert overflow.DATED in overflow.__doc__


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("context_length_exceeded", Overflow()),
        ("invalid_request_error context_length_exceeded", Overflow()),
        ("exceed_context_size_error", Overflow()),
        ("invalid_request_error", None),
        ("", None),
    ],
)
def test_a_code_is_enough(code, told):
    """Where the text is foreign, the code says what it is, without a number."""
    assert read(400, code, "das passt nicht") == told


RATES = {
    "openai tpm": (
        429, "rate_limit_exceeded tokens",
        ("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
        "Requested 45000. The input or output tokens must be reduced."),
    ),
    "groq tpm as 413": (
        413, "rate_limit_exceeded",
        ("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 7000, "
        "please reduce your message size and try again."),
    ),
    "tpm in the words of a limit": (
        400, "",
        "prompt is too long: 45000 tokens > 30000 maximum tokens per minute",
    ),
    "429 in the words of a limit": (
        429, "", "maximum context length is 8192 tokens. However, you requested 9000 tokens",
    ),
    "code in the words of a limit": (
        400, "rate_limit_error", "prompt is too long: 45000 tokens > 30000 maximum",
    ),
    "429 in the code": (None, "429", "prompt is too long: 45000 tokens > 30000 maximum"),
    "anthropic": (
        429, "rate_limit_error",
        "This request would exceed your organization's rate limit of 40,000 input tokens per minute",
    ),
    "gemini quota": (
        None, "RESOURCE_EXHAUSTED",
        "Quota exceeded for metric: GenerateContentInputTokensPerModelPerMinute, limit: 250000",
    ),
    "bedrock": (
        400, "ThrottlingException", "Too many tokens, please wait before trying again.",
    ),
    "azure": (
        None, "", "Requests have exceeded token rate limit of your pricing tier: limit of 1000",
    ),
    "daily": (400, "", "current length is 9000 while limit is 8000 tokens per day"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "code", "message"), RATES.values(), ids=RATES)
def test_rates_and_quotas_teach_nothing(status, code, message):
    """A refusal for a rate is no context-length error, whatever numbers it names."""
    assert read(status, code, message) is None


FOREIGN = {
    "batch": "Requested 310000 tokens, max 300000 tokens per request",
    "characters": "string too long. Expected a string with maximum length 1048576, got 2000000",
    "output": "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
    "output of claude": "max_tokens: 70000 > 64000, which is the maximum allowed number of output",
    "bytes": "Request exceeds the maximum size",
    "no body": "400 status code (no body)",
    "documents": "The input document is 30 pages, the limit is 20",
    "thinking": "`max_tokens` must be greater than `thinking.budget_tokens`",
    "nothing": "",
}


@pytest.mark.parametrize("message", FOREIGN.values(), ids=FOREIGN)
def test_other_limits_are_none_of_ours(message):
    """Limits on batches, bytes, pages and outputs are not the model's input limit."""
    assert read(400, "invalid_request_error", message) is None


@pytest.mark.parametrize(
    ("number", "limit"),
    [
        ("1,048,576", 1_048_576), ("1.048.576", 1_048_576), ("1_048_576", 1_048_576),
        ("1'048'576", 1_048_576), ("1\u202f048\u202f576", 1_048_576), ("0", None),
        (str(2**40 - 1), 2**40 - 1), (str(2**40), None), ("9" * 13, None), ("9" * 60, None),
        ("-5", None), ("1,04", None), ("8192.5", None), ("128k", None), ("٨١٩٢", None),
        ("0x2000", None), ("NaN", None),
    ],
)  # fmt: skip
def test_numbers_are_sane(number, limit):
    """Separators of thousands are read; what is no number of tokens is no limit."""
    found = read(
        400, "context_length_exceeded", f"prompt is too long: 99 tokens > {number} maximum"
    )
    assert found is not None
    assert found.limit == limit


def test_a_long_text_is_read_at_its_beginning_only():
    """What stands behind the first 4,000 characters says nothing."""
    message = "prompt is too long: 201 tokens > 200 maximum"
    assert read(400, "", " " * 3_900 + message) == Overflow(200, 201)
    assert read(400, "", "x" * 3_990 + message) is None


NEAR = (
    "maximum context length is 1 tokens. however, you requested 1 tokens (",
    "maximum context length is ", "prompt contains 1 tokens ", "prompt is too long: 1 tokens > ",
    "input length and max_tokens exceed context limit: 1 + 1 > ", "1,111,", "9", "per ", " \t",
    "rate_", "\u0130", "input token count (1) exceeds the ", "(((", "\ud800",
)  # fmt: skip


@pytest.mark.parametrize("near", NEAR)
def test_hostile_texts_cost_nothing(near):
    """A hundred kilobytes of what nearly matches is done with within 50 ms of CPU time."""
    text = near * (100_000 // len(near))
    read(400, "", "warm")
    begun = time.thread_time()
    read(400, text, text)
    of_body(400, {"error": {"message": text, "code": text, "details": [{"detail": text}] * 50}})
    assert time.thread_time() - begun < 0.05


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────

LONG = "prompt is too long: 201 tokens > 200 maximum"
TOLD = Overflow(200, 201)
BODIES = {
    "openai": {"error": {"message": LONG, "type": "invalid_request_error", "code": None}},
    "inner": {"message": LONG, "type": "invalid_request_error", "code": 400},
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": LONG}},
    "gemini": {"error": {"code": 400, "message": LONG, "status": "INVALID_ARGUMENT"}},
    "gemini stream": [{"error": {"code": 400, "message": LONG}}],
    "bedrock": {"message": LONG},
    "botocore": {"Error": {"Code": "ValidationException", "Message": LONG}},
    "old vllm": {"object": "error", "message": LONG, "type": "BadRequestError", "code": 400},
    "text": {"error": LONG},
    "detail": {"detail": LONG},
    "details": {"detail": [{"msg": LONG, "type": "value_error"}]},
    "openrouter": {
        "error": {
            "message": "Provider returned error",
            "code": 400,
            "metadata": {"raw": f'{{"error":{{"message":"{LONG}"}}}}'},
        }
    },
    "event": {"type": "response.failed", "response": {"error": {"code": "x", "message": LONG}}},
    "no json": LONG,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_text_is_found_in_the_body(body):
    """Every envelope that providers use is opened; a status 200 with an error body counts too."""
    assert of_body(400, body) == TOLD
    assert of_body(200, body) == TOLD
    assert of_body(429, body) is None


def test_llama_cpp_tells_its_numbers_as_fields():
    """The sizes beside the text are read where the text has none."""
    error = {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 5_001,
        "n_ctx": 4_096,
    }
    assert of_body(400, {"error": error}) == Overflow(4_096, 5_001)
    assert of_body(400, {"error": {**error, "n_ctx": -1}}) == Overflow(None, 5_001)


def test_a_rate_anywhere_in_the_body_counts():
    """A quota told in another field than the limit is a quota."""
    body = {"error": {"message": LONG, "details": [{"detail": "tokens per minute"}]}}
    assert of_body(400, body) is None
    assert of_body(None, {"error": {"code": 429, "message": LONG}}) is None


def endless():
    """Return a body that holds itself."""
    body = {"message": "x", "error": [None] * 3}
    body["error"][0] = body["detail"] = body
    return body


ODD = (None, 17, True, [], {}, b"prompt", {"error": None}, {"error": [[[[[[{}]]]]]]}, endless(),
       {"error": {"message": ["x"], "code": {"a": 1}}}, {1: 2}, {"code": 10**5_000}, float("nan"))  # fmt: skip


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_odd_bodies_say_nothing(body):
    """What is no error's body is no error, and nothing raises."""
    assert of_body(400, body) is None
    assert of_body(None, body) is None


# ── exceptions, by shape ─────────────────────────────────────────────────────────────────────────


def error(name="ApiError", bases=(Exception,), **fields):
    """Return an exception with these attributes."""
    made = type(name, bases, {})("text of the exception")
    vars(made).update(fields)
    return made


SHAPES = {
    "status and body": error(status_code=400, body={"error": {"message": LONG}}),
    "status and text": error(status_code=400, body=LONG),
    "inner body": error(status_code=400, body={"message": LONG, "code": "x"}, code="x"),
    "message only": error(status_code=400, body=None, message=f"Error code: 400 - {LONG}"),
    "stream": error(body={"message": LONG}, message=LONG, code=None),
    "google": error(code=400, message=LONG, status="INVALID_ARGUMENT"),
    "of a class": type("E", (Exception,), {"status_code": 400, "body": {"message": LONG}})(),
}


@pytest.mark.parametrize("raised", SHAPES.values(), ids=SHAPES)
def test_exceptions_are_read_by_shape(raised):
    """No SDK is needed to know its exceptions."""
    assert of_error(raised) == TOLD


def test_botocore_exceptions_are_read():
    """A real ClientError and a real error of an event stream."""
    exceptions = pytest.importorskip("botocore.exceptions")
    response = {
        "Error": {"Code": "ValidationException", "Message": LONG},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    assert of_error(exceptions.ClientError(response, "Converse")) == TOLD
    bare = {"Error": response["Error"]}
    assert of_error(exceptions.EventStreamError(bare, "ConverseStream")) == TOLD
    throttled = {"Error": {"Code": "ThrottlingException", "Message": LONG}}
    assert of_error(exceptions.ClientError(throttled, "Converse")) is None
    metadata = {"ResponseMetadata": {"HTTPStatusCode": 429}}
    assert of_error(exceptions.ClientError({**response, **metadata}, "Converse")) is None


class HostileError(Exception):
    """Whatever is asked of it, it raises."""

    @property
    def status_code(self):
        raise RuntimeError

    body = message = code = response = status_code

    def __str__(self):
        raise RuntimeError

    def __getattr__(self, name):
        raise RuntimeError


NONE = {
    "plain": RuntimeError(LONG),
    "hostile": HostileError(),
    "rate": error(status_code=429, body={"error": {"message": LONG}}),
    "google rate": error(code=429, message=LONG),
    "odd": error(status_code="400", body=object(), message=object(), code=object(), response=3),
    "broken response": error(response={"Error": None, "ResponseMetadata": 3}),
    "interrupt": KeyboardInterrupt(),
}


@pytest.mark.parametrize("raised", NONE.values(), ids=NONE)
def test_other_exceptions_say_nothing(raised):
    """A text alone is no provider's refusal; odd attributes are passed over."""
    assert of_error(raised) is None
