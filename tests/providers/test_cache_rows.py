"""How providers keep prefixes: whose row holds for which request."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tokentrace.providers import PROVIDERS, caching
from tokentrace.providers._model import Caching


@pytest.mark.parametrize(
    ("model", "provider", "minimum", "exact"),
    [
        ("gpt-4o-2024-08-06", "", 1_024, False),
        ("gpt-4", "", None, False),
        ("gpt-4-turbo-2024-04-09", "", None, False),
        ("gpt-35-turbo-16k", "azure", None, False),
        ("gpt-4.1-mini", "", 1_024, False),
        ("gpt-5.6-mini", "", 1_024, True),
        ("claude-opus-4-6", "", 4_096, True),
        ("claude-opus-5-20260801", "", 512, True),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock", 4_096, True),
        ("claude-sonnet-4-5@20250929", "vertex", 1_024, True),
        ("amazon.nova-pro-v1:0", "bedrock", 1_000, True),
        ("gemini-2.0-flash", "", None, False),
        ("gemini-2.5-flash", "", 2_048, False),
        ("gemini-3.6-flash", "gcp.gemini", 4_096, False),
        ("deepseek-chat", "", None, True),
    ],
)
def test_a_request_is_kept_by_the_rules_of_who_serves_it(model, provider, minimum, exact):
    """A Claude alike wherever it is served; names of OpenTelemetry serve as well."""
    rule = caching.find(model, provider)
    assert (rule.minimum, rule.exact) == (minimum, exact)


def test_of_a_host_that_nobody_knows_nothing_is_claimed():
    """Not even where the model's name is known."""
    assert caching.find("gpt-4o", "", "http://proxy.example/v1") == caching.UNKNOWN


def test_every_row_names_its_source_and_date():
    """Each belongs to a provider that there is, and none is after a row that matches all."""
    assert caching.ROWS.keys() <= PROVIDERS.keys()
    for rows in caching.ROWS.values():
        assert all(row.source and date.fromisoformat(row.dated) for row in rows)
        assert all(row.match != Caching().match for row in rows[:-1])
        assert all(set(row.order) == {"tools", "system", "messages"} for row in rows)


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def table():
    """Return what is known of the providers, as docs/cache.md shows it."""
    lines = [
        "| provider | models | minimum | found | kept for | source |",
        "|---|---|---:|---|---|---|",
    ]
    for name, rows in caching.ROWS.items():
        for row in rows:
            steps = f"in steps of {row.step}" if row.step else "never"
            found = "at marks" if row.exact else steps
            lived = f"{row.life / 60:.0f} min" if row.life else ""
            lived += f", {row.longest / 60:.0f} min if asked" if row.longest else ""
            least = f"{row.minimum:,}" if row.minimum else ""
            source = f"{row.source}, {row.dated}"
            lines.append(f"| {name} | `{row.match}` | {least} | {found} | {lived} | {source} |")
    return "\n".join(lines)


def test_the_page_shows_every_row():
    """As the data has it."""
    page = (Path(__file__).parents[2] / "docs" / "cache.md").read_text("utf-8")
    assert table() in page
