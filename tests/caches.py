"""Providers with a prompt cache of their own, and agents whose sessions are driven through them.

A provider renders a request in the documented order, cuts it into tokens in a way of its own, and
reports what it read from its cache. It shares no code with what is tested.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field

WORDS = re.compile(r"\w{1,5}|[^\w\s]")
NOUNS = ("pod", "node", "rollout", "probe", "limit", "cache", "quota", "region", "queue", "lease")
VERBS = ("restarts", "drains", "scales", "fails", "recovers", "waits", "retries", "expands")


def cut(text):
    """Return a text as tokens: an independent cutter, near enough to a real one in number."""
    return WORDS.findall(text)


def sentence(rng, words=12):
    """Return a sentence that nobody said before."""
    said = [f"{rng.choice(NOUNS)} {rng.choice(VERBS)}" for _ in range(words // 2)]
    return f"Note {rng.randrange(10**6)}: " + ", ".join(said) + "."


def passage(rng, sentences):
    """Return a text of so many sentences."""
    return " ".join(sentence(rng) for _ in range(sentences))


# ── caches ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Cache:
    """What a provider has kept: prefixes by their tokens, each with the time of its last use.

    Attributes:
        clock: gives seconds.
        minimum: tokens of the shortest prefix that is kept.
        step: tokens in whose multiples prefixes are kept; 1 where requests mark their ends.
        life: seconds.
    """

    clock: object
    minimum: int = 1_024
    step: int = 128
    life: float = 300.0
    kept: dict = field(default_factory=dict)

    def evict(self):
        """Lose everything."""
        self.kept.clear()

    def read(self, tokens, ends):
        """Return how long a prefix is found, the longest of ``ends`` first, and use it again."""
        for end in sorted(ends, reverse=True):
            at = self.kept.get(hash(tuple(tokens[:end])))
            if at is not None and self.clock() - at <= self.life:
                self.kept[hash(tuple(tokens[:end]))] = self.clock()
                return end
        return 0

    def write(self, tokens, ends):
        """Keep the prefixes that end at ``ends``."""
        for end in ends:
            if end >= self.minimum:
                self.kept[hash(tuple(tokens[:end]))] = self.clock()

    def steps(self, tokens):
        """Return where prefixes may end without marks."""
        return range(self.minimum, len(tokens) + 1, self.step)


# ── a conversation ───────────────────────────────────────────────────────────────────────────────


def tool(rng, name):
    """Return a definition: name, description, parameters."""
    properties = {f"{noun}_{rng.randrange(99)}": {"type": "string"} for noun in NOUNS[:3]}
    return {
        "name": name,
        "description": passage(rng, 5),
        "parameters": {"type": "object", "properties": properties},
    }


@dataclass
class Talk:
    """What an agent sends: sections of its system text, tools, and the conversation so far."""

    rng: random.Random
    sections: dict = field(default_factory=dict)
    tools: list = field(default_factory=list)
    messages: list = field(default_factory=list)

    @classmethod
    def start(cls, seed, turns=2):
        """Return a talk that has had some turns."""
        rng = random.Random(seed)
        names = ["core_goal", "rules", "memory", "code_snippets", "open_tasks"]
        sections = {name: passage(rng, rng.randint(6, 14)) for name in names}
        tools = [tool(rng, f"tool_{letter}") for letter in "abcde"]
        talk = cls(rng, sections, tools)
        for _ in range(turns):
            talk.ask()
            talk.answer()
        return talk

    @property
    def system(self):
        """The system text: a heading and a JSON block."""
        return "SYSTEM CONTEXT (JSON): " + json.dumps(self.sections, indent=1)

    def ask(self):
        self.messages.append(["user", passage(self.rng, self.rng.randint(3, 8))])

    def answer(self):
        self.messages.append(["assistant", passage(self.rng, self.rng.randint(3, 8))])

    # each returns the component that broke the prefix and why

    def changed_section(self):
        name = self.rng.choice(list(self.sections))
        self.sections[name] = passage(self.rng, self.rng.randint(6, 14))
        return f"section.{name}", "changed"

    def inserted_section(self):
        held = list(self.sections.items())
        held.insert(self.rng.randrange(len(held)), ("incident", passage(self.rng, 8)))
        self.sections = dict(held)
        return "section.incident", "inserted"

    def removed_section(self):
        name = self.rng.choice(list(self.sections)[:-1])
        del self.sections[name]
        return f"section.{name}", "removed"

    def moved_section(self):
        held = list(self.sections.items())
        start = self.rng.randrange(len(held) - 2)
        one = held.pop(start)
        held.append(one)
        self.sections = dict(held)
        return f"section.{one[0]}", "moved"

    def changed_tools(self):
        self.rng.choice(self.tools)["description"] = passage(self.rng, 5)
        return "tools", "changed"

    def inserted_tools(self):
        self.tools.insert(self.rng.randrange(len(self.tools)), tool(self.rng, "tool_new"))
        return "tools", "inserted"

    def removed_tools(self):
        del self.tools[self.rng.randrange(len(self.tools) - 1)]
        return "tools", "removed"

    def moved_tools(self):
        self.tools.append(self.tools.pop(self.rng.randrange(len(self.tools) - 2)))
        return "tools", "moved"

    def changed_history(self):
        at = self.rng.randrange(len(self.messages) // 2)
        self.messages[at][1] = passage(self.rng, 6)
        return "history", "changed"

    def inserted_history(self):
        at = self.rng.randrange(len(self.messages) // 2)
        self.messages.insert(at, ["user", passage(self.rng, 6)])
        return "history", "inserted"

    def removed_history(self):
        del self.messages[: 2 * self.rng.randint(1, len(self.messages) // 2 - 1)]
        return "history", "removed"

    def moved_history(self):
        at = self.rng.randrange(len(self.messages) // 2)
        self.messages.insert(len(self.messages) - 1, self.messages.pop(at))
        return "history", "moved"


BREAKS = [
    *("changed_section", "inserted_section", "removed_section", "moved_section"),
    *("changed_tools", "inserted_tools", "removed_tools", "moved_tools"),
    *("changed_history", "inserted_history", "removed_history", "moved_history"),
]


# ── providers ────────────────────────────────────────────────────────────────────────────────────


def chat_usage(total, read, written=None):
    """Return usage as OpenAI's chat reports it."""
    details = {"cached_tokens": read, "audio_tokens": 0}
    if written is not None:
        details["cache_write_tokens"] = written
    return {
        "prompt_tokens": total,
        "completion_tokens": 7,
        "total_tokens": total + 7,
        "prompt_tokens_details": details,
    }


class OpenAI:
    """OpenAI before gpt-5.6: prefixes in steps of 128 tokens, from 1,024 on, without marks."""

    model = "gpt-4.1"
    exact = False
    turns = 2

    def __init__(self, clock):
        self.cache = Cache(clock, life=3_600.0)
        self.miss = False  # the next request goes to another machine

    def rendered(self, body):
        """Return the prompt in tokens, and where its messages end."""
        first, *rest = body["messages"]
        tools = [json.dumps(one) for one in body.get("tools", ())]
        tokens, ends = [], []
        for text in (first["content"], *tools, *(f"{m['role']} {m['content']}" for m in rest)):
            tokens += ["<|im_start|>", *cut(text), "<|im_end|>"]
            ends.append(len(tokens))
        return tokens, ends

    def usage(self, body):
        tokens, ends = self.rendered(body)
        places = ends if self.exact else self.cache.steps(tokens)
        read = 0 if self.miss else self.cache.read(tokens, places)
        self.miss = False
        marks = ends[-1:] if self.exact else places
        self.cache.write(tokens, marks)
        written = len(tokens) - read if self.exact and len(tokens) >= self.cache.minimum else None
        return chat_usage(len(tokens), read, written)

    def reply(self, sent):
        body = sent.body
        usage = self.usage(body)
        base = {"id": "c1", "created": 1, "model": self.model}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "ok"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        kind = {**base, "object": "chat.completion.chunk"}
        delta = {"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": None}
        return [("", {**kind, "choices": [delta]}), ("", {**kind, "choices": [], "usage": usage})]

    def request(self, talk, **more):
        messages = [{"role": "system", "content": talk.system}]
        messages += [{"role": role, "content": text} for role, text in talk.messages]
        tools = [{"type": "function", "function": one} for one in talk.tools]
        return {"model": self.model, "messages": messages, "tools": tools, **more}


class Marked(OpenAI):
    """OpenAI from gpt-5.6 on: the end of the newest message is kept, and found there only."""

    model = "gpt-5.6"
    exact = True

    def __init__(self, clock):
        super().__init__(clock)
        self.cache.life = 1_800.0


class Responses(OpenAI):
    """OpenAI's Responses API."""

    def rendered(self, body):
        system = {"role": "system", "content": body["instructions"]}
        return super().rendered({**body, "messages": [system, *body["input"]]})

    def reply(self, sent):
        told = self.usage(sent.body)
        usage = {
            "input_tokens": told["prompt_tokens"],
            "output_tokens": 7,
            "total_tokens": told["total_tokens"],
            "input_tokens_details": told["prompt_tokens_details"],
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        said = {"type": "output_text", "text": "ok", "annotations": []}
        item = {"type": "message", "id": "m1", "role": "assistant", "status": "completed",
                "content": [said]}  # fmt: skip
        return {"id": "r1", "object": "response", "created_at": 1, "model": self.model,
                "status": "completed", "output": [item], "parallel_tool_calls": True,
                "tool_choice": "auto", "tools": [], "usage": usage}  # fmt: skip

    def request(self, talk, **more):
        sent = [{"role": role, "content": text} for role, text in talk.messages]
        tools = [{"type": "function", **one} for one in talk.tools]
        return {
            "model": self.model,
            "instructions": talk.system,
            "input": sent,
            "tools": tools,
            **more,
        }


class Anthropic:
    """Anthropic: tools, system, messages; marks in the request, each found 20 blocks before the next."""

    model = "claude-sonnet-4-5"
    turns = 2
    lookback = 20
    switch = "tool_choice"  # whose change leaves the messages unread

    def __init__(self, clock):
        self.cache = Cache(clock, life=300.0)
        self.miss = False

    def blocks(self, body):
        """Yield the text of each block, and whether it ends in a mark."""
        marked = "cache_control"
        for one in body.get("tools", ()):
            yield json.dumps({k: v for k, v in one.items() if k != marked}), marked in one
        for one in body["system"]:
            yield one["text"], marked in one
        choice = json.dumps(body.get(self.switch))
        for message in body["messages"]:
            for one in message["content"]:
                yield f"{choice}{message['role']} {one['text']}", marked in one

    def usage(self, body):
        tokens, ends, marks = [], [], []
        for index, (text, marked) in enumerate(self.blocks(body)):
            tokens += ["<", *cut(text)]
            ends.append(len(tokens))
            marks += [index] * marked
        seen = {end for at in marks for end in ends[max(0, at - self.lookback) : at + 1]}
        read = 0 if self.miss else self.cache.read(tokens, seen)
        self.miss = False
        places = [ends[at] for at in marks]
        self.cache.write(tokens, places)
        top = max((end for end in places if end >= self.cache.minimum), default=0)
        return len(tokens), read, max(0, top - read)

    def told(self, body):
        total, read, written = self.usage(body)
        return {
            "input_tokens": total - read - written,
            "output_tokens": 7,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
        }

    def reply(self, sent):
        body = sent.body
        usage = self.told(body)
        message = {"id": "m1", "type": "message", "role": "assistant", "model": self.model,
                   "content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn",
                   "stop_sequence": None, "usage": usage}  # fmt: skip
        if not body.get("stream"):
            return message
        start = {"type": "message_start", "message": {**message, "content": []}}
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        end = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}
        return [(one["type"], one) for one in (start, end, {"type": "message_stop"})]

    def request(self, talk, **more):
        mark = {"cache_control": {"type": "ephemeral"}}
        tools = [
            {
                "name": one["name"],
                "description": one["description"],
                "input_schema": one["parameters"],
            }
            for one in talk.tools
        ]
        tools[-1] |= mark
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in talk.messages
        ]
        messages[-1]["content"][0] |= mark
        system = [{"type": "text", "text": talk.system, **mark}]
        return {"model": self.model, "max_tokens": 99, "system": system, "messages": messages,
                "tools": tools, **more}  # fmt: skip


class Gemini(OpenAI):
    """Gemini: prefixes without marks, in steps that nobody publishes, from 2,048 tokens on."""

    model = "gemini-2.5-flash"
    turns = 24

    def __init__(self, clock):
        super().__init__(clock)
        self.cache = Cache(clock, minimum=2_048, step=512)

    def reply(self, sent):
        body = sent.body
        talk = [
            {"role": one["role"], "content": one["parts"][0]["text"]} for one in body["contents"]
        ]
        system = {"content": body["systemInstruction"]["parts"][0]["text"]}
        told = self.usage({"messages": [system, *talk], "tools": body.get("tools", ())})
        usage = {"promptTokenCount": told["prompt_tokens"], "candidatesTokenCount": 7,
                 "totalTokenCount": told["total_tokens"]}  # fmt: skip
        if read := told["prompt_tokens_details"]["cached_tokens"]:
            usage["cachedContentTokenCount"] = read
        content = {"role": "model", "parts": [{"text": "ok"}]}
        return {"candidates": [{"content": content, "finishReason": "STOP"}],
                "modelVersion": self.model, "usageMetadata": usage}  # fmt: skip

    def request(self, talk, **more):
        roles = {"user": "user", "assistant": "model"}
        contents = [
            {"role": roles[role], "parts": [{"text": text}]} for role, text in talk.messages
        ]
        config = {
            "system_instruction": talk.system,
            "tools": [{"function_declarations": talk.tools}],
        }
        return {"model": self.model, "contents": contents, "config": config, **more}


class Bedrock(Anthropic):
    """Bedrock's Converse: marks are blocks of their own."""

    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

    def blocks(self, body):
        def rows(listed, role=""):
            for one, after in zip(listed, [*listed[1:], {}], strict=True):
                if "cachePoint" not in one:
                    yield role + json.dumps(one), "cachePoint" in after

        yield from rows(body["toolConfig"]["tools"])
        yield from rows(body["system"])
        for message in body["messages"]:
            yield from rows(message["content"], message["role"])

    def told(self, body):
        total, read, written = self.usage(body)
        return {"inputTokens": total - read - written, "outputTokens": 7, "totalTokens": total + 7,
                "cacheReadInputTokens": read, "cacheWriteInputTokens": written}  # fmt: skip

    def reply(self, sent):
        message = {"role": "assistant", "content": [{"text": "ok"}]}
        return {"output": {"message": message}, "stopReason": "end_turn",
                "usage": self.told(sent.body), "metrics": {"latencyMs": 1}}  # fmt: skip

    def request(self, talk, **more):
        point = [{"cachePoint": {"type": "default"}}]
        specs = [
            {
                "toolSpec": {
                    "name": one["name"],
                    "description": one["description"],
                    "inputSchema": {"json": one["parameters"]},
                }
            }
            for one in talk.tools
        ]
        messages = [{"role": role, "content": [{"text": text}]} for role, text in talk.messages]
        messages[-1]["content"] += point
        return {"modelId": self.model, "messages": messages, "system": [{"text": talk.system}, *point],
                "toolConfig": {"tools": [*specs, *point]}, **more}  # fmt: skip
