"""Measure how well counts follow what a provider reports: long sessions, new conversations, stored ones.

    python bench/learned.py [--seeds N] [--json]

The provider is simulated (``tests/conversations.py``): it cuts letters, digits and signs in its own way
and adds frames and a hidden prompt, so that no multiple of our vocabulary gives its numbers. Nothing is
sent. A session has 25 turns that grow to about 100,000 tokens, with an edit in the middle and one
compaction; ``branches`` asks a side question in each turn, ``restart`` loses the process's memory at
turn 13. ``new conversations`` have one call each; ``chained`` ones keep their context at the provider.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import table_of

import tokentrace
from conversations import Conversation, Provider, log, prose
from tokentrace import turns
from tokentrace.testing import capture

Call = tuple[int, int, int]  # counted before the call, ±, reported
LETTERS = (4, 5, 7)
OPENAI = "https://api.openai.com/v1"


def claude(talk: Conversation) -> dict[str, Any]:
    """Return a body as Anthropic takes it."""
    messages = [{"role": role, "content": text} for role, text in talk.texts]
    return {"max_tokens": 9, "system": talk.system, "messages": messages}


def gemini(talk: Conversation) -> dict[str, Any]:
    """Return a body as Gemini takes it."""
    roles = {"assistant": "model", "user": "user"}
    contents = [{"role": roles[role], "parts": [{"text": text}]} for role, text in talk.texts]
    return {"systemInstruction": {"parts": [{"text": talk.system}]}, "contents": contents}


SHAPES = {
    "claude": ("anthropic.messages", "claude-sonnet-4-5", claude,
               lambda n: {"id": "m", "usage": {"input_tokens": n, "output_tokens": 5}}),
    "gemini": ("gemini.generateContent", "gemini-2.5-pro", gemini,
               lambda n: {"usageMetadata": {"promptTokenCount": n, "candidatesTokenCount": 5}}),
}  # fmt: skip


def asked(shape: str, talk: Conversation, provider: Provider) -> Call:
    """Make one call; return our number and the provider's."""
    api, model, make, answer = SHAPES[shape]
    reported = provider.prompt([talk.system, *(text for _, text in talk.texts)])
    with tokentrace.llm_call(make(talk), api=api, model=model) as call:
        assert call.report is not None
        call.response(answer(reported))
    return call.report.count.total, call.report.count.error, reported


def session(shape: str, letters: int, seed: int, how: str) -> list[Call]:
    """Return the calls of a long session from the second turn on."""
    talk, provider, calls = Conversation(seed), Provider(letters=letters), []
    for turn in talk.turns():
        if how == "restart" and turn == 13:
            turns.reset()
        with tokentrace.session("long"), tokentrace.turn(number=turn):
            calls.append(asked(shape, talk, provider))
            if how == "branches":
                side = Conversation(seed)
                side.system = talk.system
                side.texts = [*talk.texts[:-1], ("user", f"Why {turn}?")]
                calls.append(asked(shape, side, provider))
    return calls[2 if how == "branches" else 1 :]


def newcomers(shape: str, letters: int, seed: int, calls: int = 60) -> list[Call]:
    """Return calls of which each begins a conversation, of one model."""
    chance, provider, made = random.Random(seed), Provider(letters=letters), []
    for number in range(calls):
        talk = Conversation(1_000 * seed + number)
        talk.system = prose(chance, chance.randint(300, 2_000))
        more = [prose(chance, chance.randint(100, 900)), log(chance, chance.randint(1, 60))]
        talk.texts = [("user", f"{number}: {chance.choice(more)}")]
        made.append(asked(shape, talk, provider))
    return made


def chained(reasoning: int, seed: int, most: int = 25) -> list[Call]:
    """Return calls over the Responses API, from the second on: each body holds the newest input only.

    What is reported is our count of the whole conversation; reasoning is output that is not kept.
    """
    talk, calls, said, previous = Conversation(seed), [], [], ""
    settings = {"model": "gpt-5", "instructions": talk.system}
    for turn in range(most):
        said.append({"role": "user", "content": talk.piece(turn)})
        whole = tokentrace.count({**settings, "input": said}, api="openai.responses")
        answer, thought = prose(talk.random, 450), talk.random.randint(0, reasoning)
        body = {**settings, "input": said[-1:]} | (
            {"previous_response_id": previous} if previous else {}
        )
        with tokentrace.llm_call(body, api="openai.responses", base_url=OPENAI) as call:
            assert call.report is not None
            previous = f"resp_{reasoning}_{seed}_{turn}"
            usage = {
                "input_tokens": whole.total,
                "output_tokens": tokentrace.count(answer, model="gpt-5").total + thought,
                "output_tokens_details": {"reasoning_tokens": thought},
            }
            call.response({"id": previous, "usage": usage})
        calls.append((call.report.count.total, call.report.count.error, whole.total))
        said.append({"role": "assistant", "content": [{"type": "output_text", "text": answer}]})
    return calls[1:]


def row(calls: list[Call]) -> dict[str, float]:
    """Return what stands in the table: shares in percent."""
    misses = sorted(100 * abs(own - reported) / reported for own, _, reported in calls)
    held = sum(abs(own - reported) <= error for own, error, reported in calls)
    return {
        "calls": len(calls),
        "longest": max(reported for _, _, reported in calls),
        "median": round(statistics.median(misses), 2),
        "p95": round(misses[int(0.95 * (len(misses) - 1))], 2),
        "covered": round(100 * held / len(calls), 1),
        "bound": round(statistics.median(100 * e / reported for _, e, reported in calls), 1),
    }


def worst(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the worst figure of each kind among sessions, each by itself."""
    kinds = {key: max(one[key] for one in found) for key in found[0]}
    return kinds | {"covered": min(one["covered"] for one in found)}


def fresh(work: Any, *args: Any) -> Any:
    """Return what ``work`` gives in a process that has learned nothing."""
    from tokentrace.counting.factors import FACTORS

    turns.reset()
    FACTORS.clear()
    with capture(guard=tokentrace.Guard(on_exceed=lambda _report: None)):
        return work(*args)


def rows(seeds: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield name and figures of each row."""
    pairs = [(letters, seed) for letters in LETTERS for seed in range(1, seeds + 1)]
    for shape in SHAPES:
        for how in ("session", "branches", "restart"):
            runs = [fresh(session, shape, letters, seed, how) for letters, seed in pairs]
            yield f"{shape}, {how}", row([call for run in runs for call in run])
            yield f"{shape}, {how}, the worst of {len(runs)}", worst([row(run) for run in runs])
    for shape in SHAPES:
        made = [fresh(newcomers, shape, letters, seed) for letters, seed in pairs]
        for name, part in (("the first 5", slice(0, 5)), ("from the 21st", slice(20, None))):
            found = [call for run in made for call in run[part]]
            yield f"{shape}, new conversations, {name}", row(found)
    for reasoning in (0, 2_000):
        chains = (fresh(chained, reasoning, seed) for seed in range(1, seeds + 1))
        name = f"responses, chained, to {reasoning} of reasoning"
        yield name, row([call for run in chains for call in run])


if __name__ == "__main__":
    table_of.command(
        "How well counts follow what is reported.",
        lambda seeds: dict(rows(seeds)),
        ("--seeds", 3, "conversations a tokenizer"),
        ">7",
    )
