"""The guard: what it refuses to be told, what it decides, and what it does about it."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import pickle
import warnings

import pytest

from tokentrace import _failsafe, guard
from tokentrace.errors import TokenLimitExceeded, TokenLimitWarning
from tokentrace.guard import Guard, act, decide, exceeds, limit_of, settle, soft_limit_of
from tokentrace.insights import advice
from tokentrace.lineage import Lineage, Standing
from tokentrace.outlook import Forecast, Waste
from tokentrace.prompt import Count, LimitReport, Prompt

SPOKEN = "ignore::tokentrace.errors.TokenLimitWarning"


def counted(total, limit=1000, error=0, model="gpt-4o", *, hard=True, **components):
    return Count(
        total, components or {"history": total}, error=error, limit=limit,
        limit_source="configured", limit_hard=hard, model=model, method="estimated",
    )  # fmt: skip


def decided(total, limit=1000, error=0, **options):
    return decide(Guard(**options), counted(total, limit, error))


# ── construction ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "bad",
    [
        {"limit": -1}, {"limit": "100"}, {"limit": True}, {"limit": {"gpt*": -1}},
        {"limit": {3: 1}}, {"limit": 2**60}, {"thresholds": (0.0,)}, {"thresholds": (1.5,)},
        {"thresholds": ("a",)}, {"on_exceed": "stop"}, {"on_exceed": None}, {"compress": "x"},
        {"components": {"history": 1.5}}, {"components": ["history"]}, {"verify": "always"},
        {"forecast_turns": -1}, {"forecast_turns": float("nan")}, {"on_unknown": "maybe"},
    ],
    ids=str,
)  # fmt: skip
def test_useless_settings_are_refused_with_the_mend(bad):
    """Construction names the setting and what it takes."""
    with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
        Guard(**bad)


def test_parameters_and_defaults_are_fixed():
    """The signature is the one that was promised."""
    parameters = inspect.signature(Guard).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "limit": None, "thresholds": (0.8, 0.95), "on_exceed": "warn", "compress": None,
        "components": None, "reserve_output": True, "forecast_turns": 3, "verify": None,
        "on_unknown": "allow",
    }  # fmt: skip


def test_thresholds_are_sorted_and_frozen():
    """A list in any order, or one number, becomes a sorted tuple; nothing can be set later."""
    assert Guard(thresholds=[0.9, 0.5]).thresholds == (0.5, 0.9)
    assert Guard(thresholds=0.7).thresholds == (0.7,)
    assert Guard(thresholds=()).thresholds == ()
    with pytest.raises(AttributeError):
        Guard().limit = 3


# ── the limit ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limit", "tokens", "source"),
    [
        (500, 500, "configured"),
        (0, 0, "configured"),
        ({"gpt-4o": 1, "gpt-4*": 2}, 1, "configured"),
        ({"GPT-4*": 2, "*": 3}, 2, "configured"),
        ({"claude*": 2}, 128_000, "registry"),
        (len, 6, "configured"),
        (lambda _model: None, 128_000, "registry"),
        (lambda _model: "many", 128_000, "registry"),
        (None, 128_000, "registry"),
    ],
    ids=["int", "zero", "name", "pattern", "no-match", "callable", "none", "nonsense", "registry"],
)
def test_limit_comes_from_the_guard_then_the_registry(limit, tokens, source):
    """A number, patterns, a callable; what they do not know, the registry may."""
    found = limit_of(Guard(limit=limit), "", "", Prompt("openai.chat", "gpt-4o"))
    assert (found.tokens, found.source) == (tokens, source)


def test_broken_limit_callable_is_counted():
    """A callable that raises is as one that does not know."""

    def broken(model):
        raise KeyError(model)

    found = limit_of(Guard(limit=broken), "", "", Prompt("openai.chat", "gpt-4o"))
    assert found.source == "registry"
    assert list(_failsafe.failures) == ["callback limit:KeyError"]


def test_unknown_models_have_no_limit():
    """Nobody knows, and no number is made up; without a guard the registry is asked all the same."""
    assert limit_of(Guard(), "", "", Prompt("openai.chat", "my-own-model")).tokens is None
    assert limit_of(None, "", "", Prompt("openai.chat", "gpt-4o")).tokens == 128_000


def test_requested_output_counts_where_the_provider_refuses_the_sum(monkeypatch):
    """Reserved output shrinks a window that is refused, and only warns where it is not."""
    from tokentrace import providers

    rows = {
        "strict": providers.Model("strict", window=1000, refuses_sum=True),
        "mild": providers.Model("mild", window=1000),
    }
    monkeypatch.setattr(providers, "find", lambda model, *_: (None, rows[model]))
    strict, mild = (Prompt("openai.chat", name, max_output=300) for name in rows)
    assert limit_of(Guard(), "", "", strict).tokens == 700
    assert limit_of(Guard(reserve_output=False), "", "", strict).tokens == 1000
    assert limit_of(Guard(), "", "", mild).tokens == 1000
    assert soft_limit_of(Guard(), "", "", strict) is None
    assert soft_limit_of(Guard(), "", "", mild) == 700
    assert soft_limit_of(Guard(limit=5), "", "", mild) is None
    report = decide(Guard(on_exceed="raise"), counted(750), soft=700)
    assert report.decision == "warn"
    assert "output" in report.message


# ── the decision ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("total", "decision", "threshold"),
    [
        (799, "ok", 0.0), (800, "warn", 0.8), (949, "warn", 0.8), (950, "warn", 0.95),
        (1000, "warn", 0.95), (1001, "refuse", 1.0),
    ],
)  # fmt: skip
def test_thresholds_and_limit(total, decision, threshold):
    """A threshold is reached at its share; exactly at the limit is allowed, one more is not."""
    report = decided(total, on_exceed="raise")
    assert (report.decision, report.threshold) == (decision, threshold)


def test_warn_mode_never_refuses():
    """By default the guard warns, however far above."""
    assert decided(5000).decision == "warn"
    assert exceeds(decided(5000))
    assert decided(5000, on_exceed=print).decision == "warn"


def test_limit_zero_refuses_everything():
    """A limit of nothing lets nothing pass but nothing."""
    assert decided(1, limit=0, on_exceed="raise").decision == "refuse"
    assert decided(0, limit=0, on_exceed="raise").decision != "refuse"


@pytest.mark.parametrize(
    ("total", "error", "decision"),
    [
        (1050, 50, "warn"), (1051, 50, "refuse"), (950, 100, "warn"), (750, 50, "warn"),
        (749, 50, "ok"), (10, 5000, "ok"), (900, 5000, "warn"),
    ],
)  # fmt: skip
def test_uncertain_counts(total, error, decision):
    """Refused is only what is above for certain; warned what may be at a threshold.

    A bound as large as the limit says nothing, and warns nobody.
    """
    assert decided(total, error=error, on_exceed="raise").decision == decision


def test_soft_limits_only_warn():
    """Where passing the limit is no refusal of the provider's, ours would be wrong."""
    report = decide(Guard(on_exceed="raise"), counted(2000, hard=False))
    assert report.decision == "warn"


def test_unknown_limit():
    """Without a limit everything passes, unless the guard was told otherwise."""
    assert decided(10**9, limit=None).decision == "ok"
    assert decided(1, limit=None, on_unknown="raise").decision == "refuse"
    assert "no limit is known" in decided(1, limit=None, on_unknown="raise").message


def test_component_limits():
    """A component above its own limit is named; it is refused when that is certain."""
    count = counted(300, history=200, memory=100)
    options = {"components": {"history": 150, "memory": 100, "absent": 1}}
    report = decide(Guard(on_exceed="raise", **options), count)
    assert (report.decision, report.exceeded) == ("refuse", ("history",))
    assert "history" in report.message
    assert decide(Guard(**options), count).decision == "warn"
    unsure = counted(300, error=60, history=200, memory=100)
    assert decide(Guard(on_exceed="raise", **options), unsure).decision == "warn"


def test_forecast_warns_early():
    """Growth that reaches the limit in three turns warns below every threshold; 0 is off."""
    standing = Standing(delta=100, forecast=2.5, previous={"history": 300})
    report = decide(Guard(), counted(500), standing)
    assert (report.decision, report.threshold, report.forecast) == ("warn", 0.0, 2.5)
    assert "2.5 turns" in report.message
    assert decide(Guard(forecast_turns=0), counted(500), standing).decision == "ok"


def test_switched_off_guard_only_tells():
    """Without a guard the report still says what grew."""
    report = decide(None, counted(5000), Standing(previous={"history": 1}))
    assert (report.decision, report.grew) == ("off", (("history", 4999),))


def test_message_names_growth_and_cuts_without_private_names():
    """What grew most and what to cut, by name and number; names out of a prompt stay in it."""
    names = {"history": 500, "section.patient": 300, "section.known": 100, "framing": 3}
    count = counted(903, error=4, **names)
    standing = Standing(previous={"history": 400, "section.patient": 10})
    report = decide(Guard(), count, standing, known={"section.known"})
    assert report.grew == (
        ("section.patient", 290),
        ("history", 100),
        ("section.known", 100),
        ("framing", 3),
    )
    assert "patient" not in report.message
    assert "903 ± 4 input tokens are 90.3% of the limit of 1000" in report.message
    assert "section.other +290, history +100, section.known +100" in report.message
    assert "to cut: section.other (290)" in report.message


# ── warnings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def spoken():
    """Every warning, whatever filters say."""
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        yield records


def heard(records):
    return [str(w.message) for w in records]


def test_once_for_each_upward_crossing_of_a_lineage(spoken):
    """Staying above is silent, coming back from below warns again; other lineages have their own."""
    ours = Guard()
    line = Lineage()
    for total in (810, 820, 960, 970, 500, 830):
        act(ours, decide(ours, counted(total)), line)
    assert heard(spoken) == [
        "the prompt for model 'gpt-4o' reached 0.8 of its input limit",
        "the prompt for model 'gpt-4o' reached 0.95 of its input limit",
        "the prompt for model 'gpt-4o' reached 0.8 of its input limit",
    ]
    act(ours, decide(ours, counted(810)), Lineage())
    assert len(spoken) == 4
    assert spoken[-1].category is TokenLimitWarning
    assert spoken[0].message.report.count.total == 810


@pytest.mark.filterwarnings(SPOKEN)
def test_log_record_has_the_numbers(caplog):
    """The log says what the constant text of the warning cannot."""
    with caplog.at_level(logging.WARNING, "tokentrace"):
        act(Guard(), decided(810), Lineage())
    assert "810 input tokens are 81.0% of the limit of 1000" in caplog.text


def test_other_alarms_warn_once_too(spoken):
    """Component limits, forecast and output each warn when they begin, and again after a pause."""
    ours = Guard(components={"history": 100})
    line = Lineage()
    pressed = Standing(forecast=1.0)
    for total, standing in [(200, None), (210, None), (50, pressed), (60, pressed), (200, None)]:
        act(ours, decide(ours, counted(total), standing), line)
    act(ours, decide(ours, counted(20), soft=10), line)
    assert heard(spoken) == [
        "component 'history' is above its own limit for model 'gpt-4o'",
        "the prompts for model 'gpt-4o' grow to their input limit in a few turns",
        "component 'history' is above its own limit for model 'gpt-4o'",
        "the requested output does not fit beside the prompt for model 'gpt-4o'",
    ]


def test_warnings_as_errors_reach_the_caller_each_time(caplog):
    """A filter that says error stops the call before it is sent, and the next attempt too."""
    line = Lineage()
    for _ in range(2):
        with pytest.raises(TokenLimitWarning) as caught:
            _failsafe.attempt(act, Guard(), decided(810), line)
        assert caught.value.report.threshold == 0.8
    assert line.level == 0.0


def test_texts_do_not_grow_the_warning_registry():
    """A thousand crossings of two models leave a handful of entries behind."""
    from tokentrace.guard import acting

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda *_args, **_kwargs: None
        for n in range(1000):
            report = decide(Guard(), counted(810 + n, model=f"m{n % 2}"))
            acting.warn(Guard(), report, Lineage())
    texts = [key for key in globals().get("__warningregistry__", {}) if key != "version"]
    inside = [key for key in getattr(acting, "__warningregistry__", {}) if key != "version"]
    assert 1 <= len(texts) + len(inside) <= 12


@pytest.mark.filterwarnings(SPOKEN)
def test_a_log_handler_that_calls_again_terminates():
    """A handler whose own call crosses the threshold does not start a recursion."""
    calls = []

    class Handler(logging.Handler):
        def emit(self, record):
            calls.append(record)
            assert len(calls) < 5
            act(Guard(), decided(990), Lineage())

    handler = Handler()
    _failsafe.LOG.addHandler(handler)
    try:
        act(Guard(), decided(990), Lineage())
    finally:
        _failsafe.LOG.removeHandler(handler)
    assert len(calls) == 1


def test_unknown_model_is_told_once(caplog):
    """One log line a model, and no Python warning."""
    with caplog.at_level(logging.WARNING, "tokentrace"):
        for _ in range(3):
            act(Guard(), decide(Guard(), counted(5, None, model="mine")), Lineage())
        act(Guard(), decide(Guard(), counted(5, None, model="other")), Lineage())
    assert [record.args[0] for record in caplog.records] == ["mine", "other"]


# ── refusing ─────────────────────────────────────────────────────────────────────────────────────


def test_refusal_carries_its_report_and_can_be_pickled():
    """The error says it all, is no SDK's error, and survives a process pool."""
    with pytest.raises(TokenLimitExceeded, match="gpt-4o") as caught:
        _failsafe.attempt(act, Guard(), decided(1001, on_exceed="raise"), Lineage())
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.report == caught.value.report
    assert str(again) == caught.value.report.message
    warning = TokenLimitWarning("text", caught.value.report)
    assert pickle.loads(pickle.dumps(warning)).report == caught.value.report


@pytest.mark.filterwarnings(SPOKEN)
def test_callable_hears_the_report_and_may_refuse():
    """Below the limit it is not asked; above it may raise, and nothing else of it gets out."""
    seen: list[LimitReport] = []

    def refuse(report):
        raise TokenLimitExceeded(report)

    def broken(report):
        raise LookupError

    async def late(report):
        raise AssertionError

    act(Guard(on_exceed=seen.append), decided(1000), Lineage())
    assert seen == []
    act(Guard(on_exceed=seen.append), decided(1001), Lineage())
    assert [report.count.total for report in seen] == [1001]
    with pytest.raises(TokenLimitExceeded):
        act(Guard(on_exceed=refuse), decided(1001), Lineage())
    act(Guard(on_exceed=broken), decided(1001), Lineage())
    act(Guard(on_exceed=late), decided(1001), Lineage())
    assert set(_failsafe.failures) == {
        "callback on_exceed:LookupError",
        "callback on_exceed:TypeError",
    }


# ── compress and verify ──────────────────────────────────────────────────────────────────────────


def length(body):
    return sum(len(message) for message in body["messages"])


class Agent:
    """Counts bodies by their letters against a limit of 1000, and drives `settle`."""

    def __init__(self, **options):
        self.guard = Guard(**options)
        self.error = 0
        self.counted = []

    def report(self, body):
        self.counted.append(body)
        return decide(self.guard, counted(length(body), error=self.error))

    def flow(self, body, **more):
        return settle(self.guard, body, self.report(body), self.report, **more)

    def run(self, body, **more):
        flow = self.flow(body, **more)
        step = "send"
        value = None
        while True:
            try:
                getattr(flow, step)(value)
            except StopIteration as stop:
                return stop.value
            step, value = "throw", TypeError("nobody awaits here")

    async def run_async(self, body, **more):
        flow = self.flow(body, **more)
        value = None
        while True:
            try:
                waiting = flow.send(value)
            except StopIteration as stop:
                return stop.value
            value = await waiting


BODY = {"messages": ["x" * 600, "y" * 500]}


def drop_first(body, report):
    body["messages"].pop(0)
    return body


def test_compress_shortens_what_is_sent():
    """The callback gets a copy; its answer is counted and sent, the saving told."""
    before = copy.deepcopy(BODY)
    done = Agent(compress=drop_first, on_exceed="raise").run(BODY)
    assert before == BODY
    assert done.body == {"messages": ["y" * 500]}
    assert (done.report.decision, done.saved) == ("compress", 600)
    assert not exceeds(done.report)


def test_compress_is_asked_from_the_last_threshold_on():
    """Below it the callback is not called."""
    asked = []
    agent = Agent(compress=lambda _body, report: asked.append(report.threshold))
    for size in (900, 949, 950, 1001):
        agent.run({"messages": ["x" * size]})
    assert asked == [0.95, 1.0]


def test_compress_is_asked_at_most_twice():
    """Two tries, recounted after each; then what is still above is refused."""
    asked = []

    def little(body, report):
        asked.append(report.count.total)
        return {"messages": [body["messages"][0][:-50]]}

    agent = Agent(compress=little, on_exceed="raise")
    done = agent.run({"messages": ["x" * 1200]})
    assert asked == [1200, 1150]
    assert (done.report.decision, done.saved, length(done.body)) == ("refuse", 100, 1100)
    assert len(agent.counted) == 3


@pytest.mark.parametrize(
    ("answer", "failures"), [(None, 0), ("text", 1), ([], 1)], ids=["declined", "text", "list"]
)
def test_compress_that_gives_no_body(answer, failures):
    """None is no; anything else that is no dict is counted; the mode applies."""
    done = Agent(compress=lambda *_: answer, on_exceed="raise").run(BODY)
    assert done.body is BODY
    assert (done.report.decision, done.saved) == ("refuse", 0)
    assert sum(_failsafe.failures.values()) == failures


@pytest.mark.parametrize(("size", "decision"), [(960, "warn"), (1100, "refuse")])
def test_compress_that_gives_more_is_counted(size, decision):
    """A longer body is no mend: what came in stays, is counted again, and the mode applies to it."""
    body = {"messages": ["x" * size]}
    agent = Agent(compress=lambda body, _: {"messages": body["messages"] * 2}, on_exceed="raise")
    done = agent.run(body)
    assert done.body is body
    assert (done.report.decision, done.report.count.total, done.saved) == (decision, size, 0)
    assert agent.counted == [body, {"messages": body["messages"] * 2}, body]
    assert _failsafe.failures == {"callback compress:ValueError": 1}


def test_compress_may_move_tokens():
    """A body that is longer in all, and within the limits that were passed, is what is sent."""

    class Parted(Agent):
        def report(self, body):
            memory, history = (sum(map(len, body[key])) for key in ("memory", "messages"))
            total = memory + history
            return decide(self.guard, counted(total, memory=memory, history=history))

    def moved(body, _report):
        return {"memory": [], "messages": ["summary ", *body["memory"]]}

    agent = Parted(compress=moved, components={"memory": 100}, on_exceed="raise")
    done = agent.run({"memory": ["x" * 200], "messages": []})
    assert done.body["memory"] == []
    assert (done.report.decision, done.saved, _failsafe.failures) == ("ok", 0, {})


def test_compress_that_raises_is_counted():
    """Its error never reaches the host, not even in our strict mode; the mode applies."""

    def broken(body, report):
        raise LookupError("content")

    assert Agent(compress=broken, on_exceed="raise").run(BODY).report.decision == "refuse"
    assert Agent(compress=broken).run(BODY).report.decision == "warn"
    assert _failsafe.failures == {"callback compress:LookupError": 2}


def test_calls_inside_compress_are_not_guarded():
    """A callback may ask a model for a summary without being guarded itself."""
    seen = []

    def summarise(body, report):
        seen.append(guard.unguarded())
        return {"messages": []}

    Agent(compress=summarise).run(BODY)
    assert seen == [True]
    assert guard.unguarded() is False


async def test_async_compress_is_awaited():
    """An async callback is awaited by the driver, unguarded across its awaits, tasks included."""
    seen = []

    async def summarise(body, report):
        await asyncio.sleep(0)
        seen.append(guard.unguarded())

        async def inner():
            return guard.unguarded()

        seen.append(await asyncio.create_task(inner()))
        return {"messages": ["short"]}

    done = await Agent(compress=summarise).run_async(BODY)
    assert (done.report.decision, done.saved) == ("compress", 1095)
    assert seen == [True, True]
    assert guard.unguarded() is False


async def test_async_compress_that_fails_or_is_cancelled():
    """An error is counted; a cancellation is the host's and passes."""

    async def broken(body, report):
        await asyncio.sleep(0)
        raise LookupError

    async def cancelled(body, report):
        raise asyncio.CancelledError

    flow = Agent(compress=broken, on_exceed="raise").flow(BODY)
    with pytest.raises(StopIteration) as stop:
        flow.throw(await failure(flow.send(None)))
    assert stop.value.value.report.decision == "refuse"
    assert _failsafe.failures == {"callback compress:LookupError": 1}
    with pytest.raises(asyncio.CancelledError):
        await Agent(compress=cancelled).run_async(BODY)


async def failure(waiting):
    try:
        await waiting
    except LookupError as error:
        return error
    raise AssertionError


def test_async_compress_on_a_sync_client_is_counted():
    """Where nobody can await, the coroutine is closed without a warning and the mode applies."""

    async def late(body, report):
        raise AssertionError

    done = Agent(compress=late, on_exceed="raise").run(BODY)
    assert done.report.decision == "refuse"
    assert _failsafe.failures == {"callback compress:TypeError": 1}


def test_verify_asks_only_when_the_bound_hides_the_decision():
    """The provider's number replaces ours where it matters, and its components add up."""
    asked = []

    def ask(body):
        asked.append(body)
        return 1001

    agent = Agent(verify=ask, on_exceed="raise")
    agent.error = 60
    assert agent.run({"messages": ["x" * 500]}).report.decision == "ok"
    assert asked == []
    done = agent.run({"messages": ["x" * 990]})
    count = done.report.count
    assert (done.report.decision, count.total, count.method, count.error) == (
        "refuse",
        1001,
        "provider",
        0,
    )
    assert sum(count.components.values()) == 1001
    assert len(asked) == 1


@pytest.mark.parametrize("answer", [None, "many", -1, True])
def test_verify_without_an_answer_decides_on_what_is_known(answer):
    """A provider that does not answer changes nothing: uncertain is allowed."""
    agent = Agent(verify="near-limit", on_exceed="raise")
    agent.error = 60
    assert guard.unsettled(agent.guard, agent.report({"messages": ["x" * 990]}))
    done = agent.run({"messages": ["x" * 990]}, ask=lambda _body: answer)
    assert done.report.decision == "warn"
    assert agent.run({"messages": ["x" * 990]}).report.decision == "warn"


def test_a_verified_count_still_has_its_soft_limit():
    """The provider's own number leaves no room for the requested output: that is told as before."""
    agent = Agent(verify=lambda _body: 760)
    agent.error = 60
    done = agent.run({"messages": ["x" * 790]}, soft=700)
    assert (done.report.decision, done.report.count.total) == ("warn", 760)
    assert "above 700 the requested output does not fit" in done.report.message
    assert agent.run({"messages": ["x" * 790]}, soft=770).report.decision == "ok"


async def test_verify_may_be_async_and_come_before_compress():
    """A verified count that is too long is compressed like any other."""

    async def ask(body):
        return length(body) + 30

    agent = Agent(verify=ask, compress=drop_first, on_exceed="raise")
    agent.error = 60
    done = await agent.run_async({"messages": ["x" * 600, "y" * 380]})
    assert (done.report.decision, done.body) == ("compress", {"messages": ["y" * 380]})


# ── check and advice ─────────────────────────────────────────────────────────────────────────────


def test_check_sends_nothing_and_says_what_would_happen():
    """A request body is counted against the guard's limit."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 2000}]}
    before = copy.deepcopy(body)
    report = Guard(limit=1000, on_exceed="raise").check(body, api="openai.chat")
    assert body == before
    assert (report.decision, report.model) == ("refuse", "gpt-4o")
    assert report.count.total > 2000
    small = Guard(verify="near-limit").check({"messages": []}, api="openai.chat", model="gpt-4o")
    assert (small.decision, small.count.limit) == ("ok", 128_000)


def test_advice_names_each_component_once():
    """First what is above its own limit, then what grew, then the largest; never framing."""
    count = counted(1000, history=600, tools=300, memory=90, framing=10)
    report = LimitReport(count, exceeded=("memory",), grew=(("history", 200), ("tools", 1)))
    found = advice(report)
    assert [(f.code, f.component, f.tokens) for f in found] == [
        ("over_limit", "memory", 90),
        ("grew", "history", 200),
        ("largest", "tools", 300),
    ]
    assert all(f.remedy for f in found)
    assert advice(LimitReport(Count(0, {}))) == ()


def test_advice_tells_waste_behind_what_to_cut():
    """A report's waste has the codes of a report's findings, and changes nothing of what was first."""
    count = counted(1000, history=600, tools=400)
    waste = (
        Waste("carried", "tool_results", 300, 7),
        Waste("json", "history", 90),
        Waste("?", "x", 9),
    )
    first, found = advice(LimitReport(count)), advice(LimitReport(count, waste=waste))
    assert found[: len(first)] == first
    told = [(f.code, f.component, f.tokens, f.turns, f.confidence) for f in found[len(first) :]]
    assert told == [
        ("waste.carried", "tool_results", 300, 7, "medium"),
        ("waste.json", "history", 90, 0, "high"),
    ]
    assert all(f.remedy and f.cost_usd is None for f in found)


def test_the_warning_tells_how_sure_a_forecast_is():
    """The interval, and what grows the most; a private name stays private."""
    ahead = Forecast(2.5, 2.0, None, 100.0, (("section.secret", 80.0),))
    standing = Standing(delta=100, forecast=2.5, ahead=ahead, previous={"history": 300})
    report = decide(Guard(), counted(500), standing)
    assert "2.5 turns away (2.0 to more), most of it section.other (+80 a turn)" in report.message
    assert report.ahead is ahead
