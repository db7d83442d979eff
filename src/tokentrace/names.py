"""Names of components: how they are spelled, and which of them may leave the process.

A name that an agent gives in code is public. A name found in a prompt (a JSON key, a tag, a
heading) is prompt text until `Templates` has a reason to think otherwise.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

LONGEST = 64
SECTION = "section."
OTHER = "section.other"
OPEN_ROLES = frozenset({"system", "developer", "tools"})

HASHED = 2**16  # characters at once: between them others may run

_SALT = os.urandom(16)
_LOST = re.compile(r"[^A-Za-z0-9_.-]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")


def normalise(name: str) -> str:
    """Return ``name`` in 1 to 64 characters of ``[A-Za-z0-9_.-]``; its own result stays as it is.

    Where that loses characters, six hexadecimal digits of a hash keep different names different:
    ``Core goal`` becomes ``Core_goal-`` and the digits.
    """
    short = _LOST.sub("_", name[: 4 * LONGEST])
    if short == name and 0 < len(short) <= LONGEST:
        return name
    from hashlib import blake2b

    mark = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    return f"{short[: LONGEST - 7] or '_'}-{mark}"


def section(name: str) -> str:
    """Return the component of a section that bears ``name`` in its prompt."""
    return normalise(SECTION + name)


def digest(text: str, start: int = 0, end: int | None = None) -> bytes:
    """Return 8 bytes that tell contents apart in this process and mean nothing in another.

    Args:
        text: all of it, or a stretch of it, is the content; it may hold lone surrogates.
        start: where the content starts, in characters.
        end: where it ends; None for the text's end.
    """
    from hashlib import blake2b

    mark = blake2b(digest_size=8, key=_SALT)
    stop = len(text) if end is None else end
    for place in range(start, stop, HASHED):
        piece = text[place : min(place + HASHED, stop)]
        mark.update(piece.encode("utf-8", "surrogatepass"))
    return mark.digest()


class Templates:
    """Decides which section names may leave the process.

    A name is public when it

    - stands in system text or a tool definition, or
    - was given by code (``given``, or `give`), or
    - is an identifier that stood at the same place with other content in an earlier call: a
      template that is filled again, not a document that is carried along. Content that was seen
      before at *any* place is carried along, so a conversation that loses its oldest messages
      does not turn its documents into templates. Headings are never public for this reason.

    A ``place`` is a tuple: the role first (``system``, ``developer`` and ``tools`` are open),
    then what tells one position of a prompt from another and stays the same from call to call,
    e.g. the index of the message. It must hold no text of the prompt.

    Kept are identifiers of at most 64 characters and salted digests, at most ``limit`` places,
    ``4 * limit`` digests and ``limit`` public names; the oldest go first. Thread-safe.

    Attributes:
        changes: how often it has changed which names are public.
    """

    def __init__(self, given: Iterable[str] = (), limit: int = 4096) -> None:
        self.changes = 0
        self._limit = limit
        self._lock = threading.Lock()
        self._given = frozenset(section(name) for name in given)
        self._public: OrderedDict[str, None] = OrderedDict()
        self._places: OrderedDict[Hashable, bytes] = OrderedDict()
        self._contents: OrderedDict[Hashable, None] = OrderedDict()

    def renew(self) -> None:
        """Replace a lock that another thread may have held at a fork."""
        self._lock = threading.Lock()

    def give(self, names: Iterable[str]) -> None:
        """Make ``names`` public from now on, for as long as this object lives."""
        with self._lock:
            self._given |= {section(name) for name in names}
            self.changes += 1

    def saw(self, place: tuple[Any, ...], form: str, name: str, digest: bytes) -> None:
        """Learn from a section of a prompt.

        Args:
            place: where its text stood, role first.
            form: ``json``, ``xml`` or ``markdown``.
            name: as in the prompt.
            digest: a salted digest of its content.
        """
        if place and place[0] in OPEN_ROLES:
            with self._lock:
                self._publish(name)
        elif form != "markdown" and _IDENTIFIER.match(name):
            with self._lock:
                self._compare(place, form, name, digest)

    def _compare(self, place: tuple[Any, ...], form: str, name: str, digest: bytes) -> None:
        """Publish a name whose content at this place is new and not the first there."""
        before = self._places.get((place, form, name))
        content = (form, name, digest)
        fresh = content not in self._contents
        if before is not None and before != digest and fresh:
            self._publish(name)
        _remember(self._places, (place, form, name), digest, self._limit)
        _remember(self._contents, content, None, 4 * self._limit)

    def _publish(self, name: str) -> None:
        """Make a name public, and forget the oldest."""
        component = section(name)
        fresh = component not in self._public
        _remember(self._public, component, None, self._limit)
        self.changes += fresh

    def public(self, component: str) -> bool:
        """Whether the name of a component may leave the process."""
        if not component.startswith(SECTION) or component == OTHER:
            return True
        with self._lock:
            return component in self._given or component in self._public

    def __contains__(self, component: object) -> bool:
        return isinstance(component, str) and self.public(component)

    def fold(self, components: Mapping[str, int]) -> dict[str, int]:
        """Return ``components`` with the tokens of private names under ``section.other``."""
        folded: dict[str, int] = {}
        for name, tokens in components.items():
            shown = name if self.public(name) else OTHER
            folded[shown] = folded.get(shown, 0) + tokens
        return folded


def _remember(table: OrderedDict[Any, Any], key: Hashable, value: Any, limit: int) -> None:
    """Put ``value`` last in ``table`` and drop the first entries beyond ``limit``."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > limit:
        table.popitem(last=False)
