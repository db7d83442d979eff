"""Limits by configuration: keys of models, providers and URLs, from the guard and from the environment."""

from __future__ import annotations

import json
import os

import pytest

from tokentrace import Guard
from tokentrace.guard import LESSONS, configured, limit_of, soft_limit_of
from tokentrace.guard.learned import key_of
from tokentrace.prompt import Limit, Prompt
from tokentrace.providers.overflow import Overflow

AZURE = "https://acme.openai.azure.com/openai/"
LOCAL = "http://localhost:8000/v1/"


def limit(guard=None, model="gpt-4o", provider="", url="", **more):
    """Return the limit of a call."""
    return limit_of(guard, provider, url, Prompt("openai.chat", model, **more))


@pytest.mark.parametrize(
    ("key", "model", "provider", "url"),
    [
        ("gpt-4o*", "gpt-4o-mini", "", ""),
        ("GPT-4O", "gpt-4o", "", ""),
        ("azure/my-deployment", "my-deployment", "azure", ""),
        ("azure/my-deployment", "my-deployment", "", AZURE),
        ("Azure/*", "my-deployment", "", AZURE),
        ("azure.ai.openai/my-*", "my-deployment", "", AZURE),
        ("in-house/llama", "llama", "in-house", ""),
        ("local/*", "llama", "", LOCAL),
        ("meta-llama/*", "meta-llama/Llama-3", "", ""),
        ("http://localhost:8000/*", "llama", "", LOCAL),
        ("http://localhost:8000/*", "llama", "", "http://localhost:8000"),
        ("http://localhost:8000", "llama", "", "http://localhost:8000/"),
        ("http://LOCALHOST:8000/v1", "llama", "", "http://user:secret@localhost:8000/v1?key=1#x"),
        ("https://*.azure.com/*", "llama", "", AZURE),
        ("http://[::1]:8000/*", "llama", "", "http://[::1]:8000/v1"),
        ("*://localhost:*", "llama", "", LOCAL),
    ],
)
def test_a_key_matches(key, model, provider, url, monkeypatch):
    """A key names a model, who serves it, or where; the guard's and the environment's are the same."""
    told = Limit(777, "configured")
    assert limit(Guard(limit={"other": 1, key: 777}), model, provider, url) == told
    monkeypatch.setenv("TOKENTRACE_LIMITS", json.dumps({"other": 1, key: 777}))
    assert limit(None, model, provider, url) == limit(Guard(), model, provider, url) == told


@pytest.mark.parametrize(
    ("key", "model", "provider", "url"),
    [
        ("azure/my-deployment", "my-deployment", "openai", ""),
        ("http://localhost:8000/*", "llama", "", "http://localhost:80000/v1"),
        ("http://localhost:8000/*", "llama", "", "https://localhost:8000/v1"),
        ("http://localhost:8000/*", "llama", "", ""),
        ("http://secret@localhost:8000/*", "llama", "", "http://secret@localhost:8000/v1"),
        ("http://localhost:8000/v2", "llama", "", LOCAL),
        ("gpt-4o", "gpt-4o-mini", "", ""),
    ],
)
def test_a_key_does_not_match(key, model, provider, url):
    """Another provider, port, scheme or path is another place; a user's name is never a key."""
    assert limit(Guard(limit={key: 777}), model, provider, url).source != "configured"


def test_the_models_own_name_goes_before_patterns_and_the_first_pattern_before_others():
    """An exact key holds wherever it stands; of patterns the first does."""
    keys = {"http://localhost:*": 1, "*": 2, "local/llama": 3}
    assert limit(Guard(limit=keys), "llama", "", LOCAL).tokens == 3
    assert limit(Guard(limit=keys), "qwen", "", LOCAL).tokens == 1
    assert limit(Guard(limit=keys), "qwen").tokens == 2


def test_the_order_of_sources(monkeypatch):
    """The guard's own limit, then the environment's, then what was learned, then the table."""
    key = key_of("", "", "gpt-4o")
    LESSONS.note(key, Overflow(50_000, 60_000), None)
    assert limit().source == "learned"
    monkeypatch.setenv("TOKENTRACE_LIMITS", '{"gpt-4o": 40000}')
    assert limit() == limit(Guard()) == Limit(40_000, "configured")
    assert limit(Guard(limit={"x": 1})) == Limit(40_000, "configured")
    assert limit(Guard(limit=lambda _: None)) == Limit(40_000, "configured")
    assert limit(Guard(limit=30_000)) == Limit(30_000, "configured")
    assert limit(Guard(limit={"gpt-4*": 20_000})).tokens == 20_000
    monkeypatch.delenv("TOKENTRACE_LIMITS")
    LESSONS.clear()
    assert limit() == Limit(128_000, "registry")


def test_the_variable_for_all_models_goes_first(monkeypatch):
    """TOKENTRACE_LIMIT is the default guard's own limit, so it holds before TOKENTRACE_LIMITS."""
    from tokentrace.instrument import state

    monkeypatch.setenv("TOKENTRACE_LIMITS", '{"*": 41000}')
    assert limit(state.default_guard()).tokens == 41_000
    monkeypatch.setenv("TOKENTRACE_LIMIT", "42000")
    assert limit(state.default_guard()).tokens == 42_000


def test_a_configured_limit_has_no_soft_one_beside_it(monkeypatch):
    """Where a limit was given, the requested output is not counted against the table's window."""
    prompt = Prompt("anthropic.messages", "claude-sonnet-4-5", max_output=8_000)
    assert soft_limit_of(Guard(), "", "", prompt) == 192_000
    monkeypatch.setenv("TOKENTRACE_LIMITS", '{"anthropic/*": 43000}')
    assert soft_limit_of(Guard(), "", "", prompt) is None
    assert limit_of(Guard(), "", "", prompt) == Limit(43_000, "configured")


def test_check_obeys_the_environment(monkeypatch):
    """`Guard.check` uses the limits of the environment too."""
    monkeypatch.setenv("TOKENTRACE_LIMITS", '{"gpt-4o": 5}')
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Is every pod well?"}]}
    report = Guard(on_exceed="raise").check(body, api="openai.chat")
    assert (report.decision, report.count.limit_source) == ("refuse", "configured")


# ── files ────────────────────────────────────────────────────────────────────────────────────────

FILES = {
    "a.json": '{"gpt-4o": 9001}',
    "b.json": '{"limits": {"gpt-4o": 9001}, "version": 1}',
    "c.toml": '"gpt-4o" = 9001\n',
    "d.TOML": '[limits]\n"gpt-4o" = 9001\n"http://localhost:8000/*" = 5\n',
}


@pytest.mark.parametrize(("name", "content"), FILES.items(), ids=FILES)
def test_a_file_may_hold_them(name, content, tmp_path, monkeypatch, caplog):
    """JSON or TOML, the entries at the top or in a table of their own; ``~`` is the home folder."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (tmp_path / name, f"~/{name}"):
        monkeypatch.setenv("TOKENTRACE_LIMITS", str(path))
        assert limit().tokens == 9_001
    assert caplog.records == []


def test_a_file_is_read_once(tmp_path, monkeypatch):
    """What a file says later is not seen: no call waits for a disk."""
    path = tmp_path / "limits.json"
    path.write_text('{"gpt-4o": 9002}', encoding="utf-8")
    monkeypatch.setenv("TOKENTRACE_LIMITS", str(path))
    assert limit().tokens == 9_002
    path.unlink()
    assert limit().tokens == 9_002


# ── nonsense ─────────────────────────────────────────────────────────────────────────────────────


def test_bad_entries_are_a_warning_each_and_the_others_hold(monkeypatch, caplog):
    """What is no number of tokens is named once, shortened; good entries are used."""
    told = {
        "gpt-4o": 9003,
        "a": "12",
        "b": -1,
        "c": 1.5,
        "d": True,
        "e": None,
        "f" * 500: [1] * 500,
    }
    monkeypatch.setenv("TOKENTRACE_LIMITS", json.dumps(told))
    assert [limit().tokens for _ in range(3)] == [9_003] * 3
    assert len(caplog.records) == 6
    assert all("TOKENTRACE_LIMITS" in text and len(text) < 300 for text in caplog.messages)


@pytest.mark.parametrize(
    "raw",
    ["100000", "gpt-4o=5", "{", '{"gpt-4o": 5', "{}x", "nowhere.json", "/", "\x01", "x" * 9_000,
     '{"a":' * 2_000 + "1" + "}" * 2_000],
)  # fmt: skip
def test_nonsense_is_one_warning_and_nothing(raw, monkeypatch, caplog):
    """No JSON, no file, a folder: one short line, and the limits of the table."""
    monkeypatch.setenv("TOKENTRACE_LIMITS", raw)
    assert [limit().source for _ in range(3)] == ["registry"] * 3
    assert len(caplog.records) == 1
    assert len(caplog.messages[0]) < 200


@pytest.mark.parametrize("name", ["x.json", "x.toml"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b"= =", b" " * (2**20 + 1)])
def test_a_bad_file_is_one_warning(name, content, tmp_path, monkeypatch, caplog):
    """Neither encoding nor form nor size of a file raises."""
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("TOKENTRACE_LIMITS", str(tmp_path / name))
    assert limit().source == "registry"
    assert len(caplog.records) <= 1


def test_a_pipe_is_no_file(tmp_path, monkeypatch, caplog):
    """A named pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("TOKENTRACE_LIMITS", str(tmp_path / "pipe"))
    assert configured.given() == {}
    assert len(caplog.records) == 1


def test_too_many_entries_are_refused_as_a_whole(monkeypatch, caplog):
    """A thousand entries are looked through at each call; more are not."""
    monkeypatch.setenv("TOKENTRACE_LIMITS", json.dumps({f"m{n}": 1 for n in range(1_001)}))
    assert configured.given() == {}
    assert "1,000" in caplog.text


def test_loading_ahead_reads_table_and_environment(monkeypatch, tmp_path):
    """After `limits.load` a call opens no file."""
    from tokentrace.guard import limits

    path = tmp_path / "ahead.json"
    path.write_text('{"gpt-4o": 9004}', encoding="utf-8")
    monkeypatch.setenv("TOKENTRACE_LIMITS", str(path))
    limits.load()
    path.unlink()
    assert limit().tokens == 9_004
