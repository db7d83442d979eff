"""Sums on the way to a count."""

from __future__ import annotations

from dataclasses import dataclass, field

Run = tuple[str, int, int]


@dataclass(slots=True, eq=False)
class Tally:
    """Tokens by component, shares inside components, and the bound of what was estimated.

    Attributes:
        components: tokens by component name; their sum is the tally's total.
        details: tokens by (component, name): tools, tools' results, sections. Outside the sum.
        error: ± tokens of texts that were estimated rather than encoded.
        runs: the texts as they stand, each as owner, salted hash and tokens; of one message only.
    """

    components: dict[str, int] = field(default_factory=dict)
    details: dict[tuple[str, str], int] = field(default_factory=dict)
    error: int = 0
    runs: tuple[Run, ...] = ()

    @property
    def total(self) -> int:
        """Tokens of all components."""
        return sum(self.components.values())

    def put(self, component: str, tokens: int, detail: str = "") -> None:
        """Add ``tokens`` to a component, and to a share of it where one is named."""
        if tokens:
            self.components[component] = self.components.get(component, 0) + tokens
        if detail:
            key = (component, detail)
            self.details[key] = self.details.get(key, 0) + tokens

    def add(self, *others: Tally) -> None:
        """Add other tallies to this one."""
        mine = self.components
        for other in others:
            for name, tokens in other.components.items():
                mine[name] = mine.get(name, 0) + tokens
            if other.details:
                shares = self.details
                for key, tokens in other.details.items():
                    shares[key] = shares.get(key, 0) + tokens
            self.error += other.error
            if other.runs:
                self.runs += other.runs

    def copy(self) -> Tally:
        """Return a tally that can change without changing this one."""
        return Tally(dict(self.components), dict(self.details), self.error)


def scaled(tally: Tally, total: int) -> Tally:
    """Return ``tally`` stretched to ``total`` tokens; largest remainders decide the rounding."""
    before = tally.total
    if before == total or not before:
        return tally
    shares = {name: tokens * total / before for name, tokens in tally.components.items()}
    whole = {name: int(share) for name, share in shares.items()}
    by_rest = sorted(shares, key=lambda name: whole[name] - shares[name])
    for name in by_rest[: total - sum(whole.values())]:
        whole[name] += 1
    details = {key: round(tokens * total / before) for key, tokens in tally.details.items()}
    error = round(tally.error * total / before)
    return Tally(whole, details, error, tally.runs)
