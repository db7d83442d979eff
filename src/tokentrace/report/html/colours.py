"""Colours of components: the same name has the same colour, in every chart of a page."""

from __future__ import annotations

from zlib import crc32

SLOTS = 12  # colours in page.css, --c0 to --c11; --c12 is grey
GREY = SLOTS
KNOWN = {
    "history": 0,
    "media": 1,
    "system": 2,
    "tools": 3,
    "user": 5,
    "server_context": 7,
    "tool_results": 8,
    "reasoning": 9,
    "framing": GREY,
    "other": GREY,
}


class Palette:
    """Gives each name a slot: its own, else the one that its hash says, else the next that is free.

    Twelve names never share a slot, as long as those of a role's own come first.
    """

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}

    def slots(self, names: list[str]) -> dict[str, int]:
        """Return the slot of each of ``names``, the known ones served first."""
        for name in sorted(names, key=lambda name: (name not in KNOWN, name)):
            if name not in self._slots:
                self._slots[name] = KNOWN[name] if name in KNOWN else self._free(name)
        return {name: self._slots[name] for name in names}

    def _free(self, name: str) -> int:
        wanted = crc32(name.encode("utf-8", "surrogatepass")) % SLOTS
        taken = {*self._slots.values()}
        order = [(wanted + step) % SLOTS for step in range(SLOTS)]
        spare = [slot for slot in order if slot not in KNOWN.values()]
        free = [slot for slot in (*spare, *order) if slot not in taken]
        return free[0] if free else wanted
