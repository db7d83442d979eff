"""Learn from recorded requests how often the OpenAI rules are right, and what other hosts add.

usage: learn_openai.py RECORDS.jsonl[.xz] [DATE]

Each line is an object with ``id``, ``api``, ``provider``, ``model``, ``request``,
``input_tokens`` and ``source`` (repository and path). Writes ``counting/rules/openai_table.py``: numbers by family and marks only,
nothing of any request. Prints what a part of the records says about the rest.
"""

from __future__ import annotations

import json
import lzma
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tokentrace import dialects, providers
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import (
    Scope,
    openai,
    openai_appendix,
    openai_evidence,
    openai_hosts,
    openai_marks,
)
from tokentrace.counting.rules.openai_styles import STYLES, style
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import ruler

TABLE = Path(openai.__file__).with_name("openai_table.py")
HOSTS = (
    "azure/grok-4", "grok-4.3", "grok-4", "grok-3", "grok-code", "grok", "kimi",
    "deepseek/", "deepseek", "llama", "qwen", "mistral", "claude", "gemini", "glm", "gpt-oss",
    "sonar", "gpt-", "",
)  # fmt: skip
LEAST, MOST = (0.8, 0, 0, 0, 0, 0), (1.5, 1000, 12, 1000, 8, 200)
PRIOR = (1.0, 3.0, 4.0, 30.0, 1.0, 12.0)
WEIGHT = 0.01
ROUNDS = 80
QUANTILE = 0.97
WIDEST = 1.5


@dataclass(frozen=True)
class Seen:
    """One recorded request: what was read, the measures of a host's terms, and the truth."""

    prompt: object
    scope: Scope
    summed: Tally
    tokens: int
    truths: frozenset[int]
    fifth: int
    repository: str

    def miss(self) -> int:
        """Return reported - counted, the nearest where recordings differ."""
        return min((truth - self.tokens for truth in self.truths), key=abs)


def records(path: Path) -> Iterator[Seen]:
    """Yield the requests of the file that speak OpenAI's form."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            api = record["api"].replace("openai_compat.", "openai.")
            if api.startswith(("openai.chat", "openai.responses")):
                yield seen(record, api)


def seen(record: dict, api: str) -> Seen:
    """Count one record with the rules in this tree."""
    prompt = dialects.find(api).parse({"model": record["model"], **record["request"]})
    known = providers.find(prompt.model, record["provider"])[1]
    name = known.tokenizer if known and known.tokenizer else "o200k_base"
    scope = Scope(ruler(name), Lens(), prompt.model, prompt.api, record["provider"])
    summed = Tally()
    for index, message in enumerate(prompt.messages):
        summed.add(openai.message(message, prompt.messages[:index], scope))
    tokens = openai.finish(prompt, summed.copy(), scope).total
    truths = frozenset({record["input_tokens"], *map(int, record.get("other_counts") or ())})
    repository = record.get("source", "").partition(":")[0]
    return Seen(prompt, scope, summed, tokens, truths, int(record["id"], 16) % 5, repository)


# ── how often the rules were right ───────────────────────────────────────────────────────────────


def evidence(found: list[Seen]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return (seen, exact) by api and family, then by marks, of OpenAI's own answers."""
    table: dict = defaultdict(lambda: defaultdict(lambda: (0, 0)))
    for one in found:
        if one.scope.provider != "openai" or not openai_marks.kin(one.scope):
            continue
        row, marks = openai_evidence.place(one.prompt, one.scope)
        number, exact = table[row][marks]
        table[row][marks] = (number + 1, exact + (one.miss() == 0))
    return {row: dict(sorted(marks.items())) for row, marks in sorted(table.items())}


def crossed(found: list[Seen], apart: str) -> None:
    """Print what labels learned on all other groups are worth on each, by api."""
    groups: dict = defaultdict(list)
    for one in found:
        if one.scope.provider == "openai" and openai_marks.kin(one.scope):
            groups[getattr(one, apart)].append(one)
    labelled, right = Counter(), Counter()
    for group, ours in groups.items():
        others = [one for name, held in groups.items() if name != group for one in held]
        known = openai_evidence.labels(evidence(others))
        for one in ours:
            if openai_evidence.place(one.prompt, one.scope) in known:
                labelled[one.prompt.api] += 1
                right[one.prompt.api] += one.miss() == 0
    for api, number in labelled.items():
        print(f"{api}, each {apart} from the others: {right[api]} of {number} labels right")


# ── what other hosts add ─────────────────────────────────────────────────────────────────────────


def host(one: Seen) -> str:
    """Return the first of ``HOSTS`` that host and model hold."""
    named = openai_hosts.named(one.scope.provider, one.scope.model)
    return next(name for name in HOSTS if name in named)


def sizes(one: Seen) -> tuple[float, ...]:
    """Return what the terms are multiplied with."""
    tally = one.summed.copy()
    rule = style(one.scope.model)
    rule = rule if rule.name == "other" else replace(rule, name="other")
    tally.add(openai_appendix.counted(one.prompt, rule, one.scope.ruler, ""))
    return openai_hosts.measures(one.prompt, tally)


def fit(rows: list[tuple[tuple[float, ...], int]]) -> tuple[float, ...]:
    """Return the terms that minimise the relative absolute error, one after another."""
    terms = list(PRIOR)
    for _ in range(ROUNDS):
        for at in range(len(terms)):
            pairs = [(terms_at(terms, at, x, y), abs(x[at]) / (y + 20)) for x, y in rows if x[at]]
            pairs.append((PRIOR[at], WEIGHT if at != 1 else WEIGHT / 20))
            terms[at] = weighted_median(pairs)
    return tuple(round(term, 3 if at in {0, 4} else 0) for at, term in enumerate(terms))


def terms_at(terms: list[float], at: int, x: tuple[float, ...], y: int) -> float:
    """Return the value of one term with which a row would be right, the others as they are."""
    rest = sum(t * v for i, (t, v) in enumerate(zip(terms, x, strict=True)) if i != at)
    return min(MOST[at], max(LEAST[at], (y - rest) / x[at]))


def weighted_median(pairs: list[tuple[float, float]]) -> float:
    """Return the value at half of the weight."""
    pairs.sort()
    half = sum(weight for _, weight in pairs) / 2
    for value, weight in pairs:
        half -= weight
        if half <= 0:
            return value
    return pairs[-1][0]


def hosts(found: list[Seen]) -> list[tuple]:
    """Return the rows of all host families: name, terms, bounds, number."""
    grouped: dict[str, list] = defaultdict(list)
    for one in found:
        if not openai_marks.kin(one.scope) and not one.summed.components.get("media"):
            name = host(one)
            row = (sizes(one), min(one.truths), one)
            grouped[name].append(row)
            if name:
                grouped[""].append(row)
    rows = []
    for name in HOSTS:
        held = grouped[name]
        terms = fit([(x, y) for x, y, _ in held]) if name != "gpt-" else (1.0, 0, 0, 0, 1.0, 0)
        rows.append((name, terms, *bounds(held, terms, name), len(held)))
    return rows


def bounds(held: list, terms: tuple[float, ...], name: str) -> tuple[float, float]:
    """Return the shares of the estimate that bound it, without and with tools."""
    shares: tuple[list[float], list[float]] = ([0.08], [0.08])
    for x, y, one in held:
        guess = one.tokens if name == "gpt-" else sum(t * v for t, v in zip(terms, x, strict=True))
        off = max(0.0, abs(y - guess) - openai_hosts.LEAST) / max(1.0, guess)
        shares[bool(one.prompt.tools)].append(off)
    return tuple(
        min(WIDEST, max(s[0], math.ceil(100 * sorted(s)[math.ceil(QUANTILE * (len(s) - 1))]) / 100))
        for s in shares
    )


def written(table: dict, rows: list[tuple], number: int, date: str) -> str:
    """Return the text of the table module."""
    lines = [
        f'"""Evidence of the OpenAI rules, from {number} recorded requests with reported usage.',
        "",
        "Written by ``scripts/learn_openai.py``; do not edit. `SEEN`: by api and family, then by marks",
        "(`openai_marks`), how many requests were seen and how many of them were counted exactly.",
        "`HOSTS`: rows of `openai_hosts.Family`.",
        '"""',
        "",
        f'LEARNED = "{date}"',
        "",
        "HOSTS: tuple[tuple[str, tuple[float, ...], float, float, int], ...] = (",
        *(f"    {row!r}," for row in rows),
        ")",
        "",
        "SEEN: dict[str, dict[str, tuple[int, int]]] = {",
    ]
    for name, marks in table.items():
        lines.append(f'    "{name}": {{')
        lines += [f'        "{key}": {value},' for key, value in marks.items()]
        lines.append("    },")
    return "\n".join([*lines, "}", ""]).replace("'", '"')


def main(arguments: list[str]) -> None:
    """Learn, print, write."""
    found = list(records(Path(arguments[0])))
    table, rows = evidence(found), hosts(found)
    for apart in ("fifth", "repository"):
        crossed(found, apart)
    for row in rows:
        print(row)
    date = arguments[1] if len(arguments) > 1 else "undated"
    TABLE.write_text(written(table, rows, len(found), date), encoding="utf-8")


if __name__ == "__main__":
    if not STYLES or len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
