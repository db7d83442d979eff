"""Logs as a DevOps agent writes them, made up from plans, and the figures that the plans come to.

The figures are computed from the plans alone: nothing here knows the reader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MARGIN = 2_000
RULER = "=" * 60
LABELS = {
    "core_goal": "Core Goal",
    "current_phase": "Current Phase",
    "key_decisions": "Key Decisions",
    "recent_modified_files": "Recently Modified Files",
    "proactive_context": "Full Proactive Context",
    "recent_conversation": "Turn",
    "relevant_code": "Code snippet",
    "recent_tool_results": "Tool result",
}
COUNTED = ("recent_conversation", "relevant_code", "recent_tool_results")
BUDGET = "Exceeds available budget"


@dataclass(frozen=True)
class Plan:
    """A turn: sizes in tokens, and what the agent says of it.

    ``left_out`` holds (piece, tokens, reason), ``shrunk`` (tool, characters before and after, tokens
    after). ``summary`` is the share that the agent's own summary claims.
    """

    number: int
    system: int = 410
    user: int = 9
    history: int = 0
    pieces: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"core_goal": (12,)})
    left_out: tuple[tuple[str, int, str], ...] = ()
    shrunk: tuple[tuple[str, int, int, int], ...] = ()
    framing: int = 60
    limit: int = 20_000
    low: bool = False
    pressed: bool = False
    failure: str = ""
    noise: int = 0

    @property
    def base(self):
        return self.system + self.user + self.history + MARGIN

    @property
    def context(self):
        return sum(map(sum, self.pieces.values()))

    @property
    def used(self):
        return self.base + self.context

    @property
    def total(self):
        return self.used + self.framing

    @property
    def components(self):
        own = {"system": self.system, "user": self.user, "history": self.history}
        parts = {name: sum(sizes) for name, sizes in self.pieces.items()}
        every = {**own, "safety_margin": MARGIN, **parts, "framing": self.framing}
        return {name: tokens for name, tokens in every.items() if tokens}


class Writer:
    """Writes lines with a clock of its own."""

    def __init__(self, begin=datetime(2026, 3, 1, 9, 0, 0)):  # noqa: DTZ001 - as loggers do
        self.now = begin
        self.lines: list[str] = []

    def say(self, text, where="context_manager.py:100", level="INFO"):
        self.now += timedelta(milliseconds=1)
        stamp = f"{self.now:%Y-%m-%d %H:%M:%S},{self.now.microsecond // 1000:03}"
        self.lines.append(f"{stamp} - {level} - {where} - {text}")

    def agent(self, text, level="INFO"):
        self.say(text, "devops_agent.py:700", level)

    def title(self, text):
        for line in (RULER, text, RULER):
            self.say(line)


def boot(to: Writer, model="gemini-2.0-flash", limit=1_000_000):
    """Write what the agent says when its process starts."""
    to.agent(f"Using token limit for {model}: {limit}")
    to.agent(f"Agent devops_agent initialized with token limit: {limit}")
    to.say("Using tiktoken with cl100k_base encoding for the model (model-specific not found).")
    to.title("CONTEXTMANAGER CONFIGURATION LOADED")
    to.say(f"Model Name: {model}")
    to.say(f"Max LLM Token Limit: {limit:,}")
    to.say("Target Recent Turns: 20")
    to.say("Token Counting Strategy: <lambda>")


def turn(to: Writer, plan: Plan):
    """Write a turn."""
    to.agent(f"Started new turn {plan.number}")
    call(to, plan)


def call(to: Writer, plan: Plan):
    """Write one call of a turn."""
    base(to, plan)
    noise(to, plan)
    assembly(to, plan)
    summary(to, plan)
    final(to, plan)
    for tool, before, after, tokens in plan.shrunk:
        transformation(to, tool, before, after)
        to.say(f"Added tool result for {tool}, summary tokens: {tokens}")
    if plan.failure:
        to.agent(plan.failure, "ERROR")


def base(to: Writer, plan: Plan):
    to.agent("Assembling context from context.state (user:conversation_history, …)")
    to.agent(f"User message tokens: {plan.user:,}")
    to.agent(f"System instruction tokens: {plan.system:,}")
    to.agent("🔧 SMART FILTERING TOKEN IMPACT:")
    to.agent(f"  Filtered content tokens: {plan.user + plan.history:,}")
    to.agent("ACCURATE BASE PROMPT CALCULATION:")
    to.agent(f"  Total Base Prompt Tokens: {plan.base:,}")
    to.agent(f"  Safety Margin: {MARGIN:,}")


def noise(to: Writer, plan: Plan):
    """Write what nobody needs: the state before the assembly, with text over several lines."""
    for number in range(plan.noise):
        to.say(f"    Tokens: {number + 100} | Chars: {3 * number + 300}")
        to.say("    Relevance: 0.50 | Last Accessed: Turn 1")
        if number % 8 == 0:
            to.say(
                f"    Summary Preview: - name: worker-{number}\n  status: Running\n  restarts: 3"
            )


def assembly(to: Writer, plan: Plan):
    to.title("CONTEXT ASSEMBLY - TOKEN BUDGET ANALYSIS")
    to.say(f"Max LLM Token Limit: {plan.limit:,}")
    to.say(f"Base Prompt Tokens: {plan.base:,}")
    to.say("Safety Margin: 50")
    to.say(f"Available Tokens for Context: {plan.limit - plan.base - 77:,}")
    if plan.pressed:
        to.say("🚨 HIGH TOKEN PRESSURE - Aggressive optimization in effect!", level="WARNING")
    for name, sizes in plan.pieces.items():
        for place, tokens in enumerate(sizes, 1):
            label = f"{LABELS[name]} {place}" if name in COUNTED else LABELS[name]
            to.say(f"    ✅ INCLUDED: {label} ({tokens:,} tokens)")
    for piece, tokens, reason in plan.left_out:
        to.say(f"      ❌ EXCLUDED: {piece} ({tokens:,} tokens) - {reason}", level="WARNING")
    to.title("CONTEXT ASSEMBLY - FINAL SUMMARY")
    to.say(f"Total Context Tokens Used: {plan.context:,}")
    to.say("")
    to.say("TOKEN BREAKDOWN BY COMPONENT:")
    for name, sizes in plan.pieces.items():
        to.say(f"  {name}: {sum(sizes):,} tokens ({100 * sum(sizes) / max(1, plan.context):.1f}%)")
    to.say(RULER)


def summary(to: Writer, plan: Plan):
    to.agent("CONTEXT ASSEMBLY COMPLETE:")
    to.agent(f"  📊 Base Prompt Tokens: {plan.base:,}")
    to.agent(f"  📊 Total Used: {plan.used:,} / {plan.limit:,}")
    if plan.low:
        share = 100 * plan.used / plan.limit
        to.agent(f"⚠️  LOW UTILIZATION: Only using {share:.1f}% of available capacity!", "WARNING")
    to.agent("\n--- SYSTEM INSTRUCTION ---")
    to.agent(f"Tokens: {plan.system}")
    to.agent(f"Total Prompt Tokens: {plan.system:,}")
    to.agent(f"Model Token Limit: {plan.limit:,}")
    to.agent(f"Token Utilization: {100 * plan.system / plan.limit:.1f}%")
    to.agent("TOKEN BREAKDOWN BY COMPONENT:")
    to.agent(f"  system_instruction: {plan.system:,} tokens (100.0%)")


def final(to: Writer, plan: Plan):
    to.agent(f"Total tokens for prompt (base + context_block): {plan.total}")
    if plan.total > plan.limit:
        told = f"Final prompt ({plan.total:,} tokens) exceeds token limit ({plan.limit:,})!"
        to.agent(f"CRITICAL: {told}", "ERROR")
        to.agent("This should not happen if context manager is working correctly.", "ERROR")
        to.agent("The request will likely fail with a token limit error.", "ERROR")
    else:
        share = 100 * plan.total / plan.limit
        told = f"{plan.total:,}/{plan.limit:,} tokens ({share:.1f}%)"
        to.agent(f"Final prompt validation: {told}")


def transformation(to: Writer, tool, before, after):
    to.say("TOOL RESULT TRANSFORMATION")
    to.say(f"Tool Name: {tool}")
    to.say(f"Original Content Size: {before:,} characters")
    to.say(f"Final Summary Size: {after:,} characters")
    to.say("Final Summary: - name: worker-1\n  status: OOMKilled\n  restarts: 7\n...")
    to.say(f"Transformation Ratio: {100 * after / before:.1f}% of original")


def log(plans, **booting):
    """Return the text of a log of one session."""
    to = Writer()
    boot(to, **booting)
    for plan in plans:
        turn(to, plan)
    return "\n".join([*to.lines, ""])


def conversation(turns=12, limit=20_000, noise=0):
    """Return the plans of a conversation with something of everything in it."""
    plans = []
    for number in range(1, turns + 1):
        talk = tuple(300 + 10 * place for place in range(min(number - 1, 6)))
        code = tuple(150 + place for place in range(min(2 * (number - 1), 9)))
        late = number > turns // 2
        pieces = {"core_goal": (12,), "key_decisions": (3 * number,)}
        pieces |= {"recent_conversation": talk, "relevant_code": code} if number > 1 else {}
        pieces |= {} if late else {"proactive_context": (1_205,)}
        plans.append(Plan(
            number,
            user=7 + number % 3 + (900 * number if late else 0),
            history=40 * number if late else 0,
            pieces=pieces,
            left_out=(
                ("Code snippet 10", 161, "Exceeds target snippet limit (9)"),
                *((("Tool result 4", 404, BUDGET), ("Turn 2", 1_310, BUDGET)) if late else ()),
            ) if number > 3 else (),
            shrunk=(("kubectl", 2_900 + number, 1_057, 400 + number),),
            framing=50 + 3 * number,
            limit=limit,
            low=number < 3,
            pressed=late,
            noise=noise,
        ))  # fmt: skip
    return plans


def expected(plans):
    """Return the figures of a conversation, turn by turn."""
    found, before = [], None
    for plan in plans:
        delta = None if before is None else plan.total - before
        trend = "" if delta is None else "increase" if delta > 0 else "decrease" if delta else "stable"  # fmt: skip
        budget = sum(reason == BUDGET for _, _, reason in plan.left_out)
        causes = {"budget": budget, "cap": len(plan.left_out) - budget}
        found.append({
            "number": plan.number,
            "total": plan.total,
            "limit": plan.limit,
            "utilization": round(plan.total / plan.limit, 6),
            "headroom": plan.limit - plan.total,
            "delta": delta,
            "trend": trend,
            "components": plan.components,
            "inclusions": sum(map(len, plan.pieces.values())),
            "exclusions": {cause: count for cause, count in causes.items() if count},
            "context": plan.context,
            "budget": plan.limit - plan.base - 77,
            "excluded_tokens": sum(tokens for _, tokens, _ in plan.left_out),
            "low": plan.low,
            "exceeded": plan.total > plan.limit,
            "compressions": len(plan.shrunk),
        })  # fmt: skip
        before = plan.total
    return found
