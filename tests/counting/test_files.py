"""Tokenizer files that a user has: small ones, trained here by the packages that will read them."""

from __future__ import annotations

import base64
import io
import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tokentrace
from tokentrace.counting import anchoring, counter, files, tokenizers
from tokentrace.counting.counter import measure
from tokentrace.prompt import Usage

TEXT = "The tide turns at noon; 12 boats wait, naïve crews “sleep”.\n"
PROSE = [TEXT, "lighthouse keepers count waves and boats", "at noon the harbour opens again"] * 20
MODEL = "Qwen/Qwen3-8B"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}


@pytest.fixture(autouse=True)
def unloaded(monkeypatch):
    """Begin without any file, and forget what the test loaded."""
    monkeypatch.setattr(tokenizers, "_rulers", {})
    monkeypatch.setattr(tokenizers._loads, "under_way", set())
    tokenizers._entries.cache_clear()
    tokenizers._matching.cache_clear()
    yield
    for thread in threading.enumerate():
        if thread.name == "tokentrace-tokenizer":
            thread.join()


def byte_level(path):
    """Train a byte-level BPE tokenizer with a special token."""
    hf = pytest.importorskip("tokenizers")
    made = hf.Tokenizer(hf.models.BPE())
    made.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    trainer = hf.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|im_end|>"]
    )
    made.train_from_iterator(PROSE, trainer)
    made.save(str(path))
    return lambda text: len(made.encode(text, add_special_tokens=False).ids)


def metaspace(path):
    """Train a unigram tokenizer that marks spaces."""
    hf = pytest.importorskip("tokenizers")
    made = hf.Tokenizer(hf.models.Unigram())
    made.pre_tokenizer = hf.pre_tokenizers.Metaspace()
    trainer = hf.trainers.UnigramTrainer(
        vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    made.train_from_iterator(PROSE, trainer)
    made.save(str(path))
    return lambda text: len(made.encode(text, add_special_tokens=False).ids)


def sentencepiece(path):
    """Train a SentencePiece model."""
    sp = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sp.SentencePieceTrainer.train(
        sentence_iterator=iter(PROSE), model_writer=model, vocab_size=80, minloglevel=2,
        byte_fallback=False, hard_vocab_limit=False,
    )  # fmt: skip
    path.write_bytes(model.getvalue())
    made = sp.SentencePieceProcessor(model_proto=model.getvalue())
    return lambda text: len(made.encode(text))


def table(path):
    """Write a table: all bytes, and three words."""
    tokens = [bytes([one]) for one in range(256)] + [b" the", b" tide", b"at"]
    lines = (b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))
    path.write_bytes(b"".join(lines))
    import tiktoken

    made = tiktoken.Encoding(
        "small",
        pat_str=files.PATTERNS[-1][1],
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={},
    )
    return lambda text: len(made.encode_ordinary(text))


KINDS = {
    "tokenizer.json": byte_level,
    "unigram.json": metaspace,
    "spiece.model": sentencepiece,
    "small.tiktoken": table,
}
every_kind = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return path and counter of a kind's file, which is trained once."""
    folder, known = tmp_path_factory.mktemp("tokenizers"), {}

    def of(name):
        if name not in known:
            known[name] = (folder / name, KINDS[name](folder / name))
        return known[name]

    return of


def use(monkeypatch, path, match="*qwen*", **more):
    """Set the variable to one entry."""
    value = {"file": str(path), **more} if more else str(path)
    monkeypatch.setenv(tokenizers.VARIABLE, json.dumps({match: value}))


# ── what a file counts ───────────────────────────────────────────────────────────────────────────


@every_kind
def test_a_text_is_counted_with_the_file(monkeypatch, made, name):
    """A text's count is what the package itself says, exact, and named after the file."""
    path, tokens = made(name)
    use(monkeypatch, path)
    count = tokentrace.count(TEXT, model=MODEL)
    assert (count.total, count.method, count.error) == (tokens(TEXT), "exact", 0)
    assert count.tokenizer.startswith(f"file:{name}:")


@every_kind
def test_a_long_text_is_cut_and_says_so(monkeypatch, made, name):
    """A long text is counted in pieces: near, within its bound, and not exact."""
    path, tokens = made(name)
    use(monkeypatch, path)
    text = TEXT * 400
    count = tokentrace.count(text, model=MODEL)
    assert count.method == "calibrated"
    assert 0 < count.error < 0.02 * count.total
    assert abs(count.total - tokens(text)) <= count.error


@every_kind
def test_shares_add_up(made, name):
    """A text's segments add up to it, each token where its first character lies."""
    ruler = files.load(made(name)[0])

    @settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
    @given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=4))
    def holds(text, borders):
        marks = sorted(min(border, len(text)) for border in borders)
        total, error = ruler.tokens(text)
        shares, off = ruler.shares(text, marks)
        assert (sum(shares), off) == (total, error)
        assert min(shares) >= 0

    holds()
    text = "at noon" + TEXT
    before = ruler.shares(text, [7])[0][0]
    assert before == pytest.approx(ruler.tokens("at noon")[0], abs=1)


@every_kind
def test_a_prompt_is_narrower_and_never_exact(monkeypatch, made, name):
    """A chat prompt's text is the file's, its template an estimate with a narrower bound."""
    path, tokens = made(name)
    without = tokentrace.count(BODY, api="openai.chat", provider="groq")
    use(monkeypatch, path)
    count = tokentrace.count(BODY, api="openai.chat", provider="groq")
    assert count.components == {"user": tokens(TEXT), "framing": 8}
    assert count.method in {"calibrated", "estimated"}
    assert 0 < count.error < without.error


def test_tools_stay_estimates(monkeypatch, made):
    """With tools the host's numbers hold, and only text is the file's."""
    path, tokens = made("tokenizer.json")
    tool = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
    use(monkeypatch, path)
    count = tokentrace.count({**BODY, "tools": [tool]}, api="openai.chat", provider="groq")
    assert count.components["user"] == tokens(TEXT)
    assert count.components["tools"] > 0
    assert count.method == "estimated"
    assert sum(count.components.values()) == count.total


@pytest.mark.parametrize("api", ["ollama.chat", "bedrock.converse", "openai.embeddings"])
def test_other_apis_use_it_too(monkeypatch, made, api):
    """Ollama's, Bedrock's and embeddings' texts are measured with the file."""
    path, tokens = made("tokenizer.json")
    use(monkeypatch, path)
    parts = [{"text": TEXT}] if api == "bedrock.converse" else TEXT
    body = {"model": MODEL, "messages": [{"role": "user", "content": parts}], "input": TEXT}
    count = tokentrace.count(body, api=api)
    assert count.components["user"] == tokens(TEXT)
    assert count.method != "exact"


def test_gemini_and_mistral_take_a_file(monkeypatch, made):
    """Rules of a provider's own measure with the file as well."""
    path, tokens = made("spiece.model")
    use(monkeypatch, path, match="*")
    gemini = {"contents": [{"role": "user", "parts": [{"text": TEXT}]}], "model": "gemini-2.5-pro"}
    assert tokentrace.count(gemini, api="gemini.generateContent").components["user"] == tokens(TEXT)
    mistral = {**BODY, "model": "mistral-large-2512"}
    assert tokentrace.count(mistral, api="mistral.chat").components["user"] == tokens(TEXT)


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
def test_models_with_rules_of_their_own_stay(monkeypatch, made, model):
    """OpenAI's models and Claude are counted as ever, whatever the setting says."""
    before = tokentrace.count(TEXT, model=model)
    use(monkeypatch, made("tokenizer.json")[0], match="*")
    assert tokentrace.count(TEXT, model=model) == before


def test_names_of_special_tokens_are_text(monkeypatch, made):
    """What looks like a special token is ordinary text in a prompt."""
    use(monkeypatch, made("tokenizer.json")[0])
    assert tokentrace.count("<|im_end|>", model=MODEL).total > 1


def test_a_pattern_may_be_given(monkeypatch, made):
    """A table's text is split as the setting says."""
    path, _ = made("small.tiktoken")
    use(monkeypatch, path, pattern=r".")
    assert tokentrace.count("at at", model=MODEL).total == 5


def test_a_run_without_a_cut_is_sampled(made):
    """A long run that cannot be cut is estimated and says so, lone surrogates are no error."""
    ruler = files.load(made("tokenizer.json")[0])
    tokens, error = ruler.tokens("a" * (files.LONGEST_RUN + 9_000))
    assert 0 < error <= tokens
    assert ruler.tokens("tide \ud800 tide")[1] == 0


# ── loading ──────────────────────────────────────────────────────────────────────────────────────


def test_no_call_waits_for_a_file(monkeypatch, made):
    """A file is loaded on a thread: calls are counted without it until it is there."""
    path, tokens = made("tokenizer.json")
    use(monkeypatch, path)
    go, real = threading.Event(), files.load

    def slowly(*args):
        go.wait(60)
        return real(*args)

    monkeypatch.setattr(files, "load", slowly)
    _, early = measure(BODY, api="openai.chat", provider="groq")
    assert early.tokenizer == "o200k_base"
    go.set()
    for thread in threading.enumerate():
        if thread.name == "tokentrace-tokenizer":
            thread.join(60)
    _, later = measure(BODY, api="openai.chat", provider="groq")
    assert later.components["user"] == tokens(TEXT)


def test_instrumenting_loads_ahead(monkeypatch, made):
    """Files are loaded as soon as they can be known."""
    use(monkeypatch, made("tokenizer.json")[0])
    tokenizers.load_in_background()
    for thread in threading.enumerate():
        if thread.name == "tokentrace-tokenizer":
            thread.join(60)
    assert tokenizers.ruler(MODEL) is not None


def test_a_count_in_other_tokens_is_no_anchor(monkeypatch, made):
    """What was counted before the file was there is not counted on from, and the pace begins anew."""
    prompt, before = measure(BODY, api="openai.chat", provider="groq")
    history = anchoring.History()
    history.note(prompt, anchoring.footprint(prompt, before), Usage(input=30))
    use(monkeypatch, made("tokenizer.json")[0])
    tokenizers.load(MODEL)
    prompt, now = measure(BODY, api="openai.chat", provider="groq")
    assert anchoring.anchored(now, prompt, history) == now
    history.note(prompt, anchoring.footprint(prompt, now), Usage(input=now.total + 2))
    assert len(history.anchors) == 1
    assert anchoring.anchored(now, prompt, history).method == "anchored"


# ── files of no use ──────────────────────────────────────────────────────────────────────────────


def broken(kind, folder, made):
    """Return a path that is no tokenizer."""
    path = folder / "tokenizer.json"
    whole = made("tokenizer.json")[0].read_bytes()
    contents = {
        "truncated": whole[: len(whole) // 2],
        "other JSON": b'{"model": {"type": "Nothing"}}',
        "empty": b"",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "truncated model": made("spiece.model")[0].read_bytes()[:200],
        "bad table": b"YQ== 0\nYg== 1\n",
        "bad base64": b"YQ== 0\n!! 1\n",
        "no utf-8": b"{\xff\xfe",
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(contents.get(kind, b"{}"))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "folder", "empty", "truncated", "other JSON", "picture", "truncated model"),
        *("bad table", "bad base64", "no utf-8", "huge"),
    ],
)
def test_a_file_of_no_use_is_one_warning(monkeypatch, made, tmp_path, caplog, kind):
    """Counting goes on as without the file, and one line says which file and why."""
    without = tokentrace.count(BODY, api="openai.chat", provider="groq")
    path = broken(kind, tmp_path, made)
    if kind == "huge":
        monkeypatch.setattr(files, "LARGEST_FILE", 1)
    use(monkeypatch, path)
    for _ in range(3):
        assert tokentrace.count(BODY, api="openai.chat", provider="groq") == without
    assert tokentrace.count(TEXT, model=MODEL).method == "estimated"
    (line,) = [record.getMessage() for record in caplog.records]
    assert "tokenizer.json" in line
    assert tokenizers.VARIABLE in line


@pytest.mark.parametrize("name", ["tokenizer.json", "spiece.model"])
def test_a_missing_library_is_told_with_its_extra(monkeypatch, made, caplog, name):
    """Where the library is not installed, the line says what to install."""
    path, _ = made(name)
    library = {"tokenizer.json": "tokenizers", "spiece.model": "sentencepiece"}[name]
    monkeypatch.setitem(__import__("sys").modules, library, None)
    use(monkeypatch, path)
    assert tokentrace.count(TEXT, model=MODEL).method == "estimated"
    assert f"pip install 'tokentrace[{library}]'" in caplog.text


@pytest.mark.parametrize(
    "value", ["no json", "[]", '{"*": 1}', '{"*": {}}', '{"*": null}', "[" * 3_000]
)
def test_a_setting_of_no_use_is_one_warning(monkeypatch, caplog, value):
    """What is no object of models and paths is told once and not used."""
    monkeypatch.setenv(tokenizers.VARIABLE, value)
    for _ in range(2):
        assert tokentrace.count(TEXT, model=MODEL).method == "estimated"
    assert [tokenizers.VARIABLE in one.getMessage() for one in caplog.records] == [True]


def test_rules_are_those_of_the_form_without_a_file():
    """Nothing changes where nobody has a file."""
    prompt, _ = measure(BODY, api="openai.chat", provider="groq")
    scope = counter._scope(prompt, counter.PLAIN, "groq", None, "openai")
    assert counter._ruled("openai", scope, prompt) == "openai"
