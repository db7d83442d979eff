"""Learn Claude's factors, overheads and bounds from recorded requests with reported usage.

usage: learn_claude.py RECORDS.jsonl[.xz]

Each line is an object with ``api``, ``provider``, ``model``, ``request`` and ``input_tokens``. What
it prints goes by hand, rounded, into ``counting/rules/claude_table.py`` and ``claude_bounds.py``,
with the date. Factors minimise the relative absolute error (a few recordings are wrong, so squares
would follow them); each half of the records is judged by factors of the other half.
"""

from __future__ import annotations

import json
import lzma
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tokentrace import dialects, providers
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import Scope, claude
from tokentrace.counting.rules import claude_table as table
from tokentrace.counting.rules.claude_bounds import kind_of
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import ruler

NAMES = ("once", "turn", "text", "tools", "calls", "thinking")
PRIOR = (4.0, 3.0, 1.15, 1.15, 42.0, 29.0)
RULER = ruler("o200k_base")
ROUNDS = 80


def records(path: Path) -> Iterator[tuple]:
    """Yield (prompt, scope, tokens, id) of each request to a Claude model."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if not record["api"].startswith("anthropic."):
                continue
            body = {"model": record["model"], **record["request"]}
            prompt = dialects.find("anthropic.messages").parse(body)
            row = providers.find(prompt.model)[1]
            scope = Scope(RULER, Lens(), prompt.model, family=row.family if row else "")
            truths = {record["input_tokens"], *map(int, record.get("other_counts") or ())}
            yield prompt, scope, truths, record["id"]


def counted(prompt, scope) -> Tally:
    """Return what the rules in this tree say."""
    summed = Tally()
    for index, message in enumerate(prompt.messages):
        summed.add(claude.message(message, prompt.messages[:index], scope))
    return claude.finish(prompt, summed, scope)


def features(prompt) -> list[float] | None:
    """Return the terms of ``NAMES`` and the constant part; None for what is not plain enough."""
    kinds = {part.kind for part in prompt.parts}
    if prompt.server or prompt.schema or kinds & {"image", "file", "other", "reasoning"}:
        return None
    turns = (claude.framing(prompt.messages) - table.ONCE) / table.TURN
    text = sum(RULER.tokens(p.text + p.name)[0] for m in prompt.messages for p in m.parts)
    tools = sum(RULER.tokens(claude.definition(t.data))[0] for t in prompt.tools)
    calls = sum(p.kind == "result" for m in prompt.messages for p in m.parts)
    thinking = "thinking" in prompt.features and "adaptive" not in prompt.features
    return [1.0, turns, text, tools, calls, float(thinking)]


def hidden(prompt, scope) -> int:
    """Return the tokens of the hidden prompt for tools, which are Anthropic's own numbers."""
    forced = prompt.tool_choice.startswith(claude.FORCED)
    return table.tool_prompt(scope.model, forced=forced) if prompt.tools else 0


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a small system of equations by elimination with pivots."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(size):
        best = max(range(i, size), key=lambda j: abs(rows[j][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for j in range(size):
            if j != i and rows[i][i]:
                share = rows[j][i] / rows[i][i]
                rows[j] = [a - share * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[size] / row[i] for i, row in enumerate(rows)]


def fit(samples: list[tuple[list[float], float]]) -> list[float]:
    """Return the terms of least relative absolute error, drawn a little to ``PRIOR``."""
    terms = list(PRIOR)
    size = len(PRIOR)
    for _ in range(ROUNDS):
        matrix = [[1e-4 * (i == j) for j in range(size)] for i in range(size)]
        right = [1e-4 * value for value in PRIOR]
        for x, y in samples:
            scale = 1 / max(y, 60)
            off = abs(sum(a * b for a, b in zip(x, terms, strict=True)) - y) * scale
            weight = scale * scale / max(off, 3e-3)
            for i in range(size):
                right[i] += weight * x[i] * y
                for j in range(size):
                    matrix[i][j] += weight * x[i] * x[j]
        terms = solve(matrix, right)
    return terms


def factors(rows: list[tuple]) -> None:
    """Print the terms of each family, and the error of each half under the other's terms."""
    families = defaultdict(list)
    for prompt, scope, truths, name in rows:
        x, family = features(prompt), table.family(scope.model, scope.family)
        if x is not None and family is not None:
            y = min(truths) - hidden(prompt, scope)
            families[family.name].append((x, y, int(name, 16) % 2))
    for family, samples in sorted(families.items()):
        terms = fit([(x, y) for x, y, _ in samples])
        shown = ", ".join(f"{n} {v:.2f}" for n, v in zip(NAMES, terms, strict=True))
        errors = []
        for half in (0, 1):
            other = fit([(x, y) for x, y, side in samples if side != half])
            for x, y, side in samples:
                if side == half and y > 0:
                    guess = sum(a * b for a, b in zip(x, other, strict=True))
                    errors.append(100 * abs(guess - y) / y)
        print(f"{family} (n={len(samples)}): {shown}; error {statistics.median(errors):.1f} %")


def bounds(rows: list[tuple]) -> None:
    """Print the share of the total that held 95 and 98 of 100, and the coverage as shipped."""
    kinds = defaultdict(list)
    for prompt, scope, truths, _ in rows:
        tally = counted(prompt, scope)
        _, error = claude.judge(prompt, tally, scope)
        miss = min(abs(tally.total - truth) for truth in truths)
        kind = "server or media" if prompt.server or tally.error else kind_of(prompt, tally).kind
        kinds[kind].append((max(0, miss - 8) / max(1, tally.total), miss <= error))
    for kind, seen in sorted(kinds.items()):
        shares = sorted(share for share, _ in seen)
        at = [shares[min(len(shares) - 1, int(q * len(shares)))] for q in (0.95, 0.98)]
        held = sum(inside for _, inside in seen) / len(seen)
        print(f"{kind} (n={len(seen)}): 95 % {at[0]:.2f}, 98 % {at[1]:.2f}; covered {held:.3f}")


def main(argv: list[str]) -> None:
    """Print factors and bounds."""
    rows = list(records(Path(argv[0])))
    factors(rows)
    bounds(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
