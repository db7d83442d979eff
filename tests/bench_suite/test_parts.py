"""Where the instructions of a call go."""

from __future__ import annotations

import parts


def test_the_parts_of_a_call_add_up_to_it():
    """What is left out, what is counted by itself, and the rest: together they are the whole."""
    left = range(900, 900 - 10 * (len(parts.WITHOUT) + 1), -10)
    taken = {f"10 2/{number}": 100.0 + value for number, value in enumerate(left)}
    taken |= {"10 2/bare": 100.0, "encoding": 300.0, "span": 200.0}
    found = parts.divided(taken, "10 2", new=2)
    assert found[parts.ALL] == 900.0 == sum(found.values()) - found[parts.ALL]
    assert {found[name] for name, _ in parts.WITHOUT} == {10.0}
    taken["10 2/official, content off"] = 450.0
    assert parts.divided(taken, "10 2", new=0)["official, content off"] == 350.0
    assert parts.divided(taken, "10 2", new=0)[parts.ENCODING] == 0.0


def test_what_is_left_out_is_there():
    """Each part has an entry point that can be replaced, and it comes back."""
    from tokentrace.counting import waste

    real = waste.look
    with parts.left_out(len(parts.WITHOUT)):
        assert waste.look is not real
    assert waste.look is real
