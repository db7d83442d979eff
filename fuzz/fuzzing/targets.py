"""What is fuzzed: a row for each target, and what must hold of every input given to it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.console import Console

import tokentrace
from fuzzing import seeds
from fuzzing.checks import TOLD, hold, strings, value
from tokentrace import analysis, dialects, schema
from tokentrace.counting import claims, counter, files, sections
from tokentrace.counting.store import STORE
from tokentrace.counting.text import ruler
from tokentrace.dialects import DIALECTS
from tokentrace.errors import InputError, TokentraceError
from tokentrace.guard import configured
from tokentrace.instrument import factor_file, state
from tokentrace.instrument.hooks import SILENT
from tokentrace.prompt import CallRecord, Prompt, Record, Usage
from tokentrace.providers import overflow
from tokentrace.readers import Problems, agent_log, backends, otlp_json, quiet
from tokentrace.readers import read as read_files
from tokentrace.readers.backends import addresses, jaeger, tempo
from tokentrace.readers.backends.web import Answer, Ask
from tokentrace.report import html, markdown, safe, text
from tokentrace.report import json as report_json
from tokentrace.scenario import loading

INT64 = 2**63
# Characters that must reach no terminal out of somebody's file: controls, and what turns text around.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNSENT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # what exporters or their readers choke on
MOST_ASKED = 20_000


# ── prompts and usage ────────────────────────────────────────────────────────────────────────────


def parse(data: bytes) -> None:
    """Every dialect reads any body: twice the same, without changing it, in bounds."""
    given = value(data)
    api, body = _api(given), _held(given, "body")
    dialect = dialects.find(api)
    before = repr(body)
    prompt = dialect.parse(body)
    told = described(prompt)
    hold(told == described(dialect.parse(body)), "two readings differ")
    hold(repr(body) == before, "the body was changed")
    parts = prompt.parts
    hold(len(parts) <= len(data) + 8, "more parts than bytes")
    hold(
        all(
            isinstance(held, str)
            for one in parts
            for held in (one.text, one.name, one.id, one.kind)
        ),
        "no text",
    )
    hold(sum(len(one.text) for one in parts) <= 8 * len(data) + 10_000, "more text than there was")
    hold(isinstance(prompt.model, str) and isinstance(prompt.tool_choice, str), "no text")
    hold(prompt.max_output is None or prompt.max_output >= 0, "a negative output")
    TOLD.silent_on(strings(body))


def described(prompt: Prompt) -> Any:
    """Return all that a prompt says, to be compared."""
    said = [
        (one.role, one.name, [(p.kind, p.text, p.name, p.id, repr(p.data)) for p in one.parts])
        for one in prompt.messages
    ]
    tools = [(tool.name, repr(tool.data)) for tool in prompt.tools]
    rest = (prompt.model, prompt.tool_choice, prompt.max_output, repr(prompt.settings))
    return said, tools, rest, prompt.server, prompt.stored, prompt.passing, prompt.features


def stream(data: bytes) -> None:
    """Every dialect folds any events: numbers that can be, short texts, twice the same."""
    given = value(data)
    dialect = dialects.find(_api(given))
    events = _held(given, "events")
    events = events if isinstance(events, list) else [events]
    once = _folded(dialect, events)
    hold(repr(once) == repr(_folded(dialect, events)), "two readings differ")
    for usage in (once, *(dialect.usage(event) for event in events[:20])):
        _sane(usage, len(data))
    TOLD.silent_on(strings(events))


def _folded(dialect: Any, events: Iterable[Any]) -> Usage:
    usage = Usage()
    for event in events:
        usage = dialect.fold(usage, event)
    return usage


def _sane(usage: Usage, size: int) -> None:
    numbers = ("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_long")
    for name in numbers:
        told = getattr(usage, name)
        hold(told is None or (type(told) is int and told >= 0), f"{name} is {type(told)}")
    texts = (usage.response_id, usage.response_model, usage.tier, *usage.finish_reasons)
    hold(all(isinstance(one, str) for one in texts), "no text")
    hold(len(usage.finish_reasons) <= size, "more reasons than bytes")


def count(data: bytes) -> None:
    """Components add up, and what was counted on from an earlier call is what is counted afresh."""
    given = value(data)
    api, body = _api(given), _held(given, "body")
    body = body if isinstance(body, dict) else {}
    STORE.clear()
    _, fresh = counter.measure(body, api=api)
    _adds_up(fresh)
    STORE.clear()
    for shorter in _shorter(body):
        _adds_up(counter.measure(shorter, api=api)[1])
    for _ in range(2):
        _, again = counter.measure(body, api=api)
        hold(
            again == fresh,
            f"{again.total} ± {again.error} after others, {fresh.total} ± {fresh.error} afresh",
        )
    _adds_up(counter.count(body, api=api, model="gpt-4o" if len(data) % 2 else None))
    TOLD.silent_on(strings(body))


def _shorter(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the body with less of its conversation, and with another middle."""
    for key in ("messages", "contents", "input"):
        told = body.get(key)
        if isinstance(told, list) and told:
            yield {**body, key: told[:-1]}
            yield {**body, key: [*told[: len(told) // 2], {"role": "user", "content": "other"}]}


def _adds_up(found: Any) -> None:
    hold(sum(found.components.values()) == found.total, "components do not add up")
    hold(all(type(one) is int and one >= 0 for one in found.components.values()), "a negative part")
    hold(found.error >= 0, "a negative bound")
    hold(len(found.details) <= counter.DETAILS, "too many details")


def section(data: bytes) -> None:
    """Sections lie in the text, nest, bear short names, and share its tokens without loss."""
    text = (
        data.decode("utf-8", "surrogatepass" if len(data) % 2 else "replace")
        if _utf8(data)
        else data.decode("latin-1")
    )
    found = sections.find(text)
    hold(found == sections.find(text), "two readings differ")
    hold(len(found) <= sections.MOST, "too many sections")
    hold([s.start for s in found] == sorted(s.start for s in found), "out of order")
    for at, one in enumerate(found):
        hold(0 <= one.start < one.end <= len(text), "outside the text")
        hold(len(one.name) <= sections.LONGEST_NAME, "a long name")
        for later in found[at + 1 :]:
            hold(later.start >= one.end or later.end <= one.end, "two sections cross")
    measure = ruler("o200k_base")
    lens = claims.Lens()
    tally = lens.spread(text, "user", measure, ("user", 0))
    hold(tally.total == measure.tokens(text)[0], "tokens were lost")
    if len(data) % 16 == 0:  # what costs more than its length shows itself in a long text
        sections.find(text * (400_000 // max(1, len(text)) + 1))
    TOLD.silent_on(iter([text] if len(text) >= 12 else []))


def _utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def refusal(data: bytes) -> None:
    """What an error says of a limit stands in it; no number is made up, nothing is raised."""
    given = value(data)
    status, code = _held(given, "status"), _held(given, "code")
    message, body = _held(given, "message"), _held(given, "body")
    error = SimpleNamespace(status_code=status, code=code, message=message, body=body)
    response = SimpleNamespace(response=body)
    for found, told in (
        (overflow.of_error(error), (message, body)),
        (overflow.of_error(response), (body,)),
        (
            overflow.read(status if type(status) is int else None, str(code), str(message)),
            (message,),
        ),
    ):
        if found is not None:
            digits = re.sub(r"\D", "", repr(told))
            hold(found.limit is None or 0 < found.limit < overflow.LARGEST, "an odd limit")
            hold(found.limit is None or str(found.limit) in digits, "a limit that nobody told")
            hold(found.tokens is None or 0 < found.tokens < 2 * overflow.LARGEST, "odd tokens")
    hold(repr(overflow.of_error(error)) == repr(overflow.of_error(error)), "two readings differ")
    TOLD.silent_on(strings(body))


# ── files of others ──────────────────────────────────────────────────────────────────────────────


def log(data: bytes) -> None:
    """A log of an agent gives records that add up, whatever its lines hold."""
    form = agent_log.shipped()[0]
    told = [_followed(form, data) for _ in range(2)]
    hold(repr(told[0][0]) == repr(told[1][0]), "two readings differ")
    records, problems = told[0]
    _records(records)
    _shown(problems)
    hold(len(records) <= data.count(b"\n") + 2, "more records than lines")


def _followed(form: Any, data: bytes) -> tuple[list[Record], Problems]:
    problems = Problems()
    follower = agent_log.Follower(form, "log", problems)
    records = [one for line in data.split(b"\n") for one in follower.feed(line)]
    return [*records, *follower.end()], problems


def otlp(data: bytes) -> None:
    """An export in JSON gives records that add up and can be written again."""
    told = []
    for _ in range(2):
        problems = Problems()
        told.append((list(otlp_json.export(data, problems, ("file", 1))), problems))
    hold(repr(told[0][0]) == repr(told[1][0]), "two readings differ")
    _records(told[0][0])
    _shown(told[0][1])
    otlp_json.is_export(data)


def trace_file(data: bytes) -> None:
    """A file of any bytes, packed or in protobuf, is read or refused in one line."""
    path = _written(data, "trace.jsonl")
    problems = Problems()
    records: list[Record] = []
    try:
        records += read_files([str(path)], problems)
    except InputError as error:
        _one_line(error)
    _records(records)
    _shown(problems)


def back_end(data: bytes) -> None:
    """Whatever Jaeger or Tempo answer: records, or one line that says what is wrong."""
    given = value(data)
    kind = "tempo" if _held(given, "kind") == "tempo" else "jaeger"
    answers = _held(given, "answers")
    replies = (
        [_reply(one) for one in answers]
        if isinstance(answers, list) and answers
        else [Answer(200, data)]
    )
    place = addresses.place(f"{kind}:http://127.0.0.1:1")
    ask = Replaying(
        place,
        backends.Wanted(0, 2 * backends.SECOND, session=str(_held(given, "session") or "")[:64]),
        quiet,
    )
    ask.replies = replies
    problems = Problems()
    records: list[Record] = []
    try:
        records += (tempo if kind == "tempo" else jaeger).read(ask, ask.wanted, problems)
    except InputError as error:
        _one_line(error)
    _records(records)
    _shown(problems)


class Replaying(Ask):
    """Answers what it is told to, over and over; everything above the wire is the real thing."""

    replies: list[Answer]
    asked = 0

    def _asked(self, target: str) -> Answer:
        self.asked += 1
        hold(self.asked < MOST_ASKED, "asks without an end")
        hold(target.isascii() and target.isprintable(), "an odd request line")
        return self.replies[(self.asked - 1) % len(self.replies)]


def _reply(one: Any) -> Answer:
    status, body = (one[0], one[1]) if isinstance(one, list) and len(one) == 2 else (200, one)
    told = body if isinstance(body, str) else json.dumps(body)
    return Answer(status if type(status) is int else 200, told.encode("utf-8", "surrogatepass"))


def scenario(data: bytes) -> None:
    """A scenario file is one, or is refused in one line."""
    path = _written(data, "fuzzed.yaml")
    try:
        found = loading.load(str(path))
    except InputError as error:
        _one_line(error)
    else:
        hold(found.steps and all(step.prompt for step in found.steps), "a scenario without prompts")
        hold(all(0 < step.timeout <= 86_400 for step in found.steps), "an odd timeout")


def loaded(data: bytes) -> None:
    """Files of settings: factors, limits, tokenizers, formats of logs; used, or refused in one line."""
    kind, content = data[:1], data[1:]
    if kind in b"FL":
        path = _written(content, "held.json" if len(content) % 2 or kind == b"F" else "held.toml")
        reader: Callable[[str], Any] = factor_file.read if kind == b"F" else configured.read
        try:
            reader(str(path))
        except ValueError as error:
            hold(len(str(error)) < 300, "a long message")
            TOLD.silent_on(iter(()))
    elif kind == b"T":
        try:
            made = files.load(_written(content, "qwen.tiktoken"))
        except TokentraceError as error:
            hold(len(str(error)) < 400, "a long message")
        else:
            hold(made.tokens("ready, steady")[0] > 0, "a tokenizer that counts nothing")
    else:
        try:
            form = agent_log.load(str(_written(content, "format.toml")))
        except InputError as error:
            _one_line(error)
        else:
            _records(_followed(form, seeds.LOG)[0])


def shown(data: bytes) -> None:
    """Whatever an export says, it is told on a page without foreign elements and in clean lines."""
    records = list(otlp_json.export(data.replace(b"@@", EVIL), Problems(), ("file", 1)))
    report = analysis.Report(analysis.sessions(records))
    page = Elements(html.render(report, priced=False))
    hold(not page.tags & FOREIGN, "an element of somebody's")
    hold(not page.handlers, "a handler or a link of somebody's")
    file = io.StringIO()
    text.render(report, Console(file=file, width=100, force_terminal=False))
    hold(not UNSAFE.search(file.getvalue()), "what no terminal should get")
    json.loads(report_json.render(report))
    markdown.render(report)


class Elements(HTMLParser):
    """The names of a page's elements, and what attributes could run or load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one."""
        self.tags.add(tag)
        for name, told in attrs:
            loads = name in {"src", "href", "action"} and not (told or "").startswith(
                ("#", "data:,")
            )
            if name.startswith("on") or loads:
                self.handlers.append(name)


# ── what leaves ──────────────────────────────────────────────────────────────────────────────────


def private(data: bytes) -> None:
    """A secret in the text of a prompt, an answer or an error is on no span and in no log line."""
    given = value(data)
    told = _held(given, "text")
    told = (told if isinstance(told, str) else "@@").replace("@@", SECRET)
    api = _api(given)
    state.templates.__init__()  # type: ignore[misc]
    EXPORTER.clear()
    body = seeds.body_of(told, _held(given, "more"))
    try:
        with tokentrace.llm_call(body, api=api) as call:
            if len(data) % 3 == 0:
                fail(told)
            call.response({"id": "1", "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    except HostError:
        hold(len(data) % 3 == 0, "an error that nobody raised")
    spans = EXPORTER.get_finished_spans()
    hold(len(spans) == (api not in SILENT), f"{len(spans)} spans")
    hold(not [1 for span in spans if SECRET in span.to_json()], "a secret on a span")
    TOLD.silent_on(iter([SECRET]))


class HostError(Exception):
    """The application's own."""


def fail(text: str) -> None:
    """Fail as an application does, with somebody's text in the error."""
    raise HostError(text)


# ── what they share ──────────────────────────────────────────────────────────────────────────────


def _api(given: Any) -> str:
    api = _held(given, "api")
    return api if isinstance(api, str) and api in DIALECTS else "generic"


def _held(given: Any, key: str) -> Any:
    return given.get(key) if isinstance(given, dict) else None


def _written(data: bytes, name: str) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def _one_line(error: InputError) -> None:
    for told in (*map(str, error.args), error.source, error.mend):
        hold(not UNSAFE.search(safe(told, most=1_000)), "what no terminal should get in a message")
        hold(len(told) < 2_000, "a long message")


def _shown(problems: Problems) -> None:
    hold(len(problems.kept) <= 50, "too many problems kept")
    for one in problems.kept:
        told = str(one)
        hold(not UNSAFE.search(safe(told, most=1_000)) and len(told) < 2_000, "an odd problem")


def _records(records: Iterable[Record]) -> None:
    """Records add up, and can be written as attributes that every exporter takes."""
    for record in records:
        if isinstance(record, CallRecord):
            hold(sum(record.components.values()) == record.tokens, "components do not add up")
        for name, told in schema.dump(record).items():
            hold(not UNSENT.search(name), "an odd name")
            hold(not isinstance(told, str) or not UNSENT.search(told), "an odd text")
            hold(type(told) is not int or -INT64 <= told < INT64, "an integer over 64 bits")


SECRET = "Zq7secretQz7"
EVIL = b"</script><img src=x onerror=alert(1)>'\\u001b[2J\\u202e="
FOREIGN = {"img", "iframe", "object", "embed", "base", "form", "frame", "audio", "video", "math"}
EXPORTER = InMemorySpanExporter()
FOLDER = Path()  # where files are written: set by whoever runs targets


@dataclass(frozen=True, slots=True)
class Target:
    """Something that is fuzzed.

    Attributes:
        run: takes an input; raises what it finds.
        seeds: inputs to begin with.
        words: what is put into inputs.
        longest: bytes of an input.
        json: inputs are changed in their structure.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[str, ...]
    longest: int = 4_096
    json: bool = True


TARGETS = {
    "parse": Target(parse, seeds.bodies, seeds.KEYS),
    "stream": Target(stream, seeds.streams, seeds.KEYS),
    "count": Target(count, seeds.bodies, seeds.KEYS),
    "section": Target(section, seeds.texts, seeds.MARKS, json=False),
    "refusal": Target(refusal, seeds.refusals, seeds.REFUSALS),
    "log": Target(log, seeds.logs, seeds.LOG_WORDS, 16_384, json=False),
    "otlp": Target(otlp, seeds.exports, seeds.FIELDS, 16_384),
    "trace_file": Target(trace_file, seeds.trace_files, seeds.FIELDS, 16_384, json=False),
    "back_end": Target(back_end, seeds.answers, seeds.FIELDS, 16_384),
    "scenario": Target(scenario, seeds.scenarios, seeds.YAML, json=False),
    "shown": Target(shown, seeds.exports, (*seeds.FIELDS, "@@"), 16_384),
    "private": Target(private, seeds.prompts, seeds.MARKS, 2_048),
    "loaded": Target(loaded, seeds.settings, seeds.SETTINGS, 8_192, json=False),
}


def ready() -> None:
    """Begin to trace into memory, with what the first call loads loaded."""
    from tokentrace.telemetry import exporting

    tokentrace.instrument(tracer_provider=exporting.in_memory(EXPORTER), guard=False)
    for name in ("o200k_base", "cl100k_base"):
        ruler(name).tokens("ready")
