"""How large texts and traces in OTLP-JSON lines are: what a back end would cut, or drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tokentrace.errors import InputError
from tokentrace.fitting import EVENT_BYTES, PAIR_BYTES, SPAN_BYTES, utf8
from tokentrace.readers import Problems, lines
from tokentrace.readers.otlp_json import EXPORT, SPAN, Attribute, Span, Value

TEXT_BOUND = 2_048  # bytes of a text that Tempo takes by default (3.0.3, 2026-08)


@dataclass(slots=True)
class Sizes:
    """What was measured.

    Attributes:
        spans: spans of each trace, by its id.
        bytes: about how many bytes each trace takes in OTLP's protobuf form.
        long: attributes over `TEXT_BOUND`, by their name.
        longest: the most bytes that a text took.
    """

    spans: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    long: Counter[str] = field(default_factory=Counter)
    longest: int = 0

    def add(self, span: Span) -> None:
        """Measure a span."""
        total = SPAN_BYTES + len(span.name) + self._pairs(span.attributes)
        for event in span.events or ():
            total += EVENT_BYTES + len(event.name) + self._pairs(event.attributes)
        self.spans[span.trace_id] += 1
        self.bytes[span.trace_id] += total

    def _pairs(self, pairs: list[Attribute] | None) -> int:
        total = 0
        for pair in pairs or ():
            size = 0 if pair.value is None else self._value(pair.key, pair.value)
            total += PAIR_BYTES + len(pair.key) + size
        return total

    def _value(self, key: str, value: Value) -> int:
        if value.string_value is not None:
            size = len(utf8(value.string_value))
            self.longest = max(self.longest, size)
            if size > TEXT_BOUND:
                self.long[key] += 1
            return size
        if value.array_value is not None:
            return sum(4 + self._value(key, item) for item in value.array_value.values or ())
        return 8 if value.double_value is not None else 3


def read(path: str) -> Sizes:
    """Return the sizes in a file or a folder of ``*.jsonl*`` files.

    What cannot be read counts as nothing; `otlp_json.read` tells of it.
    """
    found = Sizes()
    for span in _spans(path):
        found.add(span)
    return found


def _spans(path: str) -> Iterator[Span]:
    problems = Problems()
    try:
        for file in lines.files(path):
            for _, line in lines.read(str(file), problems):
                yield from _of(line)
    except InputError:
        return


def _of(line: bytes) -> Iterator[Span]:
    try:
        export = EXPORT.decode(line)
        for resource in export.resource_spans or ():
            for scope in resource.scope_spans or ():
                for raw in scope.spans or ():
                    yield SPAN.decode(raw)
    except (ValueError, RecursionError):
        return
