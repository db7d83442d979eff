"""Formats of logs as data: the page's example, what a file may say, and how it is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tokentrace import analysis, readers
from tokentrace.cli import app
from tokentrace.errors import InputError
from tokentrace.readers import Problems, agent_log
from tokentrace.readers.agent_log import form, template

PAGE = (Path(__file__).parents[2] / "docs" / "agent-logs.md").read_text("utf-8")
TURN = '[[line]]\ntext = "turn {turn}"\ndoes = "turn"\n'
NAME = 'name = "x"\n'


def block(kind):
    """Return the first code block of a kind on the page."""
    return re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture
def told(tmp_path):
    """Return a function that reads a log in a format."""

    def read(log, described, problems=None):
        (tmp_path / "app.log").write_text(log, "utf-8")
        (tmp_path / "format.toml").write_text(described, "utf-8")
        found = readers.read(
            [str(tmp_path / "app.log")],
            Problems() if problems is None else problems,
            log_format=str(tmp_path / "format.toml"),
        )
        return analysis.sessions(found)

    return read


# ── the page's example ───────────────────────────────────────────────────────────────────────────


def test_the_example_of_the_page(told):
    """The page's file reads the page's log: two mixed sessions, each with its figures."""
    first, second = told(block("text"), block("toml"))
    assert (first.id, second.id) == ("ticket-7", "ticket-8")
    one, two = first.turns
    assert (one.total, one.limit, one.main.model) == (2_530, 4_000, "gpt-4o-mini")
    assert dict(one.components) == {"system": 400, "invoices": 2_100, "other": 30}
    assert dict(one.exclusions) == {"budget": 1}
    assert one.of("excluded")[0].tokens == 900
    assert (two.total, two.delta, two.trend) == (4_120, 1_590, "increase")
    assert [(event.kind, event.tokens) for event in two.events] == [
        ("compressed", 1_800), ("exceeded", 4_120), ("failed", 0),
    ]  # fmt: skip
    assert two.of("failed")[0].reason == "timeout"
    assert [turn.total for turn in second.turns] == [450]


def test_the_commands_of_the_page(tmp_path, monkeypatch):
    """The page's commands print what it shows."""
    monkeypatch.chdir(tmp_path)
    Path("app.log").write_text(block("text"), "utf-8")
    Path("billing.toml").write_text(block("toml"), "utf-8")
    Path("wrong.toml").write_text(f"{NAME}\n{TURN.replace('{turn}', '{token}')}", "utf-8")
    commands = re.findall(r"^\$ (tokentrace .*)\n((?:.+\n)+?)(?:…\n)?```", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command, shown in commands:
        ran = CliRunner().invoke(app, command.split()[1:], env={"COLUMNS": "110"})
        for line in shown.splitlines():
            assert line.rstrip("…") in ran.output
        assert ran.exit_code == (2 if "wrong" in command else 1)  # it is over its limit


def test_the_page_names_every_key_and_value():
    """Each key of a file, each thing a line does and each value stands on the page."""
    named = set(re.findall(r"`\{?([a-z_]+)\}?`", PAGE))
    keys = set(form.Entry.__struct_fields__) | set(form.File.__struct_fields__) - {"line", "names", "causes"}  # fmt: skip
    assert keys - named == set()
    assert form.VALUES.keys() - named == set()
    assert template.VALUES - named == {"utilization_also"} - named


# ── what a file may say ──────────────────────────────────────────────────────────────────────────


def test_a_format_without_a_head(told):
    """Lines may begin at once; without times and numbers turns are counted in their order."""
    log = "new turn\nsize 10\nnew turn\nsize 30\nnew turn\nsize 20\n"
    described = NAME + (
        '[[line]]\ntext = "new turn"\ndoes = "turn"\n[[line]]\ntext = "size {total}"\n'
    )
    [session] = told(log, described)
    assert [(one.number, one.total, one.delta) for one in session.turns] == [
        (1, 10, None), (2, 30, 20), (3, 20, -10),
    ]  # fmt: skip


def test_calls_that_bear_the_number_of_their_turn(told):
    """A format without lines for turns has them on its calls."""
    log = "call in turn 1: 10\ncall in turn 1: 15\ncall in turn 2: 12\n"
    described = NAME + '[[line]]\ntext = "call in turn {turn}: {total}"\ndoes = "call"\n'
    [session] = told(log, described)
    assert [(one.number, len(one.calls), one.total) for one in session.turns] == [(1, 2, 15), (2, 1, 12)]  # fmt: skip


def test_logs_in_json_lines(told):
    """A log of JSON lines is a log, with doubled braces in its templates."""
    log = '{"event": "turn", "n": 1}\n{"event": "prompt", "tokens": 900, "of": 1000}\n'
    described = NAME + (
        '[[line]]\ntext = \'{{"event": "turn", "n": {turn}}}\'\ndoes = \'turn\'\n'
        '[[line]]\ntext = \'{{"event": "prompt", "tokens": {total}, "of": {limit}}}\'\n'
    )
    [session] = told(log, described)
    assert (session.turns[0].total, session.turns[0].limit) == (900, 1_000)


@pytest.mark.parametrize(("form", "time", "ms"), [
    ("", "2026-03-01 09:00:00,250", 1_772_355_600_250),
    ("", "2026-03-01T10:00:00.250+01:00", 1_772_355_600_250),
    ("%d/%b/%Y %H.%M.%S", "01/Mar/2026 09.00.00", 1_772_355_600_000),
    ("", "12:00 or so", 0),
])  # fmt: skip
def test_times(told, form, time, ms):
    """Times are ISO 8601 and its like, or as the file says; no time is no time."""
    described = (
        f'{NAME}time = "{form}"\nhead = "{{time}} | "\n{TURN}[[line]]\ntext = "size {{total}}"\n'
    )
    [session] = told(f"{time} | turn 1\n{time} | size 5\n", described)
    assert session.turns[0].start // 10**6 == ms


def test_levels_and_places_choose_the_line(told):
    """The same text of another logger, or at another level, is another line."""
    described = f"""{NAME}head = "{{level}} {{where}}: "\n{TURN}
[[line]]
text = "size {{total}}"
where = "prompt"
[[line]]
text = "gone: {{name}}"
level = ["WARNING"]
does = "excluded"
"""
    log = "INFO main: turn 1\nINFO prompt.final: size 9\nINFO cache: size 70\nINFO main: gone: a\nWARNING main: gone: b\n"
    [session] = told(log, described)
    assert session.turns[0].total == 9
    assert [event.name for event in session.turns[0].of("excluded")] == ["b"]


def test_words_in_any_language(told):
    """A text may begin with letters of any script; pictograms before it do not count."""
    described = NAME + (
        '[[line]]\ntext = "Начат ход {turn}"\ndoes = "turn"\n[[line]]\ntext = "総トークン数 {total}"\n'
    )
    [session] = told("🔧 Начат ход 1\n  総トークン数 12\n", described)
    assert session.turns[0].total == 12


def test_a_user_may_add_a_format_and_keep_the_others(told):
    """Logs of formats that are shipped are read beside one of the user's."""
    import agent_logs

    [session] = told(agent_logs.log(agent_logs.conversation(2)), block("toml"))
    assert session.agent == "devops_agent"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────

LINE = NAME + TURN + "[[line]]\n"
WRONG = [
    ("name = \n", 1, "no TOML"),
    (TURN, 0, "missing required field `name`"),
    (NAME + "line = []\n", 0, "has 0 lines"),
    (NAME + 'head = "{total} "\n' + TURN, 0, "head: {total} is no value here"),
    (NAME + '[[line]]\ntext = "total {total}"\n', 0, "no line begins a turn"),
    (LINE, 5, "give text, how the line begins, or holds"),
    (LINE + 'texts = "a"', 5, "unknown field `texts`"),
    (LINE + 'text = "total {totl}"', 5, "{totl} is no value here; known are agent"),
    (LINE + 'text = "{total} tokens"', 5, "begins with 3 characters"),
    (LINE + 'text = "total {total}{limit}"', 5, "no text between {total} and {limit}"),
    (LINE + 'text = "total {total {limit}"', 5, "a lone {"),
    (LINE + 'text = "total {total} {total}"', 5, "{total} stands twice"),
    (LINE + 'text = "total ' + "x" * 600 + '"', 5, "longer than 500"),
    (LINE + 'text = "all ' + "{_} " * 13 + '"', 5, "more than 12 values"),
    (LINE + 'text = "total"\ndoes = "explode"', 5, "does is one of figures, start"),
    (LINE + 'text = "total"\nwithin = "all"', 5, "within is one of base, context"),
    (LINE + 'text = "total"\nlevel = ["INFO"]', 5, "level needs {level} in the head"),
    (LINE + 'holds = "total"', 5, "holds needs 3 characters or more, and a level"),
    (LINE.replace("\n", '\nhead = "{level} "\n', 1) + 'holds = "total"\nlevel = ["INFO"]', 6, "can be failed"),
    (LINE + 'text = "part {tokens}"\ndoes = "component"', 5, "component needs {component}"),
    (LINE + 'text = "part {component}"\ndoes = "component"', 5, "component needs {tokens}"),
    (LINE + 'text = "parts"\ndoes = "table"', 5, "rows"),
    (LINE + 'text = "parts"\ndoes = "table"\nrows = "{tokens}"', 5, "rows needs {component}"),
    (LINE + 'text = "set {value}"\ndoes = "setting"', 5, "setting needs setting"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line", "reason"), WRONG)
def test_what_is_no_format_is_refused_with_its_line(content, line, reason):
    """One line with the file, the line, what is wrong, and where the file is described."""
    with pytest.raises(InputError) as caught:
        form.parse(content, "f.toml")
    told = str(caught.value)
    assert told.startswith(f"f.toml:{line}: " if line else "f.toml: ")
    assert reason in told
    assert "docs/agent-logs.md" in told
    assert "\n" not in told
    assert "$." not in told or not line


def test_a_very_long_name_is_told_in_part(tmp_path):
    """What a file is told to be wrong with stays a line that can be read."""
    file = tmp_path / "format.toml"
    file.write_text(f"{'n' * 5_000} = 1\n")
    with pytest.raises(InputError) as refused:
        form.load(str(file))
    assert "unknown field `nnn" in str(refused.value)
    assert len(str(refused.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize(("content", "reason"), [
    (b"\xff\xfe", "no UTF-8"), (b"#" * (2**20 + 1), "over a megabyte"), (None, "cannot be read"),
])  # fmt: skip
def test_files_that_are_none(tmp_path, content, reason):
    """A file that is not there, too large or no text is refused by name."""
    path = tmp_path / "f.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        form.load(str(path))
    assert caught.value.source == str(path)


# ── templates ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shipped", agent_log.shipped(), ids=lambda one: one.name)
def test_shipped_formats_have_no_expression_that_can_run_away(shipped):
    """Every repetition over more than a class of characters is atomic, every value bounded."""
    patterns = [rule.pattern.pattern for rules in shipped.rules.values() for rule in rules]
    assert patterns
    for pattern in patterns:
        assert not re.search(rb"\)[*+](?!\+)", pattern), pattern
        assert not re.search(rb"\.[*+]", pattern), pattern


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.binary(max_size=120))
def test_any_template_is_refused_or_reads_any_line(text, line):
    """A template is a ValueError or an expression that can be matched against anything."""
    try:
        made = template.compiled(text)
    except ValueError:
        return
    found = re.compile(made.pattern, re.DOTALL).match(line)
    assert found is None or line.startswith(made.first)


VALUES_OF = st.text("abcXYZ-._", min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(VALUES_OF, st.integers(0, 2**62), st.sampled_from(["", ",", "_", "."]))
def test_what_a_template_wrote_it_reads(name, number, mark):
    """A line filled in from a template gives its values back, however its number is grouped."""
    grouped = f"{number:,}".replace(",", mark)
    made = template.compiled("✅ took {name} ({tokens} tokens) - {reason}")
    line = f"took {name} ({grouped} tokens) - {name} {number}".encode()
    found = re.compile(made.pattern, re.DOTALL).match(line)
    assert found["name"].decode() == name
    assert int(re.sub(rb"\D", b"", found["tokens"])) == number
    assert found["reason"].decode() == f"{name} {number}"


def test_a_hostile_line_costs_no_more_than_its_length(told):
    """Lines made to send a regular expression astray are passed over."""
    described = f'{NAME}{TURN}[[line]]\ntext = "got {{name}} ({{component}}) [{{reason}}] = {{_}}: {{total}}"\n'
    with pytest.raises(InputError, match="no value here"):
        told("turn 1\n", described)
    described = described.replace("{component}", "{_}").replace("{name}", "{_}").replace("{reason}", "{_}")  # fmt: skip
    evil = "got " + "a (b) [c] = d: " * 4_000 + "\n"
    [session] = told("turn 1\n" + evil * 50 + "got a (b) [c] = d: 5\n", described)
    assert session.turns[0].total == 5


def test_a_turn_in_one_line(told):
    """A log may tell all of a turn in one line."""
    described = NAME + '[[line]]\ntext = "turn {turn}: {total}/{limit} tokens"\ndoes = "turn"\n'
    [session] = told("turn 1: 10/90 tokens\nturn 2: 99/90 tokens\n", described)
    assert [(one.number, one.total, one.limit) for one in session.turns] == [(1, 10, 90), (2, 99, 90)]  # fmt: skip
    assert len(session.turns[1].of("exceeded")) == 1


def test_very_many_sessions_at_once_are_bounded(told):
    """Of more sessions than can be kept open the oldest are closed, and all are reported."""
    described = f'{NAME}head = "{{session}} | "\n{TURN}[[line]]\ntext = "size {{total}}"\n'
    log = "".join(f"s{n} | turn 1\ns{n} | size {n}\n" for n in range(1_005))
    sessions = told(log, described)
    assert sorted(one.turns[0].total for one in sessions) == list(range(1_005))


def test_an_empty_log_of_a_format(told):
    """An empty file has no turns yet, whatever its format."""
    with pytest.raises(InputError, match="no turns yet"):
        told("", block("toml"))
