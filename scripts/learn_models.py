"""Write the table of models from litellm's model file.

usage: learn_models.py NEWEST.whl [OLDER.whl ...] > src/tokentrace/providers/data/models.txt

Each argument is a wheel of litellm (``pip download --no-deps litellm==1.110.2``, in an environment
of its own), or a JSON file of that name; nothing is imported from it, and nothing is downloaded here.
Names that the newest file has dropped are filled in from the older ones: a retired name is still
asked for. On stderr it says how much was taken, and where the rows of OpenAI and Anthropic, which
are written by hand, disagree with the source; the same stands in the file as comments.

What is taken: models for chat, responses, completions and embeddings with a ``max_input_tokens``, of
the providers in ``PROVIDERS``, and Gemini's for images; ``max_tokens`` alone is not, because it means now the one, now the other.
Of a provider's regions the plainest entry holds. An output as large as the limit says nothing and is
left out. A host's row of a model that a hand-written row knows stands only where the source itself
tells host and maker apart. Models that no maker serves, or of which hosts take more than the maker
does, also get the largest number of all hosts: none takes more than the model, and many take less. ``ASKED`` hosts are there for that alone. Ollama's own entries are left out but for its cloud: what a local server takes
is what its ``num_ctx`` says.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from tokentrace import providers
from tokentrace.providers import generated, sharing

FILE = "model_prices_and_context_window_backup.json"
MODES = {"chat", "responses", "completion", "embedding"}
PAINTING = "image_generation"  # Gemini's image models are asked as its others are
WIDTH = 100
LARGEST = 2**31

# litellm's names of providers, as globs, by ours; the first that matches holds.
PROVIDERS = (
    ("openai", "openai"), ("text-completion-openai", "openai"), ("anthropic", "anthropic"),
    ("azure", "azure"), ("azure_*", "azure"), ("bedrock*", "bedrock"), ("amazon_nova", "bedrock"),
    ("vertex_ai*", "vertex"), ("gemini", "gemini"), ("mistral", "mistral"),
    ("*codestral", "mistral"), ("cohere*", "cohere"), ("deepseek", "deepseek"), ("xai", "xai"),
    ("groq", "groq"), ("together_ai", "together"), ("openrouter", "openrouter"),
    ("perplexity", "perplexity"), ("moonshot", "moonshot"), ("zai", "zai"), ("cerebras", "cerebras"),
    ("fireworks_ai*", "fireworks"), ("databricks", "databricks"), ("dashscope", "dashscope"),
    ("ollama", "ollama.com"), ("cloudflare", "cloudflare"), ("snowflake", "snowflake"),
    ("deepinfra", "deepinfra"), ("vercel_ai_gateway", "vercel-gateway"), ("watsonx", "watsonx"),
)  # fmt: skip
# A name without a version, for which the deployment decides.
BY_DEPLOYMENT = {("azure", "gpt-3.5-turbo")}
ASKED = (
    "ai21", "crusoe", "hyperbolic", "lambda_ai", "meta_llama", "minimax", "nebius", "novita", "nscale",
    "ovhcloud", "sambanova", "scaleway", "wandb",
)  # fmt: skip
BY_HAND = (providers.OPENAI, providers.ANTHROPIC)
NAME = re.compile(r"[\w.+~-]{2,80}", re.ASCII)
MEANINGLESS = {"container"}
# What a host's catalogue says where nobody filled it in: of image models, of 128k models alike.
BLANKS = {("fireworks", 4_096)}


class Entry(NamedTuple):
    """One entry of a model file, in our names."""

    provider: str
    name: str
    numbers: tuple[int, str]


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a release's name and its model file."""
    if path.suffix != ".whl":
        return path.stem, json.loads(path.read_text(encoding="utf-8"))
    with zipfile.ZipFile(path) as wheel:
        inner = next(name for name in wheel.namelist() if name.endswith(FILE))
        return " ".join(path.name.split("-")[:2]), json.loads(wheel.read(inner))


def entries(models: dict[str, Any]) -> Iterator[Entry]:
    """Yield what is taken of a model file, the plainest entry of each name first."""
    for key in sorted(models, key=lambda key: (key.count("/"), len(key), key)):
        row = models[key]
        provider, numbers = ours(str(row.get("litellm_provider"))), numbers_of(key, row)
        if not provider or not numbers or (provider == "ollama.com" and "-cloud" not in key):
            continue
        name = named(key)
        blank = name in MEANINGLESS or (provider, numbers[0]) in BLANKS
        if NAME.fullmatch(name) and not blank:
            yield Entry(provider, name, numbers)


def ours(theirs: str) -> str:
    """Return our name of a provider, empty for one that is not taken."""
    found = (name for glob, name in PROVIDERS if fnmatchcase(theirs, glob))
    return next(found, theirs if theirs in ASKED else "")


def numbers_of(key: str, row: dict[str, Any]) -> tuple[int, str] | None:
    """Return an entry's limit and its output, None where there is no limit."""
    limit, output = (whole(row.get(f"max_{side}_tokens")) for side in ("input", "output"))
    painting = row.get("mode") == PAINTING and "gemini" in key
    if not limit or not (painting or row.get("mode") in MODES):
        return None
    if row["mode"] == "embedding":
        return limit, generated.EMBEDDING
    return limit, str(output) if 0 < output < limit else "-"


def whole(number: Any) -> int:
    """Return a number of tokens, which some entries write with a point; 0 for anything else."""
    usable = isinstance(number, int | float) and 0 < number < LARGEST
    return int(number) if usable else 0


def named(key: str) -> str:
    """Return the name under which an entry is looked up."""
    return generated.unvended(providers.plain(key))


def by_hand(name: str) -> providers.Model | None:
    """Return the hand-written row of a name."""
    return providers.by_hand(name)[1]


# ── what goes into the file ──────────────────────────────────────────────────────────────────────

Block = dict[str, tuple[int, str]]


def blocks_of(models: dict[str, Any]) -> dict[str, Block]:
    """Return the entries of a model file by provider and name."""
    blocks: dict[str, Block] = defaultdict(dict)
    for entry in entries(models):
        blocks[entry.provider].setdefault(entry.name, entry.numbers)
    return blocks


def filled(releases: list[tuple[str, dict[str, Block]]]) -> dict[str, dict[str, tuple[str, Any]]]:
    """Return release and numbers by provider and name: the newest release that has them."""
    whole: dict[str, dict[str, tuple[str, Any]]] = defaultdict(dict)
    for release, blocks in releases:
        for provider, block in blocks.items():
            for name, numbers in block.items():
                whole[provider].setdefault(name, (release, numbers))
    return whole


def without_hand_written(whole: dict[str, dict[str, tuple[str, Any]]]) -> None:
    """Take out what rows written by hand know, but for hosts that the source tells apart."""
    makers = {maker.name: dict(whole[maker.name]) for maker in BY_HAND}
    for provider, block in whole.items():
        for name, (_, numbers) in tuple(block.items()):
            maker, row = providers.by_hand(name)
            if row is None:
                continue
            said = makers.get(maker.name, {}).get(name)
            ours = providers.limit(row).tokens or 0
            told = (ours, ours - (row.output or 0), said[1][0] if said else ours)
            same = any(abs(numbers[0] - tokens) <= 1 for tokens in told)
            if provider in makers or said is None or same or (provider, name) in BY_DEPLOYMENT:
                del block[name]


def anywhere(whole: dict[str, dict[str, tuple[str, Any]]]) -> dict[str, tuple[str, Any]]:
    """Return what hosts say of models that no maker serves, or of which they take more than it."""
    told: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for provider, block in whole.items():
        if provider in {"openai", "azure"} or sharing.of(provider).separate == "*":
            continue  # old names and deployments there are their own; the number means another thing
        for name, entry in block.items():
            if re.search(r"\d", name) and not name.startswith("gemini") and by_hand(name) is None:
                told[name].append(entry)
    made = maker_limits(whole)
    best = {name: largest(entries) for name, entries in told.items()}
    return {name: entry for name, entry in best.items() if entry[1][0] > made.get(name, 0)}


def maker_limits(whole: dict[str, dict[str, tuple[str, Any]]]) -> dict[str, int]:
    """Return the limits of models at their makers."""
    return {
        name: numbers[0]
        for maker in reversed(generated.MAKERS)
        for name, (_, numbers) in whole.get(maker, {}).items()
        if generated.makes(maker, name)
    }


def largest(entries: list[tuple[str, Any]]) -> tuple[str, Any]:
    """Return the entry with the largest limit, of the newest release."""
    return max(entries, key=lambda entry: (entry[1][0], version(entry[0])))


def version(release: str) -> tuple[int, ...]:
    """Return the numbers of a release, to be compared."""
    return tuple(map(int, re.findall(r"\d+", release)))


def disagreements(newest: dict[str, Block]) -> Iterator[str]:
    """Yield where a row written by hand says another limit or output than its maker's entry."""
    for maker in BY_HAND:
        for name, (limit, output) in sorted(newest[maker.name].items()):
            row = by_hand(name)
            if row is None:
                continue
            here = (providers.limit(row).tokens, row.output)
            there = (limit, int(output) if output.isdigit() else here[1])
            if here != there:
                yield f"{name} {here[0]} {here[1]} {there[0]} {there[1]}"


def written(provider: str, block: dict[str, tuple[str, Any]], release: str) -> Iterator[str]:
    """Yield the lines of a provider's block from one release."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for name, (origin, numbers) in block.items():
        if origin == release:
            groups[numbers].append(name)
    if groups:
        yield f"[{provider} {release}]"
    for (limit, output), names in sorted(groups.items()):
        line = ""
        for name in sorted(names):
            if line and len(line) + len(name) > WIDTH:
                yield line
                line = ""
            line += f" {name}" if line else f"{limit} {output}\t{name}"
        yield line


def main(paths: list[str]) -> None:
    """Print the file, and tell on stderr what is in it."""
    releases = [(release, blocks_of(models)) for release, models in map(read, map(Path, paths))]
    whole = filled(releases)
    without_hand_written(whole)
    whole[generated.ANYONE] = anywhere(whole)
    for host in ASKED:
        whole.pop(host, None)
    print("# Models by provider; written by scripts/learn_models.py, not by hand.")
    print(f"# From {FILE} of {', '.join(release for release, _ in releases)},")
    print("# Copyright (c) 2023 Berri AI, MIT License: see LICENSE-litellm.txt beside this file.")
    print(f"# read {datetime.now(UTC).date()}")
    print("# Where rows written by hand differ: limit and output here, then in the source.")
    for line in disagreements(releases[0][1]):
        print(f"#! {line}")
        print("disagrees:", line, file=sys.stderr)
    for release, _ in releases:
        for provider, block in sorted(whole.items()):
            for line in written(provider, block, release):
                print(line)
    for provider, block in sorted(whole.items()):
        print(f"{provider}: {len(block)}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
