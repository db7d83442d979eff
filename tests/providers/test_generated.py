"""The generated table: what it holds, who may use which row, and what it costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path

import pytest

from tokentrace import providers
from tokentrace.providers import generated, sharing

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "scripts" / "learn_models.py"
TEXT = (files("tokentrace.providers") / generated.FILE).read_text(encoding="utf-8")

# Where rows written by hand and the source differ, and why ours stand.
WHOLE_WINDOW = "the source gives the whole window as the input; the output has its own share"
DISAGREEMENTS = {
    "chat-latest": WHOLE_WINDOW,
    "gpt-5.1-codex*": WHOLE_WINDOW,
    "gpt-5.[45]": WHOLE_WINDOW,
    "gpt-5.[45]-20*": WHOLE_WINDOW,
    "gpt-5.[45]-pro*": WHOLE_WINDOW,
    "gpt-3.5-turbo-instruct*": "OpenAI's model page says 4,096 for input and output together",
    "text-embedding-*": "OpenAI's embedding page says 8,192",
}


def find(model, provider="", url=""):
    """Return whose row a model finds, and its numbers."""
    found = providers.look_up(model, provider, url)
    row = found.row
    return found.holder.name, row and (row.input, row.output, row.window, row.refuses_sum)


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


def test_the_file_is_dated_and_names_its_source():
    """It says when it was read, from which releases, under which licence, and who writes it."""
    table = generated.load()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", table.dated)
    assert all(re.fullmatch(r"litellm \d+\.\d+\.\d+", name) for name in generated.releases())
    assert "scripts/learn_models.py" in TEXT
    licence = files("tokentrace.providers") / "data/LICENSE-litellm.txt"
    assert "MIT License" in licence.read_text(encoding="utf-8")


def test_the_file_is_small():
    """The table costs little in the wheel, and each of its lines can be read in a diff."""
    assert len(TEXT) < 120_000
    assert max(map(len, TEXT.splitlines())) < 140


def test_every_row_is_sound():
    """Each row of every provider has a sane limit, a larger one than its output where they share."""
    assert sum(map(len, generated.load().blocks.values())) > 1_500
    for owner in generated.load().blocks:
        assert owner == generated.ANYONE or owner in providers.PROVIDERS
        for row in generated.rows(owner):
            tokens = providers.limit(row).tokens
            assert 0 < tokens < 2**31
            assert row.window is None or (row.output or 0) < row.window
            assert (row.input is None) != (row.window is None)
            assert (row.tokenizer, row.family) == ("", "")


def test_no_generated_row_hides_one_by_hand():
    """A name that a hand-written row knows stands only where a host differs from its maker."""
    for owner, block in generated.load().blocks.items():
        for name in block:
            maker, row = providers.by_hand(name)
            if row is not None:
                assert owner not in {maker.name, generated.ANYONE}
                assert providers.limit(providers.find(name, owner)[1]) != providers.limit(row)


def test_the_disagreements_with_the_source_are_known():
    """Each is told in the file with our number, each has a reason here, and no reason is idle."""
    told = [line.split()[1:] for line in TEXT.splitlines() if line.startswith("#!")]
    used = set()
    for name, limit, output, *_ in told:
        row = providers.by_hand(name)[1]
        assert (str(providers.limit(row).tokens), str(row.output)) == (limit, output)
        used |= {glob for glob in DISAGREEMENTS if fnmatchcase(name, glob)}
        assert any(fnmatchcase(name, glob) for glob in used), name
    assert used == set(DISAGREEMENTS)


# ── whose row ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "provider", "url", "holder"),
    [
        ("gemini-2.5-flash", "", "", "gemini"),
        ("models/gemini-2.5-flash", "gemini", "", "gemini"),
        ("publishers/google/models/gemini-2.5-flash", "vertex", "", "vertex"),
        ("mistral-large-2411", "mistral", "", "mistral"),
        ("us.amazon.nova-lite-v1:0", "bedrock", "", "bedrock"),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-lite-v1:0",
            "",
            "",
            "bedrock",
        ),
        ("deepseek/deepseek-r1", "openrouter", "", "openrouter"),
        ("deepseek-r1", "", "https://api.deepseek.com", "deepseek"),
        ("deepseek-r1", "", "https://llm.example/v1", "any-host"),
        ("meta-llama/Llama-3.3-70B-Instruct", "", "http://localhost:8000/v1", "any-host"),
        ("gpt-4o", "azure", "", "openai"),
        ("claude-sonnet-4-5", "bedrock", "", "anthropic"),
    ],
)
def test_the_servers_own_row_goes_before_the_makers(model, provider, url, holder):
    """The server's row holds, then the maker's; at another place what hosts are known to take."""
    assert find(model, provider, url)[0] == holder


def test_input_and_output_are_held_as_each_provider_has_them():
    """Gemini limits both apart, others share a window, embeddings have an input alone."""
    assert find("gemini-2.5-pro") == ("gemini", (1_048_576, 65_536, None, False))
    assert find("mistral-medium-latest", "mistral")[1][0] is None
    assert find("mistral-embed", "mistral")[1][1:] == (None, None, False)
    assert find("qwen-plus-2025-01-25", "dashscope")[1] == (129_024, 8_192, None, False)


@pytest.mark.parametrize(
    ("model", "provider", "refuses"),
    [
        ("deepseek-chat", "deepseek", True),
        ("mistral-large-latest", "mistral", False),
        ("grok-3", "xai", False),
        ("deepseek-chat", "huggingface", False),
        ("llama-3.3-70b-instruct", "openrouter", True),
        ("llama-3.3-70b-versatile", "groq", False),
    ],
)
def test_a_refusal_of_the_sum_is_the_servers(model, provider, refuses):
    """Only where a provider's own wording counts the output is it taken off the window."""
    row = providers.find(model, provider)[1]
    assert row.refuses_sum is refuses
    left = providers.limit(row, 1_000).tokens
    assert left == row.window - (1_000 if refuses else 0)


def test_every_meaning_has_a_reason():
    """Nothing is claimed of a provider without a line that says why, and all are known ones."""
    assert sharing.BY_PROVIDER.keys() <= providers.PROVIDERS.keys()
    assert all(told.reason for told in sharing.BY_PROVIDER.values())
    assert not sharing.of("nobody").refuses_sum


@pytest.mark.parametrize(
    "model",
    ["router", "auto", "container", "llama3.2:3b", "qwen3:latest", "gemma3:1b", "*", "e", "-"],
)
def test_names_that_mean_nothing_or_another_thing_everywhere_find_no_row(model):
    """Words, and Ollama's names whose window is the server's own setting, are not guessed at."""
    assert find(model, "", "http://localhost:11434")[1] is None


def test_a_version_is_not_taken_for_a_date():
    """A name with four digits has its own row or none; a full date or ``latest`` is left off."""
    assert generated.names_of("qwen3-235b-a22b-2507") == ("qwen3-235b-a22b-2507",)
    assert generated.names_of("qwen-max-2025-01-25")[-1] == "qwen-max"
    assert generated.names_of("us.meta.llama3-1-8b-instruct-v1")[-1] == "llama3-1-8b-instruct-v1"


def test_a_hosts_numbers_keep_the_makers_family(monkeypatch):
    """A host that takes less than the maker changes numbers, nothing that counting goes by."""
    blocks = {"groq": {"claude-sonnet-4-5": generated.Line("50000 8000", "litellm 0.0.1")},
              "azure": {"gpt-5": generated.Line("100000 -", "litellm 0.0.1")}}  # fmt: skip
    monkeypatch.setattr(generated, "load", lambda: generated.Table("2026-01-01", blocks))
    providers._find.cache_clear()
    try:
        claude, gpt = (
            providers.find("claude-sonnet-4-5", "groq")[1],
            providers.find("gpt-5", "azure")[1],
        )
        assert (claude.window, claude.output, claude.family) == (50_000, 8_000, "claude-4")
        assert (gpt.input, gpt.output, gpt.window) == (100_000, 128_000, None)
        assert providers.look_up("gpt-5", "azure").holder.dated == "2026-01-01"
    finally:
        providers._find.cache_clear()


@pytest.mark.parametrize(("model", "provider"), [("grok-4", "azure"), ("gpt-realtime", "openai")])
def test_a_generated_row_makes_no_text_exact(model, provider):
    """Who serves a model says nothing about its tokenizer where the row names none."""
    import tokentrace

    assert providers.find(model, provider)[1].tokenizer == ""
    assert tokentrace.count("Is every pod well?", model=model, provider=provider).method != "exact"


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────


def test_importing_reads_no_table():
    """Neither `import tokentrace` nor its providers read the file; the first look-up does."""
    code = (
        "import tokentrace; from tokentrace import providers; from tokentrace.providers import generated\n"
        "print(generated.load.cache_info().currsize)\n"
        "providers.find('some-model-1'); print(generated.load.cache_info().currsize)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "1"]


def test_reading_is_quick():
    """The file is read in 30 ms of CPU time, the best of three."""
    took = []
    for _ in range(3):
        begun = time.thread_time()
        generated.parse(TEXT)
        took.append(time.thread_time() - begun)
    assert min(took) < 0.03


def looking_up(pattern, turn):
    """Return the CPU seconds of looking up 300 names that were not looked up before."""
    names = [pattern.format(turn, number) for number in range(300)]
    begun = time.thread_time()
    for name in names:
        providers.find(name, "", "https://llm.example/v1")
    return time.thread_time() - begun


def test_an_unknown_model_costs_little():
    """A name that nobody knows costs a few times what one of the rows by hand does, in one run."""
    providers.load()
    ratios = [
        looking_up("us.acme.model-{}-{}-v1:0", turn) / looking_up("gpt-4o-{}-{}", turn)
        for turn in range(7)
    ]
    assert min(ratios) < 8


def test_a_missing_file_is_an_empty_table(monkeypatch):
    """A package without the file knows the rows by hand, and raises nothing."""
    monkeypatch.setattr(generated, "FILE", "data/nothing.txt")
    assert generated.load.__wrapped__().blocks == {}


# ── the script ───────────────────────────────────────────────────────────────────────────────────

MADE_UP = {
    "sample_spec": {"max_input_tokens": "a number", "mode": "one of: chat"},
    "mistral/mistral-acme-9": {"litellm_provider": "mistral", "mode": "chat", "max_input_tokens": 64_000.0,
                               "max_output_tokens": 64_000},
    "groq/meta-llama/Meta-Llama-9-8B": {"litellm_provider": "groq", "mode": "chat", "max_input_tokens": 8_192,
                                        "max_output_tokens": 1_024},
    "deepinfra/Llama-9-8B": {"litellm_provider": "deepinfra", "mode": "chat", "max_input_tokens": 131_072},
    "novita/llama-9-8b": {"litellm_provider": "novita", "mode": "chat", "max_input_tokens": 262_144},
    "eu.amazon.nova-9-v1:0": {"litellm_provider": "bedrock_converse", "mode": "chat", "max_input_tokens": 900},
    "amazon.nova-9-v1:0": {"litellm_provider": "bedrock_converse", "mode": "chat", "max_input_tokens": 1_000},
    "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 127_000, "max_output_tokens": 16_384},
    "azure/gpt-4o": {"litellm_provider": "azure", "mode": "chat", "max_input_tokens": 127_000},
    "groq/openai/gpt-4o": {"litellm_provider": "groq", "mode": "chat", "max_input_tokens": 30_000},
    "xai/grok-paint-9": {"litellm_provider": "xai", "mode": "image_generation", "max_input_tokens": 1_000},
    "xai/grok-odd-9": {"litellm_provider": "xai", "mode": "chat", "max_tokens": 1_000},
    "ollama/llama9": {"litellm_provider": "ollama", "mode": "chat", "max_input_tokens": 8_192},
    "acme/model-9": {"litellm_provider": "acme", "mode": "chat", "max_input_tokens": 8_192},
    "cohere/embed-9": {"litellm_provider": "cohere", "mode": "embedding", "max_input_tokens": 512},
}  # fmt: skip
OLDER = {
    "mistral/mistral-acme-9": {"litellm_provider": "mistral", "mode": "chat", "max_input_tokens": 1},
    "mistral/mistral-acme-8": {"litellm_provider": "mistral", "mode": "chat", "max_input_tokens": 32_000},
}  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Return what the script makes of two releases, and what it says on stderr."""
    folder = tmp_path_factory.mktemp("releases")
    paths = [folder / "litellm 2.0.0.json", folder / "litellm 1.0.0.json"]
    for path, models in zip(paths, (MADE_UP, OLDER), strict=True):
        path.write_text(json.dumps(models), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, SCRIPT, *paths], capture_output=True, text=True, check=True
    )
    return generated.parse(run.stdout), run.stderr


def numbers(table, owner):
    """Return a block's numbers by name."""
    return {name: line.numbers for name, line in table.blocks.get(owner, {}).items()}


def test_the_script_takes_what_says_something(learnt):
    """Chat and embedding models with an input; the plainest entry; an output only where it is less."""
    table, _ = learnt
    assert numbers(table, "mistral") == {"mistral-acme-9": "64000 -", "mistral-acme-8": "32000 -"}
    assert numbers(table, "bedrock") == {"nova-9-v1": "1000 -"}
    assert numbers(table, "cohere") == {"embed-9": "512 e"}
    assert not table.blocks.keys() & {"xai", "ollama.com", "acme", "novita", "openai"}


def test_the_script_asks_older_releases_for_what_is_gone(learnt):
    """A name that the newest release dropped comes from the one before, and says so."""
    block = learnt[0].blocks["mistral"]
    assert block["mistral-acme-8"].source == "litellm 1.0.0"
    assert block["mistral-acme-9"].source == "litellm 2.0.0"


def test_the_script_takes_the_largest_number_of_any_host(learnt):
    """A model without a maker has each host's own row, and everywhere else the largest."""
    table, _ = learnt
    assert numbers(table, "groq")["llama-9-8b"] == "8192 1024"
    assert numbers(table, generated.ANYONE) == {"llama-9-8b": "262144 -"}


def test_the_script_keeps_rows_by_hand_and_tells_disagreements(learnt):
    """A host that repeats its maker's error is left out, one that differs stands, and we are told."""
    table, told = learnt
    assert "gpt-4o" not in numbers(table, "azure")
    assert numbers(table, "groq")["gpt-4o"] == "30000 -"
    assert "disagrees: gpt-4o 128000 16384 127000 16384" in told.splitlines()
