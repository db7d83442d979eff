"""A log's format as data: a TOML file of lines, read, checked and made ready to scan with.

``docs/agent-logs.md`` describes the file. Nothing in it is code and nothing a regular expression.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from tokentrace.errors import InputError
from tokentrace.readers.agent_log import template
from tokentrace.readers.agent_log.template import ORNAMENTS, SHARES, TEXTS, WHOLES, Template

LONGEST_FILE = 2**20
MOST_LINES = 500
SHORTEST = 3
LONGEST_REASON = 300  # characters
PAGE = "docs/agent-logs.md describes the file"

# ── the file ─────────────────────────────────────────────────────────────────────────────────────

Does = Literal[
    "figures", "start", "turn", "call", "setting", "component", "table", "included", "excluded",
    "compressing", "compressed", "warning", "exceeded", "low", "failed", "ignored",
]  # fmt: skip
_FIGURES = (WHOLES - {"tokens", "before", "after", "before_chars", "after_chars"}) | SHARES
_OWN = TEXTS & {"session", "agent", "model", "tokenizer"}
_SIZES = frozenset({"before", "after", "before_chars", "after_chars", "name", "reason"})
# What may stand in a template, by what its line does; a line of any kind may name its session.
VALUES: dict[str, frozenset[str]] = {
    "figures": (_FIGURES - {"turn"}) | _OWN,
    "start": frozenset({"limit"}) | _OWN,
    "turn": _FIGURES | _OWN,
    "call": _FIGURES | _OWN,
    "setting": frozenset({"value"}) | _OWN,
    "component": frozenset({"component", "tokens"}),
    "table": frozenset(),
    "included": frozenset({"name", "tokens"}),
    "excluded": frozenset({"name", "tokens", "reason"}),
    "compressing": _SIZES,
    "compressed": _SIZES,
    "warning": _FIGURES | {"reason"},
    "exceeded": _FIGURES | {"reason"},
    "low": _FIGURES | {"reason"},
    "failed": frozenset({"error", "reason"}),
    "ignored": frozenset(),
}
NEEDED = {"component": {"tokens"}, "included": {"name"}, "excluded": {"name"}, "setting": {"value"}}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of line, as in the file."""

    text: str = ""
    holds: str = ""
    does: Does = "figures"
    rows: str = ""
    component: str = ""
    within: Literal["", "base", "context"] = ""
    less: tuple[str, ...] = ()
    setting: str = ""
    cause: str = ""
    reason: str = ""
    error: str = ""
    level: tuple[str, ...] = ()
    where: str = ""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A format, as in the file."""

    name: str
    line: tuple[Entry, ...]
    about: str = ""
    head: str = ""
    time: str = ""
    names: dict[str, str] = {}
    causes: dict[str, str] = {}


# ── what it becomes ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry ready for use: where its line is found, and what is read from it."""

    entry: Entry
    pattern: re.Pattern[bytes]
    percent: frozenset[str]
    rows: re.Pattern[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A format ready for use.

    Attributes:
        name: what it is called.
        time: how times are written, for `datetime.strptime`; empty for ISO 8601 and its like.
        scan: the head of a line, and the text of a rule behind it as the group ``__text``.
        rules: by that text, in the order of the file.
        holding: rules by a text that may stand anywhere in a line.
        levels: of those, so that other lines need not be searched.
        names: component by what the log calls a piece, the longest first.
        causes: cause by how a reason begins, the longest first.
    """

    name: str
    time: str
    scan: re.Pattern[bytes]
    rules: Mapping[bytes, tuple[Rule, ...]]
    holding: tuple[tuple[bytes, Rule], ...] = ()
    levels: frozenset[bytes] = frozenset()
    names: tuple[tuple[str, str], ...] = ()
    causes: tuple[tuple[str, str], ...] = ()

    def known(self, line: bytes) -> bool:
        """Whether a line is one of this format's that says something."""
        found = self.scan.match(line)
        text = found["__text"] if found else None
        if found is None or text is None:
            return False
        behind = found.start("__text")
        return any(rule.pattern.match(line, behind) for rule in self.rules[text])


@cache
def shipped() -> tuple[Form, ...]:
    """Return the formats of the package."""
    folder = resources.files(__package__).joinpath("formats")
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=str)
    return tuple(parse(file.read_text("utf-8"), file.name) for file in files)


def load(path: str) -> Form:
    """Return the format that a file describes.

    Raises:
        InputError: it cannot be read, or is no format: with the line, and what is allowed.
    """
    try:
        place = Path(path)
        if place.stat().st_size > LONGEST_FILE:
            raise InputError("over a megabyte: no description of a log", source=path, mend=PAGE)
        text = place.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError("no UTF-8 text", source=path, mend=PAGE) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", source=path, mend="check the path") from None
    return parse(text, path)


def parse(text: str, source: str) -> Form:
    """Return the format that ``text`` describes.

    Raises:
        InputError: see `load`.
    """
    try:
        file = msgspec.convert(tomllib.loads(text), File)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(source, text, f"no TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise _wrong(source, text, str(error)) from None
    if not file.line or len(file.line) > MOST_LINES:
        raise _wrong(source, text, f"has {len(file.line)} lines, 1 to {MOST_LINES} are allowed")
    try:
        head = _head(file.head)
    except ValueError as error:
        raise _wrong(source, text, f"head: {error}") from None
    if not any(
        one.does == "turn" or (one.does == "call" and "{turn}" in one.text) for one in file.line
    ):
        raise _wrong(source, text, 'no line begins a turn: one needs does = "turn"')
    rules = []
    for number, entry in enumerate(file.line):
        try:
            rules.append(_rule(entry, head))
        except ValueError as error:
            raise _wrong(source, text, f"{error} - at `$.line[{number}]`") from None
    return _form(file, head, rules)


def _wrong(source: str, text: str, reason: str) -> InputError:
    """Return an error that names the line: of the TOML parser, or of the n-th ``[[line]]``."""
    at = re.search(r"\(at line (\d+)", reason)
    entry = re.search(r" - at `\$\.line\[(\d+)\]", reason)
    number = int(at[1]) if at else 0
    if entry:
        heads = [n for n, row in enumerate(text.split("\n"), 1) if re.match(r"\s*\[\[ *line", row)]
        place = int(entry[1])
        number = heads[place] if place < len(heads) else 0
        reason = reason.partition(" - at `")[0] + _choice(reason)
    if len(reason) > LONGEST_REASON:  # it tells the name of a field as the file has it
        reason = f"{reason[:LONGEST_REASON]}…"
    return InputError(reason, source=f"{source}:{number}" if number else source, mend=PAGE)


def _choice(reason: str) -> str:
    """Return what may stand in place of a value that is not known."""
    key = reason.rpartition(".")[2].strip("`") if "enum value" in reason else ""
    known = {"does": get_args(Does), "within": ("base", "context")}.get(key, ())
    return f"; {key} is one of {', '.join(known)}" if known else ""


def _head(text: str) -> Template:
    return template.compiled(text, {"time", "level", "where", "session", "agent"}, bare=False)


def _rule(entry: Entry, head: Template) -> Rule:
    """Return a line's rule; raise ValueError for one that cannot be used."""
    if bool(entry.text) == bool(entry.holds):
        raise ValueError("give text, how the line begins, or holds, a text anywhere in it")
    for name, used in (("level", entry.level), ("where", entry.where)):
        if used and name not in head.names:
            raise ValueError(f"{name} needs {{{name}}} in the head")
    if entry.holds:
        return _anywhere(entry)
    made = template.compiled(entry.text, VALUES[entry.does] | {"session"})
    if len(made.first) < SHORTEST:
        raise ValueError(f"text begins with {SHORTEST} characters or more before its first value")
    missing = NEEDED.get(entry.does, set()) - made.names
    if missing:
        raise ValueError(f"{entry.does} needs {{{missing.pop()}}} in its text")
    _needs(entry, made.names)
    rows = None
    if entry.does == "table":
        cells = template.compiled(entry.rows, {"component", "tokens"})
        if cells.names != {"component", "tokens"}:
            raise ValueError("rows needs {component} and {tokens}")
        rows = _regex(head.pattern + ORNAMENTS + cells.pattern)
    return Rule(entry, _regex(made.pattern), made.percent, rows)


def _needs(entry: Entry, names: Iterable[str]) -> None:
    if entry.does == "component" and not entry.component and "component" not in names:
        raise ValueError("component needs {component} in its text, or component = a name")
    if entry.does == "setting" and not entry.setting:
        raise ValueError("setting needs setting = a name")
    if bool(entry.rows) != (entry.does == "table"):
        raise ValueError("rows is what a table needs, and nothing else has")


def _anywhere(entry: Entry) -> Rule:
    if len(entry.holds) < SHORTEST or not entry.level:
        raise ValueError(f"holds needs {SHORTEST} characters or more, and a level")
    if entry.does not in {"failed", "warning", "ignored"}:
        raise ValueError("a line by what it holds can be failed, warning or ignored")
    return Rule(entry, _regex(b""), frozenset())


def _regex(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


def _form(file: File, head: Template, rules: list[Rule]) -> Form:
    begun: dict[bytes, list[Rule]] = {}
    for rule in rules:
        if rule.entry.text:
            first = template.compiled(rule.entry.text).first
            begun.setdefault(first, []).append(rule)
    # The longest first: an alternation takes the first of its texts that fits.
    texts = sorted(begun, key=lambda text: (-len(text), text))
    found = b"(?P<__text>" + b"|".join(map(re.escape, texts)) + b")?+" if texts else b"(?P<__text>)"
    holding = [rule for rule in rules if rule.entry.holds]
    return Form(
        name=file.name,
        time=file.time,
        scan=_regex(head.pattern + ORNAMENTS + found),
        rules={text: tuple(_shared(text, begun)) for text in texts},
        holding=tuple((rule.entry.holds.lower().encode(), rule) for rule in holding),
        levels=frozenset(one.encode() for rule in holding for one in rule.entry.level),
        names=_longest(file.names),
        causes=_longest(file.causes),
    )


def _shared(text: bytes, begun: Mapping[bytes, list[Rule]]) -> list[Rule]:
    """Return the rules of a text, then those of shorter texts that it begins with."""
    starts = sorted((one for one in begun if text.startswith(one)), key=len, reverse=True)
    return [rule for one in starts for rule in begun[one]]


def _longest(table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(table.items(), key=lambda pair: (-len(pair[0]), pair[0])))
