"""Every code that a finding can bear: what it means and what to do. ``docs/findings.md`` shows it."""

from __future__ import annotations

from dataclasses import dataclass

from tokentrace.analysis.findings import CRITICAL, DEGRADED, FAILING, HEALTHY
from tokentrace.insights.waste import ADVISED, KINDS, UNCALLED


@dataclass(frozen=True, slots=True)
class Code:
    """What a code stands for.

    Attributes:
        levels: the verdicts that it can lead to.
        means: what was seen, and which of its levels applies when.
        remedy: what to do, one phrase.
        thresholds: names of those that decide.
    """

    levels: tuple[str, ...]
    means: str
    remedy: str
    thresholds: tuple[str, ...] = ()


NOTED = (HEALTHY, DEGRADED)
WASTED = ("wasted", "wasteful")

CODES: dict[str, Code] = {
    "limit.exceeded": Code(
        (CRITICAL,),
        "A prompt went out that was larger than the limit by more than its error bound, or the"
        " provider refused one as too long. What the guard stopped is not counted here.",
        "let the guard compress or refuse above the limit: Guard(on_exceed=…, compress=…)",
    ),
    "limit.refused": Code(
        (DEGRADED, FAILING),
        "The guard stopped prompts before they were sent. Failing where a turn ended so, degraded"
        " where another call was sent after it.",
        "give the guard a compress callback, or build smaller prompts for these turns",
    ),
    "limit.approached": Code(
        (FAILING,),
        "The prompt came near its limit while nothing was excluded, compressed or made smaller"
        " since its use became high.",
        "start to compress or exclude when use becomes high, not at the limit",
        ("high", "near"),
    ),
    "utilization.high": Code(
        (DEGRADED,),
        "Turns used more than the high share of the limit: one long paste or tool result is enough"
        " to pass it.",
        "keep more room: compress earlier, or lower the budget of the largest component",
        ("high",),
    ),
    "utilization.low": Code(
        (HEALTHY, DEGRADED),
        "Turns used little of the limit. A note by itself; degraded where components were excluded"
        " in these turns although there was room for them.",
        "raise the agent's own budget, or use a model with a smaller window",
        ("low", "long"),
    ),
    "growth.monotonic": Code(
        (HEALTHY, DEGRADED, FAILING),
        "In a long conversation the prompt was never smaller than in the turn before. A note while"
        " use is low, failing once it is high, degraded in between or where no limit is known.",
        "summarise or drop old turns once the conversation is long",
        ("long", "low", "high"),
    ),
    "growth.unbounded": Code(
        (HEALTHY, DEGRADED, FAILING),
        "After the build-up the prompt went on growing by a steady amount and hardly ever fell"
        " back. Failing where it would reach the limit within as many turns as there were; a note"
        " where that would take ten times as many or more; else, or without a limit, degraded.",
        "bound what grows: summarise it, or keep only the newest part",
        ("long", "growth", "fallback"),
    ),
    "forecast.near": Code(
        (HEALTHY, DEGRADED),
        "At the median growth since the prompt was last cut the limit is near. A note where growth may"
        " as well end: the interval, 90 percent, has no end.",
        "summarise or drop what grows the most before the limit is there",
        ("soon",),
    ),
    "growth.unsettled": Code(
        (DEGRADED,),
        "The last turns of a long conversation are much larger than those just after the build-up,"
        " although the prompt does fall back in between.",
        "compress by a budget that does not depend on the number of turns",
        ("long", "settled"),
    ),
    "compression.missing": Code(
        (DEGRADED,),
        "Use stayed high for several turns, and nothing was compressed from the first of them on.",
        "compress the largest component: a summary, or the heads of old tool results",
        ("high", "persistent"),
    ),
    "compression.ineffective": Code(
        (DEGRADED,),
        "Compressions ran at least twice and saved next to nothing of what they worked on.",
        "compress what is large and old, and stop where nothing is saved",
        ("saving",),
    ),
    "exclusions.frequent": Code(
        (DEGRADED,),
        "Components were left out turn after turn, and the prompt became no smaller, while it grew or"
        " its use was high. Where they hold it level below that, they do what they are for.",
        "exclude from the component that grows, or compress it instead",
        ("exclusions", "relief", "low", "high"),
    ),
    "context.stripped": Code(
        (FAILING,),
        "In late turns of a long conversation, two or more in a row, next to nothing was left of what"
        " the agent carries along: history and its own components. Not where these come and go anyway.",
        "reserve a budget for what the agent must remember, before instructions and tools fill it",
        ("long", "stripped"),
    ),
    "essential.gone": Code(
        (FAILING,),
        "An essential component that had been in the prompt was missing in two or more turns in a"
        " row. One call of another shape is no evidence.",
        "never exclude it: put it where no budget applies",
        ("essential",),
    ),
    "essential.shrunk": Code(
        (DEGRADED,),
        "An essential component lost much of its size for two or more turns in a row. The user's"
        " input, which is of any size, is not measured.",
        "check what cuts it, and shorten something else instead",
        ("essential", "shrunk"),
    ),
    "turn.failed": Code(
        (DEGRADED, FAILING),
        "The last call of a turn ended with an error or a time-out. Failing under pressure, which"
        " is where use was high; degraded elsewhere.",
        "see the errors of these turns; under pressure send less",
        ("high",),
    ),
    "figures.disagree": Code(
        (DEGRADED,),
        "Two figures that the agent itself tells of the same thing are not equal.",
        "trust the one that is measured last, and mend the other in the agent",
    ),
    "phase.exceeded": Code(
        (FAILING,),
        "Turns of a phase are larger than what is expected of that phase.",
        "look at what grew in these turns, or expect more",
    ),
    "waste.duplicate": Code(
        NOTED,
        "Text that stands in the prompt more than once, as it is, indented otherwise or escaped"
        " inside JSON: copies that were edited count by the lines that are still the same. The first"
        " copy is not counted. Measured when the call was made.",
        KINDS["duplicate"].remedy,
        WASTED,
    ),
    "waste.json": Code(
        NOTED,
        "What indented JSON takes more than the same JSON without white space. Both were counted when"
        " the call was made.",
        KINDS["json"].remedy,
        WASTED,
    ),
    "waste.base64": Code(
        NOTED,
        "Runs of base64 inside text. Images and files that are sent as such are none.",
        KINDS["base64"].remedy,
        WASTED,
    ),
    "waste.carried": Code(
        NOTED,
        "Results of tools that are still in the prompt although that many of the user's inputs came"
        " after them.",
        KINDS["carried"].remedy,
        ("carried", *WASTED),
    ),
    "waste.unchanged": Code(
        (HEALTHY,),
        "A section or tagged component that had the same content for that many turns, and that the"
        " provider is not known to have read from its cache.",
        KINDS["unchanged"].remedy,
        ("unchanged", "wasted"),
    ),
    "tools.uncalled": Code(
        NOTED,
        "Definitions of tools that no call of the conversation used, although they were in every"
        " prompt. Silent where records do not tell which tools were called, and while an answer's"
        " calls did not come back yet.",
        ADVISED[UNCALLED].remedy,
        ("uncalled", *WASTED),
    ),
    "cache.broken": Code(
        NOTED,
        "The same component, or the same switch of model or setting, broke the prefix that the"
        " provider had cached, more than once. Only breaks that the reported tokens confirm count:"
        " what was evicted or expired is nobody's fault.",
        "move it behind what stays the same, or keep its text as it is",
        WASTED,
    ),
    "cache.unused": Code(
        NOTED,
        "Three or more prompts in a line have much in common, enough for the provider to keep it, and"
        " nothing was ever read from its cache. Only where the provider reports cached tokens.",
        "send what stays the same first, and calls that share it soon after one another",
        ("wasteful",),
    ),
    "count.drift": Code(
        (DEGRADED,),
        "More than one call in ten of a model was reported outside the bound of its count, at least"
        " three. A steady difference is text that the provider adds; one that grows with the prompt"
        " is another tokenizer. Prompts of less than 100 tokens, and reports of less than half or more"
        " than twice the count, are no evidence.",
        "report it with the model's name; until then learn a factor, see docs/accuracy.md",
    ),
}
