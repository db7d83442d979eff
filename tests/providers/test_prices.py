"""Prices of the list: as it has them, of the day, of the tier, and none that it has not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from tokentrace.providers import prices

library = pytest.importorskip("genai_prices")
from genai_prices import data_snapshot, types  # noqa: E402 - after the skip

DAY = int(datetime(2025, 6, 1, 12, tzinfo=UTC).timestamp()) * 10**9


def listed(provider, model, when=DAY, **context):
    """Return the list's own entry."""
    _, info = data_snapshot.get_snapshot().find_provider_model(model, None, provider, None)
    return info.get_prices(datetime.fromtimestamp(when / 1e9, UTC), context)


def whole(price):
    """Return a price a million tokens in our unit a token."""
    return int(price * prices.PER_MILLION)


@pytest.mark.parametrize(
    ("provider", "theirs", "model"),
    [
        ("openai", "openai", "gpt-4o"),
        ("anthropic", "anthropic", "claude-3-5-haiku-latest"),
        ("aws.bedrock", "aws", "us.anthropic.claude-3-5-haiku-20241022-v1:0"),
        ("gcp.gemini", "google", "gemini-2.0-flash-lite"),
        ("azure.ai.openai", "azure", "gpt-4o"),
        ("mistral_ai", "mistral", "mistral-large-latest"),
    ],
)
def test_rates_are_those_of_the_list(provider, theirs, model):
    """Input, output and cached tokens cost what the list says, whatever the provider is called."""
    rates, entry = prices.price_of(provider, model, DAY).at(10), listed(theirs, model)
    assert rates.input == whole(entry.input_mtok)
    assert rates.output == whole(entry.output_mtok)
    assert rates.read == whole(entry.cache_read_mtok or entry.input_mtok)


def test_a_step_is_the_lists():
    """Above the list's threshold all tokens cost the next price."""
    entry = listed("google", "gemini-1.5-pro")
    found = prices.price_of("gcp.gemini", "gemini-1.5-pro", DAY)
    if not isinstance(entry.input_mtok, types.TieredPrices):
        pytest.skip("the list has no steps for this model any more")
    start = entry.input_mtok.tiers[0].start
    assert found.at(start).input == whole(entry.input_mtok.base)
    assert found.at(start + 1).input == whole(entry.input_mtok.tiers[0].price)


def by_date():
    """Return a model whose price changes on a date: provider, model, the day before and the day."""
    for provider in data_snapshot.get_snapshot().providers:
        for info in provider.models if provider.id in {"openai", "anthropic"} else ():
            rules = info.prices if isinstance(info.prices, list) else ()
            for rule in rules:
                start = getattr(rule.constraint, "start_date", None)
                match = getattr(info.match, "equals", None)
                if start and match and rule.prices.input_mtok:
                    noon = datetime(start.year, start.month, start.day, 12, tzinfo=UTC)
                    day = int(noon.timestamp()) * 10**9
                    return provider.id, match, day - prices.DAY, day
    return None


def test_the_day_decides():
    """A price is that of the call's day; without a day a price that has changed is unknown."""
    found = by_date()
    if found is None:
        pytest.skip("the list has no dated price with a plain name")
    provider, model, *days = found
    for day in days:
        entry = listed(provider, model, day)
        base = getattr(entry.input_mtok, "base", entry.input_mtok)
        assert prices.price_of(provider, model, day).at(1).input == whole(base)
    assert prices.price_of(provider, model) is None


def tiered():
    """Return a model of OpenAI's with a price for flex, by a plain name."""
    (openai,) = [one for one in data_snapshot.get_snapshot().providers if one.id == "openai"]
    for info in openai.models:
        kinds = [one.when for one in info.price_variants or () if one.prices.input_mtok]
        if {"service_tier": "flex"} in kinds and {"service_tier": "scale"} not in kinds:
            return info.id
    return None


def test_the_tier_decides():
    """A tier that the list knows has its price; one that it does not know has none."""
    model = tiered()
    if model is None:
        pytest.skip("the list has no flex price any more")
    now = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp()) * 10**9
    entry = listed("openai", model, now, service_tier="flex")
    base = getattr(entry.input_mtok, "base", entry.input_mtok)
    assert prices.price_of("openai", model, now, "flex").at(1).input == whole(base)
    assert prices.price_of("openai", model, now, "scale") is None
    assert prices.price_of("openai", model, now, "default") == prices.price_of("openai", model, now)


def first_days():
    """Return of each tier that began on a day: provider, model, tier, noon of the day."""
    found = {}
    for provider in data_snapshot.get_snapshot().providers:
        for info in provider.models:
            for one in info.price_variants or ():
                for key, tier in one.when.items():
                    day = getattr(one.constraint, "start_date", date.min)
                    known = one.prices.input_mtok and info.is_match(info.id)
                    if key in prices.TIER_KEYS and known:
                        place = (provider.id, info.id, tier)
                        found[place] = min(day, found.get(place, day))
    for place, day in found.items():
        if day > date.min:
            noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            yield *place, int(noon.timestamp()) * 10**9


def test_a_tier_has_no_price_before_its_first_day():
    """A tier whose price the list has from a day on is unknown before it, not the standard one."""
    began = list(first_days())
    assert began
    for provider, model, tier, noon in began:
        assert prices.price_of(provider, model, noon - prices.DAY, tier) is None, (model, tier)
        assert prices.price_of(provider, model, noon, tier) is not None, (model, tier)


def test_prices_that_were_fetched_anew_are_used():
    """A list that the application puts in place holds from then on, for models seen before, too."""
    before = prices.price_of("openai", "gpt-4o", DAY)
    (openai,) = [one for one in data_snapshot.get_snapshot().providers if one.id == "openai"]
    dear = types.ModelPrice(input_mtok=Decimal(99), output_mtok=Decimal(99))
    model = types.ModelInfo("gpt-4o", types.ClauseEquals("gpt-4o"), prices=dear)
    fetched = replace(openai, models=[model])
    try:
        data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot([fetched], True))
        assert prices.price_of("openai", "gpt-4o", DAY).at(1).input == whole(Decimal(99))
    finally:
        data_snapshot.set_custom_snapshot(None)
    assert prices.price_of("openai", "gpt-4o", DAY) == before


def test_models_that_speak_or_draw_have_no_price_for_it():
    """Where the list has only the price of text, sound and pictures are not priced as text."""
    one = Decimal(1)
    for name, mixed in (("gpt-4o-audio-preview", True), ("gpt-5-image", True), ("gpt-4o", False)):
        found = entry(name, input_mtok=one, output_mtok=one)
        assert (found.media, found.drawn) == (mixed, mixed)
    told = entry("gpt-image-1", input_mtok=one, input_image_mtok=one, output_mtok=one)
    assert (told.media, told.drawn) == (True, False)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("", "gpt-4o"), ("openai", ""), ("local", "gpt-4o"), ("openai", "no-such-model"),
     ("nobody", "gpt-4o"), ("openai", "x" * 100_000), ("\ud800", "gpt-4o")],
)  # fmt: skip
def test_what_is_not_listed_has_no_price(provider, model):
    """A model on one's own machine, an unknown one or an odd name has no price."""
    assert prices.price_of(provider, model, DAY) is None


@pytest.mark.parametrize("when", [-1, -(2**62), 2**62, 2**70])
def test_odd_times_are_no_error(when):
    """A time that no calendar has gives a price or none, never an error."""
    assert prices.price_of("deepseek", "deepseek-chat", when) is None or when > 0


def entry(model="m", /, **listed_prices):
    """Return the price that an entry of a list would give."""
    found = SimpleNamespace(provider=SimpleNamespace(id="p"), info=SimpleNamespace(id=model))
    return prices._read(found, listed_prices)


@pytest.mark.parametrize(
    "odd",
    [{"input_mtok": Decimal(-1)}, {"input_mtok": Decimal("NaN")}, {"output_mtok": Decimal(1)},
     {"input_mtok": Decimal(1), "output_mtok": Decimal("-0.1")}, {"audio_hours": Decimal(1)},
     {"input_mtok": Decimal(1), "output_mtok": Decimal(1), "output_citation_mtok": Decimal(1)}],
)  # fmt: skip
def test_impossible_prices_are_none(odd):
    """One that is negative, no number, not by the token, or of tokens that nobody tells is no price."""
    assert entry(**odd) is None


def test_prices_of_sound_and_pictures_are_told():
    """A list that prices them apart says so, for input and for output."""
    one = Decimal(1)
    assert entry(input_mtok=one, input_audio_mtok=one).media
    assert entry(input_mtok=one, output_image_mtok=one).drawn
    plain = entry(input_mtok=one, web_searches_kcount=one, requests_kcount=Decimal(5))
    assert (plain.media, plain.drawn) == (False, False)
    assert plain.at(1).request == 5 * prices.UNIT // 1_000


def test_nothing_is_loaded_before_it_is_asked_for():
    """Importing the table imports no list; asking whether there is one does not either."""
    code = (
        "import sys; from tokentrace.providers import prices; prices.available();"
        "print('genai_prices' in sys.modules, prices.loaded());"
        "prices.load_in_background(); prices._thread.join(); prices.load_in_background();"
        "print('genai_prices' in sys.modules, prices.loaded())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.split() == ["False", "False", "True", "True"]


def test_without_the_library_there_is_no_price(monkeypatch):
    """Where the extra is missing every price is unknown, and nothing fails."""
    monkeypatch.setattr(prices, "_library", lambda: None)
    prices._listed.cache_clear()
    try:
        assert prices.price_of("openai", "gpt-4o", DAY) is None
        assert prices.load() is False
    finally:
        prices._listed.cache_clear()
