"""Who keeps what we wrap, and that our own wrapper never comes to wrap itself."""

from __future__ import annotations

import functools

from wrapt import FunctionWrapper

from tokentrace.instrument import captured


def doubled(wrapped, instance, args, kwargs):
    """Wrap as a hook does."""
    return wrapped(*args, **kwargs) * 2


def decorated(function):
    """Decorate as litellm does: two functions of which either could be returned keep the original."""

    @functools.wraps(function)
    def waiting():
        return function()

    @functools.wraps(function)
    def direct():
        assert callable(waiting)
        return function()

    return direct


def test_what_a_decorator_calls_is_replaced_and_put_back():
    """The decorated function runs through our wrapper, whoever holds it, and then no more."""
    seven = decorated(lambda: 7)
    early, original = seven, seven.__wrapped__
    seven.__wrapped__ = ours = FunctionWrapper(original, doubled)
    undo = captured.take(seven, "__wrapped__", original)
    assert early() == 14
    assert ours.__wrapped__ is original
    for back in undo:
        back()
    assert early() == 7


def test_a_wrapper_below_that_leads_to_ours_leaves_it_whole():
    """A chain of wrappers that ends in ours is not led into a circle."""

    class Base:
        def request(self):
            return 7

    original = Base.request
    Base.request = ours = FunctionWrapper(original, doubled)

    class Client(Base):
        pass

    def held(self):
        return ours.__get__(self)()

    Client.request = held
    captured.take(Base, "request", original)
    assert ours.__wrapped__ is original
    assert Client().request() == 14
