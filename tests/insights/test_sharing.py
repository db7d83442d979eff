"""Sharing whole tokens by weight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokentrace.insights.sharing import shared


@given(st.integers(0, 10**9), st.dictionaries(st.text(max_size=3), st.integers(0, 10**9)))
def test_sharing_gives_all_and_nobody_too_much(amount, weights):
    """Shares add up to what there is, and none is larger than its weight."""
    given_out = shared(amount, weights)
    assert sum(given_out.values()) == min(amount, sum(weights.values()))
    assert all(given_out[name] <= weights[name] for name in given_out)
