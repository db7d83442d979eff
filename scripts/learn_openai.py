"""Learn from recorded requests how often the OpenAI rules are right, and what other hosts add.

usage: learn_openai.py RECORDS.jsonl[.xz] [DATE]

Each line is an object with ``id``, ``api``, ``provider``, ``model``, ``request``,
``input_tokens`` and ``source`` (repository and path). Writes ``counting/rules/openai_table.py`` and
``openai_host_table.py``: numbers by family, marks and terms only, nothing of any request. Prints what
a part of the records says about the rest.
"""

from __future__ import annotations

import json
import lzma
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tokentrace import dialects, providers
from tokentrace.counting.claims import Lens
from tokentrace.counting.rules import (
    Scope,
    gemini,
    openai,
    openai_appendix,
    openai_evidence,
    openai_hosts,
    openai_marks,
    openai_tools,
)
from tokentrace.counting.rules.openai_styles import STYLES, style
from tokentrace.counting.tally import Tally
from tokentrace.counting.text import ruler

TABLE = Path(openai.__file__).with_name("openai_table.py")
HOST_TABLE = TABLE.with_name("openai_host_table.py")
# Families of hosts: a glob over host, model and api (the first that matches counts), the factor on
# text, and where to begin: once, bare, message, tools, definition, call, schema. Vocabularies of 100,000
# tokens and more write English in about as many tokens as o200k_base, so the factor is not learned from
# short prompts. What is known of templates: ChatML (Qwen) and Llama 3 spend 5 tokens a message, Kimi
# 4, GLM and DeepSeek 2; Llama 3.1 and later open with a date, harmony (gpt-oss) with a text of its own.
ANY = (3, 0, 4, 100, 1.1, 12, 1)
LLAMA = (25, 5, 5, 130, 1.5, 10, 1)
GLM = (3, 0, 2, 102, 1.14, 11, 0)
DEEPSEEK = (1, 0, 2, 100, 1.2, 25, 0)
GROK = (150, 0, 4, 150, 1.1, 20, 1.5)
HOSTS = (
    ("azure*/*grok-4*", 1.0, (0, 0, 4, 130, 1.1, 12, 1.5)),
    ("*/*grok-4.3* responses", 1.0, (188, 0, 4, 30, 1.1, 20, 1.2)),
    ("*/*grok-4.3*", 1.0, GROK),
    ("*/*grok-4*non-reasoning*", 1.0, GROK),
    ("*/*grok-4*", 1.0, GROK),
    ("*/*grok-3*", 1.0, (3, 0, 4, 200, 1.1, 12, 1.5)),
    ("*/*grok-2*", 1.0, (2, 0, 4, 50, 1.1, 12, 1.5)),
    ("*/*grok-code*", 1.0, GROK),
    ("*/*kimi-k2.[5-9]*", 1.0, (4, 0, 4, 5, 1.0, 12, 0)),
    ("*/*kimi*", 1.0, (4, 0, 4, 8, 1.2, 12, 0)),
    ("*/*deepseek-v[4-9]* responses", 1.0, (80, 0, 2, 200, 1.2, 30, 0)),
    ("*/*deepseek-v[4-9]*", 1.0, (1, 0, 2, 200, 1.2, 30, 0)),
    ("*/*deepseek-v3.2*", 1.0, (1, 0, 2, 200, 1.2, 30, 0)),
    ("*/*deepseek-*v3.1*", 1.0, DEEPSEEK),
    ("*/*deepseek-*v3*", 1.0, DEEPSEEK),
    ("*/*deepseek-r1*", 1.0, (1, 0, 2, 0, 0.5, 25, 0)),
    ("deepseek/deepseek*", 1.0, (1, 0, 2, 150, 1.2, 30, 0)),
    ("*/*deepseek*", 1.0, DEEPSEEK),
    ("openrouter/*llama-3.2*", 1.0, (550, 0, 5, 130, 1.5, 10, 1)),
    ("*/*llama-guard*", 1.0, (185, 0, 5, 100, 1.1, 10, 0)),
    ("*/*llama-4*", 1.0, (5, 0, 4, 550, 1.5, 10, 0)),
    ("*/*llama-3.[1-9]*", 1.0, LLAMA),
    ("*/*llama3.[1-9]*", 1.0, (15, 5, 5, 80, 1.1, 10, 0)),
    ("*/*llama*", 1.0, (5, 0, 5, 80, 1.1, 10, 0)),
    ("*/*qwen*coder*", 1.0, (3, 0, 5, 190, 1.3, 20, 0)),
    ("*/*qwen*2.5*", 1.0, (3, 22, 5, 88, 1.1, 12, 0)),
    ("*/*qwen*", 1.0, (3, 0, 5, 88, 1.1, 12, 0)),
    ("*/*mistral-small3*", 1.03, (2, 350, 4, 20, 1.1, 8, 0)),
    ("*/*m[ia][xs]tral*", 1.03, (2, 0, 4, 10, 1.1, 8, 0)),
    ("*/*claude*", 1.15, (5, 0, 3, 400, 1.3, 45, 1)),
    ("*/*glm*", 1.0, GLM),
    ("*/*gpt-oss*", 1.0, (63, 0, 4, 10, 1.0, 8, 1.5)),
    ("*/*sonar*", 1.0, (0, 0, 0, 50, 1.1, 12, 1)),
    ("*", 1.0, ANY),
)
LEAST = (0, 0, 0, 0, 0.7, 0, 0)
MOST = (800, 400, 12, 1_000, 2.0, 120, 2.0)
WEIGHT = 0.008  # of where to begin, against a request's of about 1 / (its tokens + 20)
ROUNDS = 30
# Bounds: what held of 100 residuals (one is let go from ten on), the shares that are tried, the tokens
# that they are at least, and what holds where fewer than a few were seen.
QUANTILE, ONE = 0.95, 10
SHARES = (0.1, 0.12, 0.15, 0.2, 0.25, 0.3)
FLOORS = (8, 10, 20)
UNSEEN = ((60, 0.3), (60, 0.3), (250, 0.4))
FEW = 2


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
    claude: bool

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
    scope = openai_hosts.measured(scope)
    summed = Tally()
    for index, message in enumerate(prompt.messages):
        summed.add(openai.message(message, prompt.messages[:index], scope))
    tokens = openai.finish(prompt, summed.copy(), scope).total
    truths = frozenset({record["input_tokens"], *map(int, record.get("other_counts") or ())})
    repository = record.get("source", "").partition(":")[0]
    claude = known is not None and known.family.startswith("claude")
    fifth = int(record["id"], 16) % 5
    return Seen(prompt, scope, summed, tokens, truths, fifth, repository, claude)


Row = tuple[tuple[float, ...], int, Seen]

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
    """Return the first glob of ``HOSTS`` that host, model and api match."""
    named = openai_hosts.named(one.scope.provider, one.scope.model, one.scope.api)
    return next(name for name, *_ in HOSTS if fnmatchcase(named, name))


def sizes(one: Seen) -> tuple[float, ...]:
    """Return what the terms are multiplied with."""
    tally = one.summed.copy()
    tally.add(openai_appendix.counted(one.prompt, style(""), one.scope.ruler, ""))
    words = openai_hosts.words(one.prompt, tally, one.scope)
    return openai_hosts.measures(one.prompt, tally, words.total, host(one))


def fit(rows: list[Row], factor: float, prior: tuple[float, ...]) -> tuple[float, ...]:
    """Return the terms that minimise the relative absolute error, one after another."""
    terms = [factor, *prior]
    for _ in range(ROUNDS):
        for at in range(1, len(terms)):
            pairs = [
                (terms_at(terms, at, x, y), abs(x[at]) / (y + 20)) for x, y, _ in rows if x[at]
            ]
            usual = max((abs(x[at]) for x, _, _ in rows), default=1) or 1
            pairs.append((prior[at - 1], WEIGHT * min(usual, 50)))
            terms[at] = weighted_median(pairs)
    return tuple(round(term, 2) for term in terms)


def terms_at(terms: list[float], at: int, x: tuple[float, ...], y: int) -> float:
    """Return the value of one term with which a row would be right, the others as they are."""
    rest = sum(t * v for i, (t, v) in enumerate(zip(terms, x, strict=True)) if i != at)
    return min(MOST[at - 1], max(LEAST[at - 1], (y - rest) / x[at]))


def weighted_median(pairs: list[tuple[float, float]]) -> float:
    """Return the value at half of the weight."""
    pairs.sort()
    half = sum(weight for _, weight in pairs) / 2
    for value, weight in pairs:
        half -= weight
        if half <= 0:
            return value
    return pairs[-1][0]


def others(found: list[Seen]) -> list[Row]:
    """Return the requests to other makers' models, whose whole prompt the body tells."""
    return [
        (sizes(one), min(one.truths), one)
        for one in found
        if not openai_marks.kin(one.scope)
        and not gemini.ours(one.prompt.api, one.prompt.model)
        and not one.claude
        and not one.summed.components.get("media")
        and not one.prompt.server
        and all(map(openai_tools.definition, one.prompt.tools))
    ]


def hosts(rows: list[Row]) -> list[tuple]:
    """Return the rows of all host families: glob, terms, bounds, number."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[host(row[2])].append(row)
    grouped["*"] = rows
    return [learned(name, grouped[name], factor, prior) for name, factor, prior in HOSTS]


def learned(name: str, held: list[Row], factor: float, prior: tuple[float, ...]) -> tuple:
    """Return the row of one family."""
    terms = fit(held, factor, prior)
    schemas = sum(one.prompt.schema is not None for _, _, one in held)
    sides: tuple[list, ...] = tuple([] for _ in UNSEEN)
    for x, _, one in held:
        guess = sum(t * v for t, v in zip(terms, x, strict=True))
        miss = min(abs(truth - guess) for truth in one.truths)
        side = sides[openai_hosts.kind(one.prompt)]
        side.append((max(0.0, miss - slack(one, x, terms, schemas)), guess))
    plain, answered, tooled = sides
    pooled = [plain, answered if len(answered) >= FEW else [*plain, *answered], tooled]
    return (name, terms, tuple(map(bounded, pooled, UNSEEN, FLOORS)), (len(held), schemas))


def slack(one: Seen, x: tuple[float, ...], terms: tuple[float, ...], schemas: int) -> float:
    """Return what `openai_hosts.bound` gives besides a row's own bound."""
    asked = openai_hosts.ASKED * (openai_hosts.JSON in one.prompt.features)
    hidden = x[5] + terms[4] if one.prompt.tool_choice == "none" else 0.0
    return asked + hidden + (x[-1] if schemas < openai_hosts.KNOWN else 0.0)


def bounded(
    missed: list[tuple[float, float]], unseen: tuple[int, float], floor: int
) -> tuple[int, float]:
    """Return ± tokens and ± share that held, with a margin that is wider where few were seen.

    Of the pairs that hold, the one with the smallest bound, and a small share for long prompts.
    """
    number = len(missed)
    if number < FEW:
        return unseen
    margin = 1 + 2 / math.sqrt(number)
    at = min(math.ceil(QUANTILE * number) - 1, number - 1 - (number >= ONE))
    tried = []
    for share in SHARES:
        left = sorted(max(0.0, miss * margin - share * guess) for miss, guess in missed)
        fixed = max(floor, unseen[0] // (2 * number), math.ceil(left[at]))
        sizes = sorted((fixed + share * guess) / max(1.0, guess) for _, guess in missed)
        tried.append((sizes[number // 2] + share / 2, fixed, share))
    _, fixed, share = min(tried)
    return fixed, share


def foreseen(rows: list[Row]) -> None:
    """Print how bounds hold: in-sample, on a repository left out, and on a family left out.

    A family that is left out counts by the row for what nobody knows.
    """
    told: dict[str, list[tuple[bool, float, float]]] = defaultdict(list)
    made = {name: row for name, *row in hosts(rows)}
    told["in-sample"] = [held(row, made[host(row[2])]) for row in rows]
    for name in sorted({one.repository for _, _, one in rows}):
        made = {n: r for n, *r in hosts([row for row in rows if row[2].repository != name])}
        ours = [row for row in rows if row[2].repository == name]
        told["each repository from the others"] += [held(row, made[host(row[2])]) for row in ours]
    for name in sorted({host(one) for _, _, one in rows} - {"*"}):
        known = [row for row in rows if host(row[2]) != name]
        _, *last = learned(*HOSTS[-1][:1], known, *HOSTS[-1][1:])
        ours = [row for row in rows if host(row[2]) == name]
        told["each family by the last row of the others"] += [held(row, last) for row in ours]
    for name, seen in told.items():
        wide = sorted(bound for _, bound, _ in seen)[len(seen) // 2]
        off = sorted(miss for _, _, miss in seen)[len(seen) // 2]
        print(
            f"hosts, {name}: {sum(within for within, _, _ in seen)} of {len(seen)} within the bound, "
            f"median bound {wide:.1f} %, median error {off:.1f} %"
        )


def held(row: Row, made: list) -> tuple[bool, float, float]:
    """Return whether a bound held, and bound and error in percent of the truth."""
    x, y, one = row
    terms, sides, (_, schemas) = made
    guess = sum(t * v for t, v in zip(terms, x, strict=True))
    fixed, share = sides[openai_hosts.kind(one.prompt)]
    bound = fixed + slack(one, x, terms, schemas) + share * guess
    miss = min(abs(guess - truth) for truth in one.truths)
    return miss <= bound, 100 * bound / max(1, y), 100 * miss / max(1, y)


def evidence_text(table: dict, number: int, date: str) -> str:
    """Return the text of the module of evidence."""
    lines = [
        f'"""Evidence of the OpenAI rules, from {number} recorded requests with reported usage.',
        "",
        "Written by ``scripts/learn_openai.py``; do not edit. `SEEN`: by api and family, then by marks",
        "(`openai_marks`), how many requests were seen and how many of them were counted exactly.",
        '"""',
        "",
        f'LEARNED = "{date}"',
        "",
        "SEEN: dict[str, dict[str, tuple[int, int]]] = {",
    ]
    for name, marks in table.items():
        lines.append(f'    "{name}": {{')
        lines += [f'        "{key}": {value},' for key, value in marks.items()]
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


def hosts_text(rows: list[tuple], number: int, date: str) -> str:
    """Return the text of the module of host families."""
    lines = [
        f'"""Families of models behind OpenAI\'s form, from {number} recorded requests with reported usage.',
        "",
        "Written by ``scripts/learn_openai.py``; do not edit. `HOSTS`: rows of `openai_hosts.Family`.",
        '"""',
        "",
        f'LEARNED = "{date}"',
        "",
        "Bound = tuple[int, float]",
        "Row = tuple[str, tuple[float, ...], tuple[Bound, Bound, Bound], tuple[int, int]]",
        "",
        "HOSTS: tuple[Row, ...] = (",
    ]
    for row in rows:
        lines += ["    (", *(f"        {value!r}," for value in row), "    ),"]
    return "\n".join([*lines, ")", ""]).replace("'", '"').replace('OpenAI"s', "OpenAI's")


def main(arguments: list[str]) -> None:
    """Learn, print, write."""
    found = list(records(Path(arguments[0])))
    compatible = others(found)
    table, rows = evidence(found), hosts(compatible)
    for apart in ("fifth", "repository"):
        crossed(found, apart)
    foreseen(compatible)
    for row in rows:
        print(row)
    date = arguments[1] if len(arguments) > 1 else "undated"
    TABLE.write_text(evidence_text(table, len(found), date), encoding="utf-8")
    HOST_TABLE.write_text(hosts_text(rows, len(compatible), date), encoding="utf-8")


if __name__ == "__main__":
    if not STYLES or len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
