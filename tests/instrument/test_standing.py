"""The proxy in a function's place: it looks, copies and pickles like what it stands for."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from tokentrace.instrument.standing import Standing


class Agent:
    """A host's own class whose functions we stand around."""

    def __init__(self):
        self.log = []

    def run(self, text: str) -> str:
        """Run."""
        self.log.append(text)
        return text

    @classmethod
    def named(cls) -> str:
        """Name it."""
        return cls.__name__

    @staticmethod
    def twice(text: str) -> str:
        """Say it twice."""
        return text * 2


def passed_on(wrapped, _instance, args, kwargs):
    """Do nothing but call."""
    return wrapped(*args, **kwargs)


NAMES = ("run", "named", "twice")
PLAIN = {name: getattr(Agent, name) for name in NAMES}
for one in NAMES:
    setattr(Agent, one, Standing(vars(Agent)[one], passed_on))


def pickled(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("work", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("name", NAMES)
def test_it_copies_like_a_function(work, name):
    """A method is that of its object's copy, and goes through the proxy; a function is itself."""
    agent = Agent()
    method, function = work(getattr(agent, name)), work(getattr(Agent, name))
    for made in (method, function):
        assert type(made) is type(getattr(agent, name))
        assert made.__qualname__ == f"Agent.{name}"
    if name == "run":
        assert method("a") == "a"
        assert (method.__self__ is agent, agent.log) == (
            (True, ["a"]) if work is copy.copy else (False, [])
        )


@pytest.mark.parametrize("name", NAMES)
def test_it_looks_like_what_it_stands_for(name):
    """Name, module, documentation, annotations and signature are those of the function."""
    ours, plain = getattr(Agent, name), PLAIN[name]
    for about in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(ours, about) == getattr(plain, about)
    assert inspect.signature(ours) == inspect.signature(plain)
