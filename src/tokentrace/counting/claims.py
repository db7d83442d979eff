"""Who owns which characters of a text: tags first, then sections, then the text's role.

Of claims that nest the innermost owns the text; of two that cross, the later one from where it
starts. Of two tags with the same text the first one given wins: it was made inside the other. A
tag wins over a section, whichever is larger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from sys import getsizeof
from typing import Any, TypeVar

from tokentrace import names
from tokentrace.counting import sections as sectioning
from tokentrace.counting.digests import SALT
from tokentrace.counting.pace import hashed, trimmed
from tokentrace.counting.pieces import LARGEST_KEY
from tokentrace.counting.sections import LONGEST_TEXT, Section
from tokentrace.counting.store import STORE
from tokentrace.counting.tags import Hit, Tag, find_tags
from tokentrace.counting.tally import Run, Tally
from tokentrace.counting.text import Ruler

WORTH_A_LOOK = 4096
BETWEEN = " \t\r\n,"
CLOSED = frozenset({"tools", "history", "tool_results", "reasoning", "media", "framing"})

Place = tuple[Any, ...]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Claim:
    """Characters of a text and the component that owns them."""

    start: int
    end: int
    name: str


# ── laying claims ────────────────────────────────────────────────────────────────────────────────


def lay(text: str, tags: Iterable[Tag], sections: Iterable[Section]) -> list[Claim]:
    """Return who owns what, sorted and without overlaps; what nobody claims is left out.

    Args:
        text: a part's text.
        tags: what to look for in it.
        sections: what `tokentrace.counting.sections.find` found in it.
    """
    return flatten(find_tags(text, tags), sections)


def flatten(hits: Sequence[Hit], sections: Iterable[Section]) -> list[Claim]:
    """Resolve overlaps as the module says; claims of one name that touch become one."""
    ranked = [(0, hit.start, hit.end, names.normalise(hit.tag.name)) for hit in hits]
    ranked += [(1, part.start, part.end, names.section(part.name)) for part in sections]
    coming = sorted(
        (start, layer, end, order, name)
        for order, (layer, start, end, name) in enumerate(ranked)
        if start < end
    )
    laid: list[Claim] = []
    for claim in _sweep(coming):
        if laid and laid[-1].end == claim.start and laid[-1].name == claim.name:
            claim = Claim(laid.pop().start, claim.end, claim.name)  # noqa: PLW2901 - grown
        laid.append(claim)
    return laid


def _sweep(coming: list[tuple[int, int, int, int, str]]) -> Iterator[Claim]:
    """Walk from border to border; the first of the heap owns what lies before the next border."""
    open_claims: list[tuple[int, int, int, int, str]] = []
    here = i = 0
    while i < len(coming) or open_claims:
        if not open_claims:
            here = coming[i][0]
        while i < len(coming) and coming[i][0] <= here:
            start, layer, end, order, name = coming[i]
            heappush(open_claims, (layer, -start, end, order, name))
            i += 1
        while open_claims and open_claims[0][2] <= here:
            heappop(open_claims)
        if open_claims:
            end = open_claims[0][2]
            stop = min(end, coming[i][0]) if i < len(coming) else end
            yield Claim(here, stop, open_claims[0][4])
            here = stop


# ── the lens ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True, eq=False)
class _Marks:
    """What was found in a text, kept with the text.

    Attributes:
        searched: how many tags were looked for, and the lens's number for these. The tags
            themselves are not kept here: their session may be long over.
        hits: their occurrences.
        sections: found whatever the tags.
        digests: salted, of the sections' content; made when somebody asks.
        shares: lens version, runs and error of the last exact sharing, by ruler; the owner "" is
            the role.
    """

    searched: tuple[int, int]
    hits: list[Hit]
    sections: tuple[Section, ...]
    digests: tuple[bytes, ...] | None = None
    shares: dict[str, tuple[int, tuple[Run, ...], int]] = field(default_factory=dict)


class Lens:
    """Lays tags and sections over texts and shares their tokens among the owners.

    Args:
        tags: what the agent named in code, the inner of nested ones first.
        sections: True looks for sections in system and user text; a list of names looks for
            these only, in every text; False for none. Answers of the model, tool calls, tool
            results and definitions keep their role unless a name is asked for: their braces and
            headings are data, not the prompt's own structure.
        saw: called as ``saw(place, form, name, digest)`` for each section of each text that is
            spread, e.g. `tokentrace.names.Templates.saw`. The place is the caller's; for the
            second and later sections of one name in one text their number is appended.
        hit: called with each tag that a spread text holds, once a text.

    Attributes:
        version: changes with the tags, the section setting and whether somebody wants to see sections:
            what was counted without him was not shown to him. It changes with nothing else.
    """

    __slots__ = (
        "_hit",
        "_numbers",
        "_saw",
        "_setting",
        "_shortest",
        "_tags",
        "_wanted",
        "version",
    )

    def __init__(
        self,
        tags: Iterable[Tag] = (),
        sections: bool | Iterable[str] = True,
        saw: Callable[[Place, str, str, bytes], None] | None = None,
        hit: Callable[[Any], None] | None = None,
    ) -> None:
        self._tags = tuple(tags)
        self._setting = _setting(sections)
        self._wanted = self._is_wanted if isinstance(self._setting, frozenset) else None
        self._saw = saw
        self._hit = hit
        self._shortest = min((len(tag.text.strip()) for tag in self._tags), default=0)
        # One number for the first 0, 1, 2 … tags, so that a tag more leaves the others' as it is.
        self._numbers = list(accumulate(self._tags, _number, initial=0))
        self.version = hash((self._setting, self._numbers[-1], saw is None))

    def _is_wanted(self, name: str) -> bool:
        return names.section(name) in self._setting  # type: ignore[operator]

    def spread(self, text: str, component: str, ruler: Ruler, place: Place) -> Tally:
        """Return the tokens of ``text`` by owner; they sum to what the ruler says of the whole.

        Args:
            text: all of a part's text.
            component: who owns what nobody claims: the role's component.
            ruler: measures the text, once.
            place: where it stands, for ``saw`` only.
        """
        divided = self._sought(text, component)
        if divided is not None:
            marks = self._marks(text, divided=divided)
            if marks.hits or marks.sections:
                return self._spread(text, component, ruler, place, marks)
        return _owned(text, component, ruler.tokens(text))

    def undivided(self, texts: Mapping[K, tuple[str, str]], ruler: Ruler) -> dict[K, Tally]:
        """Return what `spread` does of each text in which it looks for nothing.

        Args:
            texts: each all of a part's text, and who owns what nobody claims.
            ruler: measures them together; what it has no time for is none of them either.
        """
        whole = {key: one for key, one in texts.items() if self._sought(*one) is None}
        counts = ruler.each([text for text, _ in whole.values()])
        return {
            key: _owned(text, owner, count)
            for (key, (text, owner)), count in zip(whole.items(), counts, strict=True)
            if count is not None
        }

    def claims(self, text: str, component: str) -> Sequence[Claim]:
        """Return who owns what of a text, as `lay` does; nothing where all of it is the role's."""
        divided = self._divided(component) and len(text) <= LONGEST_TEXT and sectioning.likely(text)
        if not divided and not (self._tags and len(text) >= self._shortest):
            return ()
        marks = self._marks(text, divided=divided)
        return flatten(marks.hits, marks.sections) if marks.hits or marks.sections else ()

    def _sought(self, text: str, component: str) -> bool | None:
        """Whether a role's text is looked through for sections; None where not even for tags."""
        # A long text was most often seen before: the store knows sooner than a look at all of it.
        divided = self._divided(component) and (
            sectioning.likely(text) if len(text) < WORTH_A_LOOK else len(text) <= LONGEST_TEXT
        )
        return divided if divided or (self._tags and len(text) >= self._shortest) else None

    def _divided(self, component: str) -> bool:
        """Whether texts of this role are looked through for sections."""
        if self._setting is True:
            return component not in CLOSED
        return bool(self._setting)

    def _spread(
        self, text: str, component: str, ruler: Ruler, place: Place, marks: _Marks
    ) -> Tally:
        if self._saw is not None:
            self._learn(text, place, marks)
        if self._hit is not None:
            for tag in {id(hit.tag): hit.tag for hit in marks.hits}.values():
                self._hit(tag)
        version, runs, error = marks.shares.get(ruler.name, (None, (), 0))
        if version != self.version:
            runs, error = _share(text, flatten(marks.hits, marks.sections), ruler)
            if not error:  # an estimate may be a matter of time: the ruler knows when it is final
                marks.shares[ruler.name] = (self.version, runs, error)
        owned = tuple((name or component, mark, tokens) for name, mark, tokens in runs)
        tally = Tally({}, {}, error, runs=owned)
        for name, _, tokens in owned:
            tally.put(name, tokens)
        return tally

    def _learn(self, text: str, place: Place, marks: _Marks) -> None:
        """Tell ``saw`` about each section."""
        assert self._saw is not None
        if marks.digests is None:
            marks.digests = tuple(
                names.digest(text, *trimmed(text, part.start, part.end, BETWEEN))
                for part in marks.sections
            )
        times: dict[str, int] = {}
        for part, digest in zip(marks.sections, marks.digests, strict=True):
            count = times.get(part.name, 0)
            times[part.name] = count + 1
            where = (*place, f"#{count}") if count else place
            self._saw(where, part.form, part.name, digest)

    def _marks(self, text: str, *, divided: bool) -> _Marks:
        """Return what stands in ``text``; a known text is searched for new tags only."""
        bytes_kept = getsizeof(text)
        large = bytes_kept > LARGEST_KEY
        key = ("marks", self._setting if divided else False, names.digest(text) if large else text)
        known: _Marks | None = STORE.get(key)
        if known is not None and known.searched == (len(self._tags), self._numbers[-1]):
            return known
        if known is None:
            found = sectioning.find(text, self._wanted) if divided else ()
            known = _Marks((0, 0), [], found)
        marks = self._searched(text, known)
        STORE.put(key, marks, _weigh(marks) + (0 if large else bytes_kept))
        return marks

    def _searched(self, text: str, known: _Marks) -> _Marks:
        """Return ``known`` with the hits of all tags; those it was searched for are kept."""
        done, number = known.searched
        if done > len(self._tags) or self._numbers[done] != number:
            done = 0
        hits = known.hits if done else []
        hits = hits + find_tags(text, self._tags[done:])
        searched = (len(self._tags), self._numbers[-1])
        return _Marks(searched, hits, known.sections, known.digests)


def _owned(text: str, component: str, count: tuple[int, int]) -> Tally:
    """Return the tally of a text that is the role's."""
    tokens, error = count
    if not tokens:
        return Tally({}, {}, error)
    return Tally({component: tokens}, {}, error, ((component, hash(text), tokens),))


def _number(before: int, tag: Tag) -> int:
    """Return the number for all tags up to this one."""
    return hash((before, tag.text, tag.name))


def _weigh(marks: _Marks) -> int:
    """Return about how many bytes marks take, with the texts of the tags that they hold."""
    texts = {id(hit.tag): getsizeof(hit.tag.text) for hit in marks.hits}
    return 600 + 150 * len(marks.hits) + 400 * len(marks.sections) + sum(texts.values())


def _setting(sections: bool | Iterable[str]) -> bool | frozenset[str]:
    """Return the switch, or the components of the names asked for; no names is off."""
    if isinstance(sections, bool):
        return sections
    asked = [sections] if isinstance(sections, str) else sections
    return frozenset(map(names.section, asked)) or False


def _share(text: str, claims: Sequence[Claim], ruler: Ruler) -> tuple[tuple[Run, ...], int]:
    """Return what stands in a text, in order ("" where nobody owns it), and the error, measured once.

    Spaces, commas and the like around a run say nothing about what is in it.
    """
    borders = sorted({b for c in claims for b in (c.start, c.end)} - {0, len(text)})
    tokens, error = ruler.shares(text, borders)
    owners = [""] * len(tokens)
    for claim in claims:
        owners[bisect_right(borders, claim.start)] = claim.name
    spans = (trimmed(text, *span, BETWEEN) for span in pairwise((0, *borders, len(text))))
    marks = (hash((SALT, hashed(text, *span))) for span in spans)
    return tuple(zip(owners, marks, tokens, strict=True)), error
