"""Judge and refit the numbers of makers without a public tokenizer, from recorded requests.

usage: learn_makers.py RECORDS.jsonl[.xz]

Each line is an object with ``api``, ``provider``, ``model``, ``request``, ``input_tokens`` and
``source``. For each row of ``counting/rules/makers.py`` it prints what the shipped numbers leave
over, the terms that fit best, and the error on each repository of terms fitted on the others alone. What it prints goes by hand, rounded, into that file, with the date.
For ``counting/rules/mistral.py`` it prints what each template leaves over, in the vocabulary at hand.
"""

from __future__ import annotations

import json
import lzma
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from learn_claude import solve
from tokentrace import count, dialects
from tokentrace.counting.rules import claude, claude_table, generic, makers, mistral
from tokentrace.counting.rules.makers import Maker, maker
from tokentrace.counting.text import ruler
from tokentrace.prompt import Prompt

APIS = ("bedrock.", "mistral.", "cohere.", "ollama.")
TERMS = ("text", "once", "user", "answer", "system", "tools", "prompt", "call")
RULER = ruler("o200k_base")
FREE = {"once", "prompt", "call"}  # what every maker has of its own
NOTHING = [1.0, 0.0, 0.0, 5.0, 0.0, 1.05, 0.0, 20.0]
ROUNDS = 40
PULL = 0.02  # of the starting terms, against a request's weight of about 1


@dataclass(frozen=True)
class Seen:
    """One recorded request: what was read, what it really had, what the rules say."""

    prompt: Prompt
    truths: frozenset[int]
    repository: str
    total: int
    bound: int

    def miss(self) -> int:
        """Return reported - counted, the nearest where recordings differ."""
        return min((truth - self.total for truth in self.truths), key=abs)


def records(path: Path) -> Iterator[Seen]:
    """Yield the requests of the file that these rules count."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if not record["api"].startswith(APIS) or claude_table.family(record["model"]):
                continue
            body = {"model": record["model"], **record["request"]}
            made = count(body, api=record["api"], provider=record["provider"])
            truths = {record["input_tokens"], *map(int, record.get("other_counts") or ())}
            prompt = dialects.find(record["api"]).parse(body)
            source = record["source"].partition(":")[0]
            yield Seen(prompt, frozenset(truths), source, made.total, made.error)


# ── the terms of a maker ─────────────────────────────────────────────────────────────────────────


def sizes(prompt: Prompt, made: Maker) -> tuple[list[float], float] | None:
    """Return what the terms are multiplied with, and the rest; None for what is not plain enough."""
    kinds = {part.kind for part in prompt.parts}
    odd = {generic.RAW, generic.DOCUMENTS} & prompt.features
    if (
        odd
        or prompt.server
        or prompt.schema
        or kinds & {"image", "file", "audio", "video", "other"}
    ):
        return None
    parts = [p for m in prompt.messages for p in m.parts if p.kind != "reasoning" or made.thought]
    text = sum(RULER.tokens(p.text)[0] for p in parts)
    roles = [generic.TURNS.get(m.role, "user") for m in prompt.messages if generic.is_turn(m)]
    tools = sum(RULER.tokens(claude.definition(t.data))[0] for t in prompt.tools)
    calls = [p for p in parts if p.kind in {"call", "result"}]
    rest = sum(RULER.tokens(p.name)[0] if p.name else 0 for p in calls)
    rest += made.digits * sum(makers.digits(p.text) for p in parts)
    turns = [float(roles.count(name)) for name in ("user", "answer", "system")]
    return [
        float(text),
        1.0,
        *turns,
        float(tools),
        float(bool(prompt.tools)),
        float(len(calls)),
    ], rest


def fit(rows: list[tuple], prior: list[float]) -> list[float]:
    """Return the terms of least relative absolute error, drawn a little to ``prior``."""
    terms, size = list(prior), len(prior)
    pulls = [PULL * (1e-3 if name in FREE else 10) for name in TERMS]
    for _ in range(ROUNDS):
        matrix = [[pulls[i] * (i == j) for j in range(size)] for i in range(size)]
        right = [pull * value for pull, value in zip(pulls, prior, strict=True)]
        for x, rest, y in rows:
            scale = 1 / (y + 20)
            off = abs(rest + sum(a * b for a, b in zip(x, terms, strict=True)) - y) * scale
            weight = scale * scale / max(off, 3e-3)
            for i in range(size):
                right[i] += weight * x[i] * (y - rest)
                for j in range(size):
                    matrix[i][j] += weight * x[i] * x[j]
        terms = solve(matrix, right)
    return terms


def judged(name: str, found: list[Seen]) -> None:
    """Print one maker: as shipped, the best terms, and repositories judged by the others."""
    made = maker(found[0].prompt.model)
    rows = []
    for one in found:
        measured = sizes(one.prompt, made)
        if measured is not None:
            rows.append((one.repository, (*measured, min(one.truths))))
    prior = [float(getattr(made, term)) for term in TERMS]
    print(f"{name}: {left(found)}")
    if not rows:
        return
    best = fit([row for _, row in rows], prior)
    print("   best: " + ", ".join(f"{t} {v:.2f}" for t, v in zip(TERMS, best, strict=True)))
    errors = []
    for repository in {repository for repository, _ in rows}:
        terms = fit([row for other, row in rows if other != repository], NOTHING)
        for own, (x, rest, y) in rows:
            if own == repository:
                errors.append(
                    100 * abs(rest + sum(t * v for t, v in zip(terms, x, strict=True)) - y) / y
                )
    print(f"   across repositories: median {statistics.median(errors):.1f} %, {spread(errors)}")


def left(found: list[Seen]) -> str:
    """Say what the shipped numbers leave over."""
    misses = [100 * abs(one.miss()) / max(1, min(one.truths)) for one in found]
    held = sum(abs(one.miss()) <= one.bound for one in found) / len(found)
    bounds = [100 * one.bound / max(1, min(one.truths)) for one in found]
    return (
        f"n={len(found)} of {len({one.repository for one in found})} repositories, median"
        f" {statistics.median(misses):.1f} %, {spread(misses)}, covered {held:.3f},"
        f" bound {statistics.median(bounds):.0f} %"
    )


def spread(values: list[float]) -> str:
    """Say what 90 of 100 keep."""
    return f"90 of 100 within {sorted(values)[int(0.9 * (len(values) - 1))]:.1f} %"


def main(argv: list[str]) -> None:
    """Print every maker and every template of Mistral's."""
    grouped: dict[str, list[Seen]] = defaultdict(list)
    for one in records(Path(argv[0])):
        model, api = one.prompt.model, one.prompt.api
        ours = mistral.ours(api, model)
        row = mistral.template(model).match if ours else maker(model).match
        grouped["mistral " + row if ours else row].append(one)
    for name, found in sorted(grouped.items()):
        if name.startswith("mistral "):
            print(f"{name}: {left(found)}")
        else:
            judged(name, found)


if __name__ == "__main__":
    main(sys.argv[1:])
