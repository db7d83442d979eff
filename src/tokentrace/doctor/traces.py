"""What lies in the trace folder, read once for all checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tokentrace import readers
from tokentrace.errors import InputError
from tokentrace.prompt import EXACT, CallRecord, Record
from tokentrace.readers.sizes import Sizes


@dataclass(slots=True)
class Traces:
    """Counts over a folder.

    Attributes:
        calls: spans of LLM calls.
        others: other spans of tokentrace.
        sessions: ids of sessions.
        newest: end of the newest span, in ns since the epoch; 0 for none.
        methods: calls by how they were counted.
        unlimited: models of calls without a known limit.
        unreported: models of calls that ended well and reported no input tokens.
        drifted: models of calls whose exact count was another number than the provider's.
        problems: what could not be read.
        refused: why nothing at all could be read, or empty.
        lost: by metric and reason, see `readers.losses`.
        sizes: of texts and traces, see `readers.sizes`.
    """

    calls: int = 0
    others: int = 0
    sessions: set[str] = field(default_factory=set)
    newest: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    unlimited: Counter[str] = field(default_factory=Counter)
    unreported: Counter[str] = field(default_factory=Counter)
    drifted: Counter[str] = field(default_factory=Counter)
    problems: readers.Problems = field(default_factory=readers.Problems)
    refused: str = ""
    lost: dict[str, Counter[str]] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=Sizes)

    def add(self, record: Record) -> None:
        """Count a record."""
        self.newest = max(self.newest, record.end)
        if record.session:
            self.sessions.add(record.session)
        if isinstance(record, CallRecord):
            self.calls += 1
            self._call(record)
        else:
            self.others += 1

    def _call(self, call: CallRecord) -> None:
        model = call.model or "no model"
        self.methods[call.method or "uncounted"] += 1
        if call.limit is None:
            self.unlimited[model] += 1
        if call.usage.input is None and not call.error_type:
            self.unreported[model] += 1
        if call.method == EXACT and call.drift:
            self.drifted[model] += 1


def read(folder: str) -> Traces:
    """Return what a folder holds."""
    from tokentrace.readers import losses, sizes

    found = Traces()
    try:
        for record in readers.read([folder], found.problems):
            found.add(record)
    except InputError as error:
        found.refused = str(error.args[0])
    found.lost = losses.read(folder)
    found.sizes = sizes.read(folder)
    return found


def top(counted: Counter[str], most: int = 3) -> dict[str, Any]:
    """Return the most frequent keys with their counts."""
    return dict(counted.most_common(most))
