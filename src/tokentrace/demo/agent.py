"""The agent of the demo: a loop over tools, and a context manager that keeps the prompt in bounds.

It is written as an agent would be that uses tokentrace: `Context` names what it puts into the
prompt, tells what it leaves out and what it shortens, and `compress` is the guard's last resort.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import tokentrace
from tokentrace.demo.script import GOAL, MODEL, PHASES, TURNS, Turn, evidence, printed
from tokentrace.prompt import LimitReport

Message = dict[str, Any]

LIMIT = 5_600  # far below the model's own, so that 25 short turns can meet it
CONTEXT_BUDGET = 4_500
SNIPPET_BUDGETS = {"baseline": 1_300, "accumulation": 1_300, "high load": 900, "stress": 500}
HISTORY_BUDGET = 1_000
FULL_TURNS = 1  # turns whose tool results stay whole
KEPT_LINES = 8

ROLE = """\
You are the on-call assistant of the orders team of Larkspur, an online shop. You help one engineer at a time with
releases and incidents on the Kubernetes cluster prod-eu-1. Answer in two to four sentences. Say what you saw and where,
then what you would do; keep numbers exact and name pods, nodes and files as the tools print them. Call a tool before you
claim anything about the cluster. Never change production yourself: propose the command and let the engineer run it.
Secrets, customer names and payment data do not belong in an answer. If two facts disagree, say so."""


def _tool(name: str, description: str, **properties: Mapping[str, str]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [
    _tool(
        "kubectl",
        "Run a read-only kubectl command on prod-eu-1 and return what it prints.",
        command={"type": "string", "description": "The command without the leading kubectl."},
    ),
    _tool(
        "observe",
        "Ask metrics, logs, traces or annotations for a window that ends now.",
        query={"type": "string", "description": "A query in the language of the store."},
        minutes={"type": "integer", "description": "Length of the window."},
    ),
    _tool(
        "runbook",
        "Return the runbook that fits a topic best.",
        topic={"type": "string", "description": "A few words."},
    ),
]


class Context:
    """What the agent remembers, and how much of it goes into the next prompt."""

    def __init__(self) -> None:
        self._done: list[list[Message]] = []  # the messages of each finished turn
        self._earlier: list[str] = []  # a line for each turn that is no longer there in full
        self._files: list[str] = []
        self._decisions: list[str] = []

    @tokentrace.assembly(name="devops", budget=CONTEXT_BUDGET)
    def build(self, turn: Turn) -> list[Message]:
        """Return the messages for a turn: system, what was said before, the new question."""
        self._files += turn.opens
        self._shorten_old_messages()
        self._shorten_history()
        user = turn.user
        if turn.paste:
            user = f"{user}\n\n{pasted(turn.paste)}"
        system = {"role": "system", "content": self._system(turn)}
        return [system, *chain.from_iterable(self._done), {"role": "user", "content": user}]

    def keep(self, turn: Turn, messages: list[Message]) -> None:
        """Take the messages of a finished turn into the history."""
        self._done.append(messages)
        if turn.decision:
            self._decisions.append(turn.decision)

    def _system(self, turn: Turn) -> str:
        blocks = (
            ROLE,
            core_goal(),
            phase(turn.phase),
            self.decisions(),
            self.code_snippets(turn.phase),
            self.earlier(),
        )
        return "\n\n".join(filter(None, blocks))

    @tokentrace.component("decisions")
    def decisions(self) -> str:
        """Return what was decided and must not be forgotten."""
        return _block("DECISIONS", (f"- {decision}" for decision in self._decisions))

    @tokentrace.component("code_snippets")
    def code_snippets(self, phase: str) -> str:
        """Return the open files, newest first, and close those beyond the phase's budget."""
        kept: dict[str, str] = {}
        room = SNIPPET_BUDGETS[phase]
        for name in reversed(self._files):
            snippet = f"FILE {name.removesuffix('.txt')}\n{evidence(name)}"
            size = tokens(snippet)
            if size <= room:
                kept[name] = snippet
                room -= size
            else:
                title = name.partition(".")[0]
                tokentrace.exclude(f"code.{title}", tokens=size, reason="over the snippet budget")
        self._files = list(kept)[::-1]
        return "\n\n".join(kept.values())

    @tokentrace.component("history")
    def earlier(self) -> str:
        """Return a line for each turn that is no longer there in full."""
        return _block("EARLIER TURNS", self._earlier)

    def _shorten_old_messages(self) -> None:
        """Keep the head of what was pasted, and of tool results that are more than a turn old."""
        for message in chain.from_iterable(self._done):
            if message["role"] == "user":
                _shorten("pasted", message)
        for message in chain.from_iterable(self._done[:-FULL_TURNS]):
            if message["role"] == "tool":
                _shorten("tool_results", message)

    def _shorten_history(self) -> None:
        """Replace the oldest turns by a line each while the conversation is over its budget."""
        said = "\n".join(chain.from_iterable(map(_said, self._done)))
        if tokens(said) <= HISTORY_BUDGET:
            return
        first = len(self._earlier) + 1
        half = len(self._done) // 2
        lines = [f"{first + place}. {_gist(turn)}" for place, turn in enumerate(self._done[:half])]
        before = "\n".join(chain.from_iterable(map(_said, self._done[:half])))
        tokentrace.compressed("history", before=before, after="\n".join(lines))
        self._earlier += lines
        del self._done[:half]


@tokentrace.component("core_goal")
def core_goal() -> str:
    """Return what all of this is for."""
    return f"CORE GOAL: {GOAL}"


@tokentrace.component("phase")
def phase(name: str) -> str:
    """Return where the work stands and what that asks for."""
    return f"CURRENT PHASE, {name}: {PHASES[name]}"


@tokentrace.component("pasted")
def pasted(name: str) -> str:
    """Return what the engineer pasted."""
    return evidence(name)


def tokens(text: str) -> int:
    """Return the tokens of a text for the model in use."""
    return tokentrace.count(text, model=MODEL).total


def head(text: str, lines: int = KEPT_LINES) -> str:
    """Return the first lines of a text, and how many were left out."""
    rows = text.splitlines()
    if len(rows) <= lines + 2:
        return text
    return "\n".join([*rows[:lines], f"({len(rows) - lines} more lines left out)"])


def _shorten(name: str, message: Message) -> None:
    before = message["content"]
    message["content"] = head(before)
    if message["content"] != before:
        tokentrace.compressed(name, before=before, after=message["content"])


def _block(title: str, lines: Iterable[str]) -> str:
    rows = list(lines)
    return "\n".join([f"{title}:", *rows]) if rows else ""


def _said(messages: Iterable[Message]) -> Iterable[str]:
    """Yield what user and assistant said."""
    return (
        message["content"]
        for message in messages
        if message["role"] != "tool" and message["content"]
    )


def _gist(messages: list[Message]) -> str:
    """Return a finished turn in a line: the question and the first sentence of the answer."""
    question = messages[0]["content"].partition("\n")[0]
    answer = messages[-1]["content"].partition(". ")[0]
    return f"{question} {answer.rstrip('.')}."


def compress(body: dict[str, Any], _report: LimitReport) -> dict[str, Any] | None:
    """Shorten tool results; asked again, what the engineer pasted too. The guard's last resort."""
    for roles in (("tool",), ("tool", "user")):
        messages = [
            _cut(message) if message["role"] in roles else message for message in body["messages"]
        ]
        if messages != body["messages"]:
            return body | {"messages": messages}
    return None


def _cut(message: Message) -> Message:
    return message | {"content": head(message["content"])}


class Agent:
    """Asks the model, runs its tools, and asks again until it answers.

    Args:
        client: an OpenAI client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._context = Context()

    def serve(self, number: int) -> str:
        """Serve the turn of that number and return the answer."""
        turn = TURNS[number - 1]
        with tokentrace.turn(number=number):
            messages = self._context.build(turn)
            start = len(messages) - 1
            while (said := self._ask(messages, streamed=turn.streamed)).get("tool_calls"):
                messages += [said, *map(_run, said["tool_calls"])]
            messages.append(said)
        self._context.keep(turn, messages[start:])
        return str(messages[-1]["content"])

    def _ask(self, messages: list[Message], *, streamed: bool) -> Message:
        """Return the model's message."""
        create = self._client.chat.completions.create
        settings = {
            "model": MODEL,
            "messages": messages,
            "tools": TOOLS,
            "max_completion_tokens": 400,
        }
        if not streamed:
            return _message(create(**settings).choices[0].message)
        chunks = create(**settings, stream=True, stream_options={"include_usage": True})
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        text = "".join(delta.content or "" for delta in deltas)
        calls = list(chain.from_iterable(delta.tool_calls or () for delta in deltas))
        return _as_message(text, calls)


def _message(message: Any) -> Message:
    return _as_message(message.content, message.tool_calls or ())


def _as_message(text: str | None, calls: Iterable[Any]) -> Message:
    """Return an assistant's message as it goes back into the next prompt."""
    asked = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in calls
    ]
    message: Message = {"role": "assistant", "content": text or None}
    return message | {"tool_calls": asked} if asked else message


def _run(call: Mapping[str, Any]) -> Message:
    """Run a tool and return its result."""
    function = call["function"]
    content = printed(function["name"], function["arguments"])
    return {"role": "tool", "tool_call_id": call["id"], "content": content}
