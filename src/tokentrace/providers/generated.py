"""The generated table of models: ``data/models.txt``, read at its first use.

``scripts/learn_models.py`` writes it from litellm's model file and says what is taken and what not.
A block is headed by a provider's name and the release that it is from, e.g. ``[mistral litellm
1.110.2]``; a line is a limit, the largest output (``-`` where nothing says so, ``e`` for embeddings)
and the plain names that share them. What a limit means is in `providers.sharing`. The block ``*``
holds models that hosts serve and no maker, and those of which hosts take more than the maker, with
the largest number that any of them takes.

Reading takes a few milliseconds: `load` is for whoever wants them off the first call's path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from tokentrace.providers import sharing
from tokentrace.providers._model import Model

FILE = "data/models.txt"
ANYONE = "*"
EMBEDDING = "e"
# Whose word holds where the server has no row: the makers, then any host.
MAKERS = (
    *("gemini", "mistral", "cohere", "deepseek", "xai", "moonshot", "zai", "perplexity"),
    *("dashscope", "bedrock"),
)
# Makers that serve models of others too, and what their own begin with.
THEIRS = {
    "perplexity": ("sonar", "pplx", "r1-1776"),
    "dashscope": ("qwen", "qwq", "qvq"),
    "bedrock": ("nova", "titan"),
}
# Where else the rows of a provider may stand.
ALSO = {"azure-inference": "azure", "ollama": "ollama.com", "vertex": "gemini"}

REGION = r"(?:(?:us|eu|apac|au|jp|ca|sa|me|global|us-gov)\.)?"
VENDOR = (
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai"
    r"|nvidia|openai|qwen|twelvelabs|writer|xai|zai)\."
)
VENDED = re.compile(f"{REGION}{VENDOR}|meta-(?=llama)", re.ASCII)
DATE = re.compile(r"-(?:20\d{2}-?\d{2}-?\d{2}|latest)$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """What a line of the file says.

    Attributes:
        numbers: its limit and its output, as written.
        source: the release it is from.
    """

    numbers: str
    source: str


@dataclass(frozen=True, slots=True)
class Table:
    """The whole file.

    Attributes:
        dated: when it was generated, ISO date.
        blocks: the lines of each provider's models, by plain name.
    """

    dated: str
    blocks: dict[str, dict[str, Line]]


@cache
def load() -> Table:
    """Return the file's content, read once a process; empty where there is no file."""
    from pkgutil import get_data

    try:
        text = (get_data(__package__, FILE) or b"").decode()
    except OSError:
        text = ""
    return parse(text)


def parse(text: str) -> Table:
    """Return the content of a file's text."""
    blocks: dict[str, dict[str, Line]] = {}
    dated = source = ""
    block: dict[str, Line] = {}
    for line in text.splitlines():
        if line.startswith("["):
            name, _, source = line.strip("[]").partition(" ")
            block = blocks.setdefault(name, {})
        elif line.startswith("# read "):
            dated = line.removeprefix("# read ")
        elif line and not line.startswith("#"):
            numbers, _, names = line.partition("\t")
            block.update(dict.fromkeys(names.split(), Line(numbers, source)))
    return Table(dated, blocks)


def find(
    names: tuple[str, ...], server: str, *, elsewhere: bool = False
) -> tuple[str, Model] | None:
    """Return whose row a model has at a server, and the row: the server's own, else the maker's.

    Args:
        names: what the model may be called, see `names_of`.
        server: the short name of who serves it, empty where nobody knows.
        elsewhere: it is served at a place that was named, which may take more than the maker does.
    """
    found = own(names, server)
    if found is None:
        makers = [maker for maker in MAKERS if makes(maker, names[-1])]
        owners = [ANYONE, *makers] if elsewhere else [*makers, ANYONE]
        found = next(filter(None, (_in(owner, names, server) for owner in owners)), None)
    return found


def own(names: tuple[str, ...], server: str) -> tuple[str, Model] | None:
    """Return whose row a model has at a server, and the row; None where the server has none."""
    return _in(server, names, server) or _in(ALSO.get(server, ""), names, server)


def makes(maker: str, name: str) -> bool:
    """Whether a maker's word holds for a model of that name, wherever it is served."""
    return name.startswith(THEIRS.get(maker, ""))


def _in(owner: str, names: tuple[str, ...], server: str) -> tuple[str, Model] | None:
    block = load().blocks.get(owner, {})
    for name in names:
        if line := block.get(name):
            return owner, row(name, line, owner, server or owner)
    return None


def row(name: str, line: Line, owner: str, server: str) -> Model:
    """Return a model's row.

    Args:
        name: plain.
        line: of the file.
        owner: whose line it is, which says what its number means.
        server: who serves it, who says what is refused.
    """
    limit, output = line.numbers.split()
    if output == EMBEDDING:
        return Model(name, int(limit), tokenizer="")
    most = None if output == "-" else int(output)
    if fnmatchcase(name, sharing.of(owner).separate):
        return Model(name, int(limit), most, tokenizer="")
    refuses = sharing.of(server).refuses_sum
    return Model(name, None, most, int(limit), refuses_sum=refuses, tokenizer="")


def rows(owner: str, *, retired: bool = True) -> Iterator[Model]:
    """Yield the rows of a provider, by release and name; or those of the newest release only."""
    block, order = load().blocks.get(owner, {}), releases()
    for name, line in sorted(block.items(), key=lambda one: (order.index(one[1].source), one[0])):
        if retired or line.source == order[0]:
            yield row(name, line, owner, owner)


def releases() -> list[str]:
    """Return the releases that the file is from, the newest first."""
    blocks = load().blocks.values()
    return list(dict.fromkeys(line.source for block in blocks for line in block.values()))


def source(owner: str, name: str) -> str:
    """Return the release that a provider's row is from."""
    return load().blocks[owner][name].source


def names_of(plain: str) -> tuple[str, ...]:
    """Return what a model of a plain name may be called in the file, the surest first.

    >>> names_of("us.amazon.nova-lite-v1")
    ('us.amazon.nova-lite-v1', 'nova-lite-v1')
    >>> names_of("qwen-plus-2025-01-25")
    ('qwen-plus-2025-01-25', 'qwen-plus')
    """
    bare = unvended(plain)
    return tuple(dict.fromkeys((plain, bare, DATE.sub("", bare))))


def unvended(plain: str) -> str:
    """Return a plain name without Bedrock's region and vendor, and without Llama's maker."""
    found = VENDED.match(plain)
    return plain[found.end() :] if found else plain
