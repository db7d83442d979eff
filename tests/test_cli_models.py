"""`tokentrace models`: the table, single names, JSON, and names that nobody knows."""

from __future__ import annotations

import json

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from tokentrace import cli, providers
from tokentrace.cli import models
from tokentrace.providers import generated

ROWS = [(p.name, row) for p in providers.PROVIDERS.values() for row in p.models]


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """Run 80 columns wide, without colour."""
    for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def invoke(*words):
    """Run the command in this process."""
    return CliRunner().invoke(cli.app, ["models", *map(str, words)])


def asked(*words):
    """Return the document of a run that ended well."""
    result = invoke(*words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def cells_of(page, match):
    """Return the cells of a row of the table."""
    (line,) = [line.split() for line in page.splitlines() if line.split()[:1] == [match]]
    return line[1:]


def facts_of(page):
    """Return what is told of one model, by its heading."""
    lines = (line.split(maxsplit=1) for line in page.splitlines()[1:] if line[:1] != " ")
    return {words[0]: words[1].strip() for words in lines if len(words) == 2}


# ── the table ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width", [80, 200])
def test_every_row_by_hand_is_shown_and_none_wraps(width, monkeypatch):
    """Each glob stands in the table, in full, and no line of it is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    page = invoke().stdout
    assert max(cell_len(line) for line in page.splitlines()) <= width
    assert [row.match for _, row in ROWS if len(cells_of(page, row.match)) != 6] == []
    assert ("o200k_base" in page) is (width == 200)


def test_rows_stand_under_their_provider_with_source_and_date():
    """Each group names whose rows these are, when they were read, and from where."""
    page = invoke().stdout
    first, second = page.index("openai · "), page.index("anthropic · ")
    assert first < page.index("gpt-4o") < second < page.index("claude-opus-5")
    assert second < page.index("gemini · ") < page.index("\ngemini-2.5-pro ")
    for maker in (providers.PROVIDERS["openai"], providers.PROVIDERS["anthropic"]):
        assert f"read {maker.dated}" in page
        assert maker.source in " ".join(page.split())


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ("gpt-4o", ["128,000", "16,384", "128,000", "refused", "o200k", "exact"]),
        ("gpt-5", ["272,000", "128,000", "400,000", "no", "o200k", "exact"]),
        ("o3*", ["200,000", "100,000", "200,000", "yes", "o200k", "exact"]),
        ("gpt-oss*", ["131,072", "-", "131,072", "yes", "o200k", "estimated"]),
        ("gpt-3.5-turbo-instruct*", ["4,096", "4,096", "4,096", "refused", "cl100k", "estimated"]),
        ("text-embedding-3-*", ["8,192", "-", "-", "-", "cl100k", "exact"]),
        ("claude-sonnet-4-5", ["200,000", "64,000", "200,000", "yes", "o200k", "calibrated"]),
        ("claude-sonnet-4", ["200,000", "64,000", "200,000", "refused", "o200k", "calibrated"]),
    ],
)
def test_a_row_tells_limits_window_vocabulary_and_method(match, told):
    """Numbers are the registry's; the method is what the rules' own judges say."""
    assert cells_of(invoke().stdout, match) == told


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_one_maker(provider):
    """--provider leaves the rows of the others out."""
    document = asked("--provider", provider)
    known = [row.match for name, row in ROWS if name == provider]
    assert [row["match"] for row in document["models"]][: len(known)] == known
    assert {row["provider"] for row in document["models"]} == {provider}


@pytest.mark.parametrize("provider", ["bedrock", "aws.bedrock"])
def test_one_host(provider):
    """A host's rows are shown by its short name and by the standard's, the newest release first."""
    document = asked("--provider", provider)
    found = generated.load().blocks["bedrock"]
    assert sorted(row["match"] for row in document["models"]) == sorted(found)
    sources = [row["source"] for row in document["models"]]
    assert sources == sorted(sources, key=sources.index)
    assert generated.releases()[0] in sources[0]


@pytest.mark.parametrize("width", [80, 200])
def test_a_host_is_readable(width, monkeypatch):
    """No line of a host's rows is wider than the terminal, long names fold where it is narrow."""
    monkeypatch.setenv("COLUMNS", str(width))
    page = invoke("--provider", "fireworks").stdout
    assert max(cell_len(line) for line in page.splitlines()) <= width
    assert "not shown" not in page
    assert cells_of(page, "kimi-k2-instruct")[2:] == ["131,072", "yes", "-", "estimated"]


def test_what_the_table_leaves_out_is_told():
    """Hosts and retired names are named with how many rows they have, and shown with --all."""
    page = invoke().stdout
    told = " ".join(page.partition("not shown: ")[2].split())
    assert f"groq ({len(generated.load().blocks['groq'])})" in told
    assert "gemini-1.5-pro" not in page
    matches = {row["match"] for row in asked("--all")["models"]}
    assert {"gpt-4o", "gemini-1.5-pro", "llama-3.3-70b-versatile"} <= matches
    assert len(asked("--all")["models"]) == len(ROWS) + sum(
        map(len, generated.load().blocks.values())
    )


def test_the_document_holds_every_row_and_field():
    """Without a name the document holds the makers' rows, raw numbers and all."""
    document = asked()
    assert (document["version"], document["unknown"]) == (1, [])
    for told, (provider, row) in zip(document["models"], ROWS, strict=False):
        fields = ("match", "input", "output", "window", "refuses_sum", "tokenizer")
        assert {name: told[name] for name in fields} == {
            name: getattr(row, name) for name in fields
        }
        assert (told["provider"], told["dated"]) == (provider, "2026-11-22")
        assert told["source"]
        assert told["method"] in {"exact", "calibrated", "estimated"}
        assert told["shared"] is (row.window is not None and row.input is None)
        assert told["limit"] == (row.input or row.window)
    (gemini,) = [row for row in document["models"] if row["match"] == "gemini-2.5-pro"]
    assert (gemini["input"], gemini["output"], gemini["window"]) == (1_048_576, 65_536, None)
    assert (gemini["tokenizer"], gemini["dated"]) == (None, generated.load().dated)


# ── names ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-* of openai"),
        ("openai/gpt-4.1-mini", "gpt-4.1-* of openai"),
        (
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "claude-sonnet-4 of anthropic, served by bedrock",
        ),
        ("models/gemini-2.5-flash", "gemini-2.5-flash of gemini"),
        ("eu.amazon.nova-lite-v1:0", "nova-lite-v1 of bedrock"),
        (
            "openrouter/meta-llama/llama-3.1-8b-instruct",
            "llama-3.1-8b-instruct of any-host, served by openrouter",
        ),
    ],
)
def test_a_name_finds_its_row_as_a_call_would(name, row):
    """A name as in a request is shown with the row that it finds and who serves it."""
    page = invoke(name).stdout
    assert page.splitlines()[0] == name
    assert facts_of(page)["row"] == row


@pytest.mark.parametrize(
    ("name", "output", "left"),
    [
        ("gpt-4o", 8_000, "120,000 of input beside 8,000 of output"),
        ("gpt-5", 8_000, "272,000 of input beside 8,000 of output"),
        ("claude-sonnet-4", 200_001, "0 of input beside 200,001 of output; the largest output is"),
        ("claude-sonnet-4-5", 8_000, "192,000 of input beside 8,000 of output; above it the"),
    ],
)
def test_what_is_left_beside_the_output(name, output, left):
    """Where the window is shared the output is taken off; where nobody refuses, that is said."""
    assert facts_of(invoke(name, "--max-output", output).stdout)["left"].startswith(left)
    assert "left" not in facts_of(invoke(name).stdout)


def test_several_names_and_their_document():
    """Each name has an entry of its own, in the order given, with what is left of its limit."""
    document = asked("claude-sonnet-4-5", "gpt-4o", "--max-output", 1_000)
    told = [
        (one["name"], one["limit"], one["left"], one["left_hard"]) for one in document["models"]
    ]
    assert told == [
        ("claude-sonnet-4-5", 200_000, 199_000, False),
        ("gpt-4o", 128_000, 127_000, True),
    ]
    page = invoke("claude-sonnet-4-5", "gpt-4o").stdout
    assert page.index("claude-sonnet-4-5") < page.index("\n\ngpt-4o")


def test_who_serves_a_model_decides_how_it_is_counted():
    """OpenAI's rules are exact at OpenAI; the same name at another host is an estimate."""
    (here,) = asked("gpt-4o")["models"]
    (there,) = asked("gpt-4o", "--provider", "groq")["models"]
    assert (here["method"], there["method"]) == ("exact", "estimated")
    assert (here["served_by"], there["served_by"]) == ("openai", "groq")


@pytest.mark.parametrize(("provider", "row"), ROWS)
def test_methods_are_those_of_a_real_count(provider, row):
    """No row promises more than a count of plain text to that model then says."""
    import tokentrace
    from tokentrace.counting.methods import surest

    name = models._plain(row.match)[0]
    chat = "anthropic.messages" if provider == "anthropic" else "openai.chat"
    bodies = {
        chat: {"messages": [{"role": "user", "content": "plain text"}]},
        "openai.responses": {"input": "plain text"},
        "openai.embeddings": {"input": "plain text"},
        "openai.completions": {"prompt": "plain text"},
    }
    seen = {
        tokentrace.count({"model": name, **body}, api=api, provider=provider).method
        for api, body in bodies.items()
    }
    assert surest(row, name, provider) in seen


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpt4o", "gpt-4o"),
        ("gpt-4oo", "gpt-4o"),
        ("sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-opus-4-9", "claude-opus-4-8"),
        ("gpt-5.9", "gpt-5.6"),
        ("gpt5.2", "gpt-5.2"),
        ("gpt-6x", "gpt-6-*"),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_near(name, near):
    """One line on stderr, nothing on stdout, exit code 1; globs are told by names that exist."""
    result = invoke(name)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"tokentrace: no model {name!r} is known (near it: ")
    assert near in line.partition("near it: ")[2].removesuffix(")").split(", ")


@pytest.mark.parametrize("name", ["zzz", "", "\x1b[31mx\u202e", "x" * 5_000])
def test_a_name_like_no_other_leads_to_the_table(name):
    """Nothing is near; the line says where the names are, and drives no terminal."""
    result = invoke(name)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.endswith("(tokentrace models lists those there are)")
    assert "\x1b" not in line
    assert len(line) < 300


def test_known_names_are_shown_beside_unknown_ones():
    """One unknown name among others makes exit code 1, and hides nothing."""
    result = invoke("gpt-4o", "gpt-4oo")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stdout.startswith("gpt-4o\n")
    result = invoke("gpt-4o", "gpt-4oo", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [one["name"] for one in document["models"]] == ["gpt-4o"]
    assert document["unknown"][0]["name"] == "gpt-4oo"
    assert "gpt-4o" in document["unknown"][0]["nearest"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--provider", "acme"], "there are: anthropic, azure, bedrock"),
        (["--ask"], "give a NAME"),
        (["--base-url", "http://localhost:1"], "give a NAME"),
        (["--max-output", "5"], "give a NAME"),
        (["--max-output", "0"], "give a NAME"),
        (["gpt-4o", "--max-output", "-1"], "--max-output"),
    ],
)
def test_wrong_usage_is_exit_2(words, hint):
    """A provider without rows, an output without a name, an output below nothing."""
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert hint in result.stderr


def test_help_shows_examples():
    """The command explains itself with lines that can be pasted."""
    result = invoke("--help")
    assert result.exit_code == 0
    assert "tokentrace models gpt-4o-2024-08-06" in result.stdout
