"""Inputs to begin with, and words to put into them. All of it was made for this purpose."""

from __future__ import annotations

import ast
import gzip
import json
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

import tokentrace
from tokentrace import schema
from tokentrace.dialects import DIALECTS
from tokentrace.prompt import CallRecord, ContextRecord, Event, Usage
from tokentrace.providers import overflow

SOURCE = Path(tokentrace.__file__).parent
CORPUS = Path(__file__).parents[2] / "tests" / "corpus"
LONGEST_WORD = 40


@cache
def _spelled(folder: str) -> tuple[str, ...]:
    """Return the short texts that the code of a folder spells: the keys that it looks for."""
    found: set[str] = set()
    for path in (SOURCE / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            held = node.value if isinstance(node, ast.Constant) else None
            if isinstance(held, str) and 0 < len(held) <= LONGEST_WORD and "\n" not in held:
                found.add(held)
    return tuple(sorted(found))


KEYS = (*_spelled("dialects"), *DIALECTS)
REFUSALS = (
    *overflow.PHRASES,
    *overflow.CODES,
    *overflow.NESTED,
    *overflow.TEXTS,
    *overflow.NAMES,
    *overflow.SIZES,
    *(
        "maximum context length is 8192 tokens. however, you requested 9000 tokens (",
        "1,024",
        "429",
    ),
    *("prompt is too long: 200001 tokens > 200000 maximum", "rate limit", "1.000.000", "> 12", " "),
)
MARKS = (
    *(
        "{",
        "}",
        '"',
        ":",
        "<",
        ">",
        "</",
        "/>",
        "```",
        "~~~",
        "\n",
        "\n# ",
        "\n## ",
        "###### ",
        "`",
    ),
    *('{"a": 1, "b": 2}', "<a>", "</a>", "<doc>", "</doc>", "```json\n", "\\u0041", "\\", "[", "]"),
    *("é", "\u2028", "\ud800", " ", "\t", "NaN", "1e9", "true", '"key": ', "<b>", "x = "),
)
LOG_WORDS = tuple(
    line.split('"')[1]
    for line in (SOURCE / "readers/agent_log/formats/devops_agent.toml")
    .read_text("utf-8")
    .split("\n")
    if line.startswith(("text = ", "row", "holds")) and '"' in line
)
FIELDS = (
    *("resourceSpans", "scopeSpans", "spans", "resource", "attributes", "key", "value", "events"),
    *(
        "traceId",
        "spanId",
        "parentSpanId",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "status",
        "code",
    ),
    *("stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "values", "kvlistValue"),
    *("resourceLogs", "resourceMetrics", "result", "error", "httpCode", "message", "services"),
    *(
        "traces",
        "traceID",
        "trace",
        "PARTIAL",
        "timeUnixNano",
        "name",
        "9" * 19,
        "9" * 20,
        "0" * 32,
    ),
    *sorted(set(schema.EVENTS)),
    *(
        f"{schema.PREFIX}{name}"
        for name in ("input.tokens", "component.a.tokens", "details", "waste")
    ),
    *(
        "\x1b[31m",
        "\u202e",
        "NaN",
        "-1",
        "1e400",
        "\n",
        "{",
        "}",
        "\x1f\x8b",
        "(\xb5/\xfd",
        "\n\x02",
    ),
)
YAML = (
    *(
        "name: ",
        "phases:",
        "turns:",
        "  - ",
        "prompt: ",
        "expect:",
        "timeout: ",
        "thresholds:",
        "- ",
    ),
    *(
        "max_total: ",
        "max_component: ",
        "component_present: ",
        "response_contains: ",
        "essential: ",
    ),
    *(
        "&a",
        "*a",
        "!!python/object:os.system ",
        "!!binary ",
        "<<: ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        "|",
        ">",
        "'",
        '"',
        "\\x00",
        "\\uD800",
        "\x85",
        "\u202e",
        "? ",
        ": ",
        "#",
    ),
    *(
        ".nan",
        ".inf",
        "0x1F",
        "1_000",
        "12:30:45",
        "2026-01-01",
        "~",
        "yes",
        "\n",
        "  ",
        "concurrency: ",
    ),
)
SETTINGS = (
    *(
        '"version": 1',
        '"factors"',
        '"calls"',
        "[600, 700, 300]",
        '"limits"',
        "[limits]\n",
        '"gpt-*" = 9',
    ),
    *(
        "[[line]]\n",
        'text = "',
        'does = "turn"\n',
        "{turn}",
        "{tokens}",
        "{_}",
        "{",
        "}",
        "head = ",
        "=\n",
    ),
    *(
        "AAAA 0\n",
        "IQ== 0\n",
        " ",
        "\n",
        '"',
        "name = ",
        "9" * 30,
        "-1",
        "null",
        "[",
        "]",
        "rows = ",
        "\\",
    ),
)


def _packed(*held: Any) -> list[bytes]:
    return [json.dumps(one).encode() for one in held]


# ── prompts and usage ────────────────────────────────────────────────────────────────────────────


def bodies() -> list[bytes]:
    """Return the bodies of the corpus, each with its api, and what no corpus holds."""
    found = []
    named = {"anthropic": "anthropic.messages", "openai": "openai.chat"}
    for path in sorted(CORPUS.rglob("*.json")):
        held = json.loads(path.read_text("utf-8"))
        folder = path.parent.name
        api = held.get("api") or named.get(folder) or _closest(folder)
        found.append({"api": api, "body": held["body"]})
    every = [{"api": api, "body": {"model": "m", "messages": _chat()}} for api in DIALECTS]
    return _packed(*found, *every)


def _closest(folder: str) -> str:
    return next(api for api, module in DIALECTS.items() if module == folder)


def _chat() -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "probe", "arguments": '{"a": 1}'}}
    return [
        {"role": "system", "content": 'Be brief. CONTEXT: {"goal": "rest", "phase": 2}'},
        {"role": "user", "content": [{"type": "text", "text": "# Ask\nwhat <doc>is</doc> it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "fine"},
    ]


def streams() -> list[bytes]:
    """Return the events of a short stream of each maker."""
    chat = {
        "prompt_tokens": 40,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 32},
    }
    claude = {"input_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2}
    told = {
        "openai.chat": [
            {
                "id": "1",
                "model": "m",
                "choices": [{"delta": {"content": "a"}, "finish_reason": None}],
            },
            {"id": "1", "choices": [{"index": 0, "finish_reason": "stop"}], "usage": chat},
        ],
        "openai.responses": [
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.completed", "response": {"id": "r", "usage": {"input_tokens": 3}}},
        ],
        "anthropic.messages": [
            {"type": "message_start", "message": {"id": "a", "model": "m", "usage": claude}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 3},
            },
        ],
        "gemini.generateContent": [
            {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 4}}
        ],
        "bedrock.converse": [
            {"messageStop": {"stopReason": "x"}},
            {"metadata": {"usage": {"inputTokens": 1}}},
        ],
        "bedrock.invoke": [
            {"chunk": {"bytes": '{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 2}}'}}
        ],
        "cohere.chat": [
            {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 5}}}}
        ],
        "ollama.chat": [
            {"done": True, "prompt_eval_count": 5, "eval_count": 1, "done_reason": "stop"}
        ],
    }
    known = [{"api": api, "events": events} for api, events in told.items()]
    others = [{"api": api, "events": told["openai.chat"]} for api in DIALECTS if api not in told]
    return _packed(*known, *others)


def texts() -> list[bytes]:
    """Return texts with sections of every kind."""
    every = [
        'SYSTEM CONTEXT (JSON): {"core_goal": "rest", "phase": {"n": 1}, "list": [1, 2, {"x": "y"}]}\nbye',
        "intro\n# One\ntext\n## Two\nmore <doc kind='a'>in <b>bold</b></doc>\n# Three\nend",
        '```json\n{"a": 1, "b": [2]}\n```\n~~~python\n{\'x\': 1}\n~~~\n<outer><inner>x</inner></outer>',
        '{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n{"a": 5, "b": 6}\n<t>{"deep": {"er": "x"}, "k": 1}</t>',
    ]
    return [text.encode() for text in every]


def refusals() -> list[bytes]:
    """Return an error of each wording."""
    found: list[Any] = []
    for shape in overflow.SHAPES:
        words = shape.words
        for name, number in (
            ("limit", "8192"),
            ("tokens", "9,001"),
            ("input", "9000"),
            ("output", "12"),
        ):
            words = words.replace(f"<{name}>", number)
        found.append(
            {"status": 400, "code": "x", "message": words, "body": {"error": {"message": words}}}
        )
    named = {"error": {"code": "context_length_exceeded", "n_ctx": 8, "n_prompt_tokens": 9}}
    return _packed(
        *found, {"status": 400, "body": named}, {"body": [named, {"detail": "prompt is too long"}]}
    )


# ── files of others ──────────────────────────────────────────────────────────────────────────────

LOG = """\
2026-03-01 09:00:00,001 - INFO - devops_agent.py:700 - Using token limit for gemini-2.0-flash: 1000000
2026-03-01 09:00:00,002 - INFO - devops_agent.py:700 - Started new turn 1
2026-03-01 09:00:00,003 - INFO - devops_agent.py:700 - User message tokens: 9
2026-03-01 09:00:00,004 - INFO - devops_agent.py:700 - System instruction tokens: 1,410
2026-03-01 09:00:00,005 - INFO - context_manager.py:100 -     ✅ INCLUDED: Turn 1 (12 tokens)
2026-03-01 09:00:00,006 - WARNING - context_manager.py:100 -       ❌ EXCLUDED: Code snippet 2 (777 tokens) - Exceeds available budget
2026-03-01 09:00:00,007 - INFO - context_manager.py:100 - TOKEN BREAKDOWN BY COMPONENT:
2026-03-01 09:00:00,008 - INFO - context_manager.py:100 -   recent_conversation: 12 tokens (100.0%)
2026-03-01 09:00:00,009 - INFO - devops_agent.py:700 - Total tokens for prompt (base + context_block): 3500
2026-03-01 09:00:00,010 - INFO - devops_agent.py:700 - Started new turn 2
""".encode()


def logs() -> list[bytes]:
    """Return a log of two turns, whole and from its middle."""
    return [LOG, LOG[400:], b"\x1b[32m" + LOG.replace(b"INFO", b"\x1b[0mINFO")]


def _call(number: int = 1) -> CallRecord:
    return CallRecord(
        trace_id=f"{number:032x}", span_id=f"{number:016x}", start=5, end=9, service="agents",
        provider="openai", api="openai.chat", model="gpt-4o", session="conv", turn=number,
        tokens=900, method="exact", components={"history": 600, "system": 300}, limit=128_000,
        limit_source="registry", decision="ok", usage=Usage(input=900, output=20),
    )  # fmt: skip


def _value(raw: Any) -> dict[str, Any]:
    if isinstance(raw, bool):
        return {"boolValue": raw}
    if isinstance(raw, int):
        return {"intValue": str(raw)}
    if isinstance(raw, float):
        return {"doubleValue": raw}
    return (
        {"stringValue": raw}
        if isinstance(raw, str)
        else {"arrayValue": {"values": [*map(_value, raw)]}}
    )


def _pairs(held: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(raw)} for key, raw in held.items()]


def _tree() -> dict[str, Any]:
    left_out = Event(
        schema.COMPONENT_EXCLUDED, {"name": "code", "tokens": 7, "reason": "budget"}, 7
    )
    context = ContextRecord(
        trace_id="1" * 32, span_id="2" * 16, name="ctx", included=1, events=(left_out,)
    )
    spans = []
    for record in (_call(), context):
        events = [
            {
                "name": one.name,
                "timeUnixNano": "7",
                "attributes": _pairs(schema.dump_event(one.name, one.attributes)),
            }
            for one in record.events
        ]
        plain = {"traceId": record.trace_id, "spanId": record.span_id, "name": "chat gpt-4o"}
        spans.append(
            {
                **plain,
                "startTimeUnixNano": "5",
                "attributes": _pairs(schema.dump(record)),
                "events": events,
            }
        )
    resource = {"attributes": _pairs({schema.SERVICE_NAME: "agents"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


def exports() -> list[bytes]:
    """Return exports in JSON."""
    return _packed(_tree(), {"resourceLogs": []})


def _message() -> bytes:
    """Return the same export in protobuf."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    tree = _tree()
    for span in tree["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId"):
            span[name] = b64encode(bytes.fromhex(span[name])).decode()
    made: bytes = ParseDict(tree, ExportTraceServiceRequest()).SerializeToString()
    return made


def trace_files() -> list[bytes]:
    """Return files of every form: lines, protobuf, behind lengths, packed, a log."""
    line, message = exports()[0] + b"\n", _message()
    framed = len(message).to_bytes(4, "big") + message
    return [
        line * 2,
        message,
        framed * 2,
        gzip.compress(line),
        gzip.compress(framed),
        LOG,
        line + LOG,
    ]


def answers() -> list[bytes]:
    """Return what Jaeger and Tempo answer to each question."""
    tree = _tree()
    found = {"traces": [{"traceID": "1" * 32}]}
    return _packed(
        {"kind": "jaeger", "answers": [[200, {"services": ["agents"]}], [200, {"result": tree}]]},
        {
            "kind": "jaeger",
            "answers": [[200, {"services": ["a"]}], [404, {"error": {"httpCode": 404}}]],
        },
        {
            "kind": "tempo",
            "session": "conv",
            "answers": [[200, found], [200, {"trace": tree, "status": "PARTIAL"}]],
        },
        {"kind": "tempo", "answers": [[200, found], [404, "gone"]]},
        {"kind": "tempo", "answers": [[500, "<html>"]]},
    )


def scenarios() -> list[bytes]:
    """Return scenario files."""
    rich = """\
name: rich
timeout: 60
concurrency: 2
essential: [system, user]
thresholds: {growth: 0.5}
expect: {component_present: user, max_total: 9000}
phases:
  - name: first
    expect: {max_component: {history: 100}}
    turns:
      - say a word
      - prompt: "say \\u00e9 another"
        timeout: 5
        expect: {response_contains: [a, b], max_utilization: 0.9}
"""
    shipped = (SOURCE / "scenario/shipped/quick.yaml").read_bytes()[:1500]
    return [rich.encode(), shipped, b"name: a\nphases: [{name: b, turns: [c]}]\n"]


def settings() -> list[bytes]:
    """Return files of settings, the first letter says of which kind: factors, limits, …."""
    row = {
        "provider": "openai",
        "place": "",
        "model": "m",
        "ruler": "o200k_base",
        "calls": [[600, 700, 300]],
    }
    held = {"version": 1, "release": tokentrace.__version__, "factors": [row]}
    table = b"".join(b"%b %d\n" % (b64encode(bytes([one])), one) for one in range(256))
    form = b"""Dname = "own"\nhead = "{time} {level} - "\n[[line]]\ntext = "turn {turn}"\ndoes = "turn"\n
[[line]]\ntext = "part {name}: {tokens}"\ndoes = "component"\n"""
    shipped = (SOURCE / "readers/agent_log/formats/devops_agent.toml").read_bytes()
    return [
        b"F" + json.dumps(held).encode(),
        b'L{"limits": {"gpt-*": 9000, "openai/m": 1}} ',
        b'L[limits]\n"gpt-*" = 9000\n',
        b"T" + table + b"YWI= 256\n",
        form,
        b"D" + shipped[:3000],
        b"D" + shipped,
    ]


# ── what leaves ──────────────────────────────────────────────────────────────────────────────────


def body_of(text: str, more: Any) -> dict[str, Any]:
    """Return a request that holds a text wherever a conversation has text of somebody's."""
    call = {
        "id": text,
        "type": "function",
        "function": {"name": "probe", "arguments": json.dumps({text: text})},
    }
    image = {"type": "image_url", "image_url": {"url": f"https://x.test/{text}?key={text}"}}
    blocks = [
        {"type": "text", "text": text},
        {"type": "tool_result", "tool_use_id": text, "content": text},
    ]
    messages = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": text, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": text, "content": text, "name": text},
        {"role": "user", "content": [*blocks, image], "parts": [{"text": text}], "name": text},
    ]
    body = {
        "model": "m",
        "messages": messages,
        "contents": messages,
        "input": messages,
        "prompt": text,
        "user": text,
    }
    extra = {"metadata": {text: text}, "extra_headers": {"authorization": text}, "message": text}
    return {**body, **extra, **({"more": more} if more is not None else {})}


def prompts() -> list[bytes]:
    """Return texts that hold a secret, for each api."""
    every = (
        "the word is @@",
        'CONTEXT: {"@@": "@@", "k": {"@@": 1}}',
        "# @@\nx\n<@@>y</@@>\n## @@ @@",
        '```json\n{"@@": 1, "b": "@@"}\n```',
    )
    return _packed(
        *({"api": api, "text": text} for api, text in zip(DIALECTS, every * 5, strict=False))
    )
