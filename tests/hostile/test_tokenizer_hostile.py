"""Text and vocabularies that a tokenizer does not like."""

from __future__ import annotations

import logging
import socket
import time

import pytest

import tokentrace
from hostile.cases import check_case, creating, listening, perform, plain_reply, request, shop
from tokentrace.counting import text as texts
from tokentrace.counting import vocab

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SPECIAL = [
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|fim_prefix|>",
    "<|im_start|>",
    "<|start|>",
    "<|channel|>",
]


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize("special", SPECIAL)
def test_special_tokens_are_ordinary_text(special, name):
    """TK1: text that looks like a special token is counted letter by letter, never refused."""
    tokens, error = texts.ruler(name).tokens(special)
    assert tokens > 1
    assert error == 0
    joined, _ = texts.ruler(name).tokens(f"a {special} b")
    assert joined > tokens


def spoil(monkeypatch, change):
    """Have the packed tables read other than they are; forget what was loaded."""
    real = vocab._read
    monkeypatch.setattr(vocab, "_read", lambda name: change(real(name)))
    monkeypatch.setattr(vocab, "_loaded", {})
    monkeypatch.setattr(texts, "_rulers", {})
    from tokentrace.counting.store import STORE

    STORE.clear()


def flipped(packed):
    return packed[:1000] + bytes([packed[1000] ^ 1]) + packed[1001:]


DAMAGES = {
    "one bit": flipped,
    "truncated": lambda packed: packed[:-1],
    "empty": lambda _packed: b"",
    "longer": lambda packed: packed + b"x",
    "another": lambda _packed: b"x" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_vocabulary_is_refused(damage, monkeypatch):
    """TK3, SE5: the hash does not match: an estimate with a bound, one warning, the call as ever."""
    spoil(monkeypatch, DAMAGES[damage])
    with pytest.raises(vocab.VocabularyError):
        vocab.load("o200k_base")
    with listening() as logs:
        seen = check_case(creating(request), shop("openai", "sync"), plain_reply("openai"))
        check_case(creating(request), shop("openai", "async"), plain_reply("openai"))
    assert (seen.call.method, seen.call.tokenizer) == ("estimated", "bytes")
    assert seen.call.error >= abs(seen.call.tokens - 15)
    told = [log for log in logs if "damaged" in log.getMessage()]
    assert len(told) == 1
    STORE_RESET()


def test_a_missing_vocabulary(monkeypatch):
    """TK2: a table that is not in the package is an estimate too."""

    def gone(_name):
        raise vocab.VocabularyError("the table is missing")

    monkeypatch.setattr(vocab, "_read", gone)
    monkeypatch.setattr(vocab, "_loaded", {})
    monkeypatch.setattr(texts, "_rulers", {})
    STORE_RESET()
    seen = check_case(creating(request), shop("openai", "sync"), plain_reply("openai"))
    assert seen.call.tokenizer == "bytes"
    STORE_RESET()


def STORE_RESET():
    from tokentrace.counting.store import STORE

    STORE.clear()


def test_no_network_for_a_vocabulary(monkeypatch, tmp_path):
    """TK2: with an empty cache and every socket closed, counts are exact."""

    def refused(*_args, **_kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(vocab, "_loaded", {})
    monkeypatch.setattr(texts, "_rulers", {})
    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    counted = tokentrace.count(request("openai"), api="openai.chat")
    assert (counted.method, counted.tokenizer) == ("exact", "o200k_base")
    assert list(tmp_path.iterdir()) == []


class Panic(BaseException):
    """As tiktoken's: no Exception."""


@pytest.mark.parametrize("kind", [Panic, ValueError, MemoryError, RecursionError])
def test_a_tokenizer_that_panics(kind, monkeypatch):
    """TK4: what the tokenizer throws is counted, estimated, and never seen by the host."""

    def panic(_text):
        raise kind("panicked")

    broken = texts.TokenRuler(vocab.Vocabulary("o200k_base", panic, b"\x01"))
    monkeypatch.setattr(texts, "_rulers", {"o200k_base": broken})
    STORE_RESET()
    seen = check_case(
        creating(request), shop("openai", "sync"), plain_reply("openai"), errors={kind.__name__}
    )
    assert seen.call.method != "exact"
    assert seen.call.error > 0
    STORE_RESET()


RUNS = {
    "a": "a" * 1_000_000,
    "spaces": " " * 1_000_000,
    "newlines": "\r\n" * 500_000,
    "Chinese": "漢" * 1_000_000,
    "emoji": "👩‍👩‍👧" * 200_000,
    "digits": "7" * 1_000_000,
    "base64": "QUJDREVGR0hJSktMTU5PUFFS" * 40_000,
    "combining": "a" + "\u0301" * 1_000_000,
    "surrogates": "\ud83d" * 1_000_000,
    "punctuation": "/" * 1_000_000,
    "mixed": "aA1 é漢\t\n'\"" * 80_000,
}


@pytest.mark.parametrize("run", RUNS)
def test_a_megabyte_of_anything(run):
    """TK4: within a budget of time a count with its bound, and it says whether it is exact."""
    ruler = texts.ruler("o200k_base")
    start = time.thread_time()
    tokens, error = ruler.tokens(RUNS[run], 0.05)
    took = time.thread_time() - start
    assert 0 < tokens <= len(RUNS[run].encode("utf-8", "surrogatepass"))
    assert error >= 0
    assert took < 0.05 * 4  # one piece may be under way when the budget ends, on a shared machine


def test_the_host_log_is_quiet_about_odd_text():
    """TK1: odd text is nobody's warning."""
    odd = "".join(SPECIAL) + "\ud800\x00" * 50
    with listening() as logs:
        tokentrace.count(
            {"messages": [{"role": "user", "content": odd}]}, api="openai.chat", model="gpt-4o"
        )
    assert [log for log in logs if log.levelno >= logging.WARNING] == []
    assert perform(creating(request), shop("openai", "sync"), plain_reply("openai")).error is None
