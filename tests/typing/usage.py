"""How every public name may be used, for the type checker: nothing in here is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, assert_type

import tokentrace

# ── instrument ───────────────────────────────────────────────────────────────────────────────────

tokentrace.instrument()
tokentrace.instrument(
    guard=tokentrace.Guard(),
    service_name="agent",
    sdks=["openai"],
    sections=["core_goal", "history"],
    capture_content=False,
    redact=str.strip,
    exporter="otlp",
)
tokentrace.instrument(guard=False, sections=False)
tokentrace.uninstrument()
hooks: Any = tokentrace.status()["hooks"]


# ── sessions and turns ───────────────────────────────────────────────────────────────────────────

with tokentrace.session("conv-42", agent="devops", attributes={"tenant.id": "t1"}, guard=None):
    with tokentrace.turn():
        pass
    with tokentrace.turn(number=7):
        pass


async def colourless() -> None:
    """Sessions and turns are context managers of both colours."""
    async with tokentrace.session("conv-42", guard=False), tokentrace.turn():
        await asyncio.sleep(0)


@tokentrace.session(lambda conversation, **_: conversation, agent="devops")
async def handle(conversation: str, *, text: str) -> int:
    """Keep signature and result of what is decorated."""
    return len(conversation + text)


@tokentrace.session("fixed")
@tokentrace.turn()
def handle_here(text: str) -> int:
    """Decorate a plain function."""
    return len(text)


async def called() -> None:
    """Call what was decorated."""
    assert_type(await handle("c", text="t"), int)
    assert_type(handle_here("t"), int)


# ── components ───────────────────────────────────────────────────────────────────────────────────


@tokentrace.component("memory")
def recall(query: str) -> str:
    """Return a text."""
    return query


@tokentrace.component("memory")
async def recall_later(query: str) -> list[str]:
    """Return texts, later."""
    return [query]


@tokentrace.component("memory")
def recall_slowly(query: str) -> Iterator[str]:
    """Return texts one by one."""
    yield query


@tokentrace.component("memory")
async def recall_slowly_later(query: str) -> AsyncIterator[str]:
    """Return texts one by one, later."""
    yield query


assert_type(recall("q"), str)
assert_type(recall_slowly("q"), Iterator[str])
assert_type(tokentrace.tag("code_snippets", "text"), str)
assert_type(tokentrace.tag("documents", ["a", "b"]), list[str])


# ── assembly ─────────────────────────────────────────────────────────────────────────────────────


@tokentrace.assembly
def build(text: str) -> str:
    """Assemble without arguments."""
    return text


@tokentrace.assembly(name="context", budget=8_000)
async def build_later(text: str) -> str:
    """Assemble, later."""
    tokentrace.exclude("code.app", text, reason="exceeds available budget")
    tokentrace.exclude("code.lib", tokens=1_234)
    tokentrace.compressed("history", before=text, after=text[:10])
    tokentrace.compressed("history", before=1_000, after=200)
    return text


with tokentrace.assembly("context", budget=8_000):
    pass

assert_type(build("t"), str)


# ── counting ─────────────────────────────────────────────────────────────────────────────────────

body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
count = tokentrace.count(body, api="openai.chat")
tokentrace.count("a text", model="gpt-4o")
tokentrace.count(
    body, api="anthropic.messages", provider="bedrock", anchor=(body, {"input_tokens": 9})
)
assert_type(count, tokentrace.Count)
assert_type(count.total, int)
assert_type(count.components["system"], int)
assert_type(count.method, str)
assert_type(count.error, int)
assert_type(count.limit, int | None)
assert_type(count.utilization, float | None)
assert_type(count.headroom, int | None)
shares: list[tuple[str, str, int]] = [(d.component, d.name, d.tokens) for d in count.details]


# ── the guard ────────────────────────────────────────────────────────────────────────────────────


def shorten(request: dict[str, Any], report: tokentrace.LimitReport) -> dict[str, Any] | None:
    """Shorten by what the advice names."""
    cut = {finding.component for finding in tokentrace.advice(report)}
    return request if "history" in cut else None


def note(report: tokentrace.LimitReport) -> None:
    """Take note."""
    assert_type((report.message, report.forecast, report.decision), tuple[str, float | None, str])


guard = tokentrace.Guard(
    limit={"gpt-4o*": 100_000},
    thresholds=(0.8, 0.95),
    on_exceed=note,
    compress=shorten,
    components={"history": 20_000},
    reserve_output=True,
    forecast_turns=3,
    verify="near-limit",
    on_unknown="allow",
)
assert_type(guard.check(body, api="openai.chat"), tokentrace.LimitReport)
tokentrace.Guard(limit=8_000, on_exceed="raise")
tokentrace.Guard(limit=lambda model: 8_000 if model else None)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


def refused() -> int:
    """Catch what the guard raises."""
    try:
        return handle_here("t")
    except tokentrace.TokenLimitExceeded as error:
        assert_type(error.report, tokentrace.LimitReport)
        return error.report.count.total
    except tokentrace.TokentraceError:
        return 0


category: type[Warning] = tokentrace.TokenLimitWarning


# ── threads ──────────────────────────────────────────────────────────────────────────────────────

with ThreadPoolExecutor() as pool:
    assert_type(pool.submit(tokentrace.carry(handle_here), "t").result(), int)


# ── testing ──────────────────────────────────────────────────────────────────────────────────────

with tokentrace.testing.capture() as captured:
    handle_here("t")
assert_type(captured.calls[-1].components["history"], int)
