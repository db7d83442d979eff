"""The report as a page: what stands in it without script, and what can never get in."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tokentrace import analysis, schema
from tokentrace.analysis.findings import Finding, Judgement
from tokentrace.prompt import Detail, Event, Usage
from tokentrace.readers import Problems
from tokentrace.report import html
from tokentrace.report.html import colours, embedding

VOID = {"meta", "link", "input", "path", "br"}
EVIL = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}${x}<!--"
VENDOR = Path(html.__file__).parent / "vendor"


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, and its text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.words = []
        self.inner = {"script": [], "style": []}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.inner:
            self.inside = tag
            self.inner[tag].append("")

    def handle_endtag(self, tag):
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data):
        if self.inside:
            self.inner[self.inside][-1] += data
        else:
            self.words.append(data.strip())

    @property
    def text(self):
        return " ".join(filter(None, self.words))

    @property
    def data(self):
        """The JSON of each session."""
        return [json.loads(text) for text in self.inner["script"] if text.startswith('{"turns"')]

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def shape(self):
        """What foreign text must not change: elements, and which attributes they bear."""
        return [(tag, sorted(attrs)) for tag, attrs in self.elements]


def finding(**changes):
    plain = {
        "code": "growth.unbounded",
        "level": "failing",
        "message": "history grows by 700 tokens a turn",
        "remedy": "bound what grows",
        "turns": (2, 3, 4),
        "component": "history",
        "numbers": {"slope": 700.5, "peak": 7222},
    }
    return Finding(**{**plain, **changes})


def judged(report, *findings):
    verdict = findings[0].level if findings else "healthy"
    judgements = tuple(Judgement(verdict, findings) for _ in report.sessions)
    return replace(report, judgements=judgements)


def long(make, turns=500, names=24, calls=2):
    """Return records of a long session with many components and several calls a turn."""
    call, _ = make
    components = {f"component_{n}": 1_000 + n for n in range(names)}
    total = sum(components.values())
    over = Event(schema.LIMIT_WARNING, {"tokens": total, "limit": 40_000, "threshold": 0.8})
    return [
        call(
            1, turn=turn, trace_id=f"{turn:032x}", span_id=f"{turn * 10 + step:016x}",
            start=turn * 10**11 + step, end=turn * 10**11 + 10**9, tokens=total, components=components,
            usage=Usage(input=total, output=90, cache_read=80), limit=40_000,
            events=(over,) if turn % 5 == 0 else (),
            details=tuple(Detail("component_1", f"tool_{n}", 30 + n) for n in range(6)),
        )
        for turn in range(1, turns + 1)
        for step in range(calls)
    ]  # fmt: skip


def test_everything_is_in_the_file(report):
    """No element, style or policy reaches outside: references are anchors, or an empty icon."""
    text = html.render(judged(report, finding()))
    page = Page(text)
    references = {
        value
        for _, attrs in page.elements
        for name, value in attrs.items()
        if name in {"src", "href", "action", "srcset", "data", "poster", "style"}
    }
    assert {one for one in references if not one.startswith("#")} == {"data:,"}
    assert not re.search(r"url\(|@import", page.inner["style"][0])
    assert {tag for tag, _ in page.elements} & {"img", "iframe", "object", "embed", "base"} == set()


def test_the_policy_lets_only_these_scripts_and_styles_pass(report):
    """The content security policy names the hash of each script and style, and nothing broader."""
    page = Page(html.render(report))
    policy = page.all("meta")[1]["content"]
    ours = [text for text in page.inner["script"] if not text.startswith("{")]
    assert len(ours) == 3
    for text in (*ours, *page.inner["style"]):
        assert f"'{html.text_hash(text)}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_every_anchor_leads_somewhere(report):
    """Each link names an element that is there, and no two elements share a name."""
    page = Page(html.render(judged(report, finding())))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    wanted = {attrs["href"][1:] for attrs in page.all("a")}
    assert wanted <= set(ids)
    assert len(ids) == len(set(ids))
    assert "s0-t1" in wanted  # the finding's first turn


def test_table_and_findings_are_plain_html(report):
    """Without script one reads every turn, what happened, the verdict and its evidence."""
    page = Page(html.render(judged(report, finding())))
    rows = [attrs["id"] for attrs in page.all("tr") if "id" in attrs]
    assert rows == [f"s0-t{place}" for place in range(6)]
    for words in (
        "conv-42", "failing", "history grows by 700 tokens a turn", "bound what grows",
        "growth.unbounded", "700", "7,222", "2–4", "5,344", "+1,878 ▲", "exceeds available budget",
        "2,700 → 1,100 (-1,600)", "1 damaged record", "run.jsonl",
    ):  # fmt: skip
        assert words in page.text


def test_a_finding_says_what_its_code_means(report):
    """The meaning of a known code stands below the finding, as in the docs."""
    page = Page(html.render(judged(report, finding(code="limit.exceeded"))))
    assert analysis.CODES["limit.exceeded"].means in page.text


def test_a_finding_says_what_it_costs_and_how_sure_it_is(report):
    """Money, a share and a confidence below the highest stand in the evidence, as in the terminal."""
    told = finding(tokens=819, cost_usd=0.00008, confidence="medium", numbers={"share": 0.205647})
    page = Page(html.render(judged(report, told, finding(tokens=1))))
    for words in ("share 20.6%", "$0.000080 a turn", "medium confidence", "cost unknown"):
        assert words in page.text


def test_a_mere_note_is_called_one(report):
    """A finding that lowers no verdict does not stand there as healthy."""
    page = Page(
        html.render(judged(report, finding(level="healthy", message="half of it is unused")))
    )
    assert "note half of it is unused" in page.text


def test_the_licence_goes_along(report):
    """A page holds uPlot, so it holds uPlot's licence."""
    text = html.render(report)
    assert (VENDOR / "LICENSE-uPlot.txt").read_text("utf-8") in text
    assert "Leon Sorokin" not in Page(text).text


def test_without_a_finding_the_page_says_so(report):
    """A healthy session has its verdict, and no empty list."""
    text = Page(html.render(judged(report))).text
    assert "healthy" in text
    assert "No rule found anything." in text


def test_the_data_is_the_published_document(report):
    """What the script draws has the names and numbers of the JSON report."""
    (data,) = Page(html.render(report)).data
    turns = report.sessions[0].turns
    assert [turn["total"] for turn in data["turns"]] == [turn.total for turn in turns]
    for shown, turn in zip(data["turns"], turns, strict=True):
        assert dict(shown["components"]) == dict(turn.components)
        assert len(shown["events"] if turn.events else ()) == len(turn.events)
    assert "of 8,000" in data["turns"][5]["events"][0]["what"]
    assert data["turns"][0]["number"] == 1


def test_what_happened_is_told_in_the_words_of_the_table(make):
    """The script has the same words as the page without it, and the largest details alone."""
    call, _ = make
    odd = Event(
        schema.FIGURES_DISAGREE, {"name": "total", "before": 90, "after": 70, "reason": "r"}
    )
    details = tuple(Detail("tools", f"tool {n}", n) for n in range(300))
    page = Page(html.render(judged(analysis.Report(analysis.sessions(
        [call(1, events=(odd,), details=details)])))))  # fmt: skip
    (turn,) = page.data[0]["turns"]
    told = {
        "kind": "disagreement",
        "says": "disagrees",
        "name": "total",
        "what": "90 and 70",
        "why": "r",
    }
    assert turn["events"] == [told]
    assert [one["tokens"] for one in turn["details"]] == [299, 298, 297, 296, 295, 294, 293, 292]
    assert all(told[name] in page.text for name in ("says", "what"))


def test_layers_add_up_to_the_totals(make):
    """The stack is the total, also where most components share one layer."""
    session = analysis.sessions(long(make, turns=3, names=40))[0]
    chart = embedding.chart(session, colours.Palette())
    assert len(chart.layers) == embedding.STACKED + 1
    assert chart.layers[-1].name == "28 smaller"
    sums = [sum(column) for column in zip(*(one.tokens for one in chart.layers), strict=True)]
    assert sums == [turn.total for turn in session.turns]


@pytest.mark.parametrize(("limit", "drawn"), [(8_000, True), (100_000, False), (None, False)])
def test_a_far_limit_does_not_flatten_the_chart(make, limit, drawn):
    """The limit's line is in the picture where the peak is at least a quarter of it."""
    call, _ = make
    session = analysis.sessions([call(2, limit=limit)])[0]
    chart = embedding.chart(session, colours.Palette())
    assert bool(chart.limit) is drawn
    assert chart.top == round(1.05 * (8_000 if drawn else 3_253))


def test_bounds_stand_beside_numbers_that_are_not_exact(make):
    """An estimate has its tilde and its bound in the table, in the data and beside the peak."""
    call, _ = make
    page = Page(
        html.render(analysis.Report(analysis.sessions([call(2, method="estimated", error=55)])))
    )
    assert "~3,253 ±55" in page.text
    assert "±55 tokens in turn 2" in page.text
    assert page.data[0]["turns"][0]["error"] == 55


def hostile(make, word):
    """Return a report in which every text is ``word``."""
    call, assembly = make
    left = {"name": word, "tokens": 5, "reason": word}
    size = {"name": word, "before": 9, "after": 0, "reason": word}
    events = (
        Event(schema.COMPONENT_EXCLUDED, left, 1),
        Event(schema.CONTEXT_COMPRESSED, size, 2),
        Event(schema.UTILIZATION_LOW, {"tokens": 5, "limit": 10, "reason": word}, 3),
    )
    same = {
        "session": word, "agent": word, "service": word, "model": word, "provider": word, "lineage": word,
        "tokenizer": word, "method": word, "decision": word, "trend": word, "delta": 1, "limit_source": word,
        "cache_broken_by": word, "cache_reason": word, "operation": word, "error": 3,
    }  # fmt: skip
    records = [
        call(1, components={word: 3, "user": 4}, tokens=7, cached={word: 2}, error_type=word,
             details=(Detail(word, word, 2),), events=events, **same),
        call(2, components={word: 9}, tokens=9, **same),
        assembly(1, session=word, agent=word, service=word, name=word),
    ]  # fmt: skip
    problems = Problems()
    problems.add(word, 3, word)
    report = analysis.Report(analysis.sessions(records), problems)
    told = finding(
        message=word, remedy=word, code=word, component=word, numbers={word: 1.0}, turns=(1,)
    )
    return judged(report, told)


@pytest.mark.parametrize(
    "word", [EVIL, "__proto__", "{% raw %}", "]]>", "\\u003c/script>", "x' onload='y"]
)
def test_foreign_text_stays_text(make, word):
    """Names and reasons out of a trace add no element and no attribute, wherever they stand."""
    page = Page(html.render(hostile(make, word)))
    assert page.shape() == Page(html.render(hostile(make, "plain"))).shape()
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    (data,) = page.data
    assert data["turns"][0]["events"][0]["why"] == word
    assert [word, 3] in data["turns"][0]["components"]
    assert word in page.text.replace("  ", " ")


def test_no_markup_stands_in_the_data(make):
    """The JSON holds no character that could end its element."""
    text = html.render(hostile(make, EVIL))
    blocks = re.findall(
        r'<script type="application/json" class="data">(.*?)</script>', text, re.DOTALL
    )
    assert len(blocks) == 1
    assert not set("<>&") & set(blocks[0])


def test_invisible_characters_are_dropped(make):
    """Controls that turn text around or hide it do not reach the page."""
    text = html.render(hostile(make, "pay\u202eload\x1b[31m\u200b"))
    assert not set("\u202e\x1b\u200b") & set(text)
    assert "\\u202e" not in text


def test_long_texts_are_cut(make):
    """A text of a megabyte does not make a page of one."""
    text = html.render(hostile(make, "x" * 1_000_000))
    assert len(text) < 300_000


def test_500_turns_fit_into_two_megabytes(make):
    """A long session of 24 components and two calls a turn is under 2 MB, all of its turns shown."""
    text = html.render(analysis.Report(analysis.sessions(long(make))))
    assert len(text.encode()) < 2_000_000
    assert len(Page(text).data[0]["turns"]) == 500


def test_same_records_same_bytes(records):
    """The page says nothing about when or where it was made."""
    pages = [
        html.render(analysis.Report(analysis.sessions(order))) for order in (records, records[::-1])
    ]
    assert pages[0] == pages[1]


def test_many_sessions_are_listed_and_the_rest_summed_up(make, monkeypatch):
    """What does not fit has its line in the list, without a link, and the page says how many."""
    call, _ = make
    records = [
        call(number, session=f"conv-{n}", trace_id=f"{n:030x}{number:02x}", start=n * 10**12 + number)
        for n in range(1, 8)
        for number in (1, 2)
    ]  # fmt: skip
    whole = Page(html.render(analysis.Report(analysis.sessions(records))))
    assert len(whole.data) == 7
    assert len([one for one in whole.all("section") if one.get("class") == "session"]) == 7
    monkeypatch.setattr(html, "ROOM", 1)
    page = Page(html.render(analysis.Report(analysis.sessions(records))))
    assert len(page.data) == 1
    assert len([one for one in page.all("tr") if "data-key" in one]) == 7
    assert "6 sessions without a link are only summed up here" in page.text
    monkeypatch.setattr(html, "LISTED", 4)
    assert (
        "3 more sessions are not listed"
        in Page(html.render(analysis.Report(analysis.sessions(records)))).text
    )


def test_the_gravest_stand_first(make):
    """Sessions are listed by their verdict, those of the same verdict the newest first."""
    call, _ = make
    records = [
        call(1, session=name, start=n * 10**12, span_id=f"{n:016x}")
        for n, name in enumerate("abcd", 1)
    ]
    sessions = analysis.sessions(records)
    verdicts = ("failing", "healthy", "critical", "healthy")
    report = analysis.Report(sessions, judgements=tuple(map(Judgement, verdicts)))
    page = Page(html.render(report))
    places = [page.text.index(f" {name} devops") for name in "cadb"]
    assert places == sorted(places)


def test_older_turns_of_an_endless_session_are_left_out(make, monkeypatch):
    """The newest turns are shown, the sums are of all, and the page says so."""
    monkeypatch.setattr(html, "TURNS", 2)
    page = Page(html.render(analysis.Report(analysis.sessions(long(make, turns=5, names=2)))))
    assert len(page.data[0]["turns"]) == 2
    assert "Of the 5 turns" in page.text


def test_what_changed_stands_first(report, make):
    """Compared with another run, the page begins with verdicts, figures and findings of both."""
    call, _ = make
    before = analysis.sessions([call(1), call(2, limit=2_000)])
    old = [(before[0], Judgement("critical", (finding(code="limit.exceeded"),)))]
    new = [(report.sessions[0], Judgement("healthy"))]
    lonely = replace(before[0], id="only-once")
    compared = replace(analysis.compare(old, new), only_before=(lonely,))
    page = Page(html.render(judged(report), compared))
    order = [
        "What changed",
        "critical",
        "healthy",
        "better",
        "gone",
        "limit.exceeded",
        "mean of a turn",
        "only before: only-once",
    ]
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)
    assert "What changed" not in Page(html.render(judged(report))).text


@pytest.mark.parametrize("word", [EVIL, "__proto__"])
def test_foreign_text_in_a_comparison_stays_text(make, word):
    """Names and findings of both runs are escaped in the comparison too."""

    def shape(word):
        report = hostile(make, word)
        mine, other = (
            [(report.sessions[0], Judgement("failing", (finding(code=code, message=word),)))]
            for code in "ab"
        )
        compared = analysis.compare(other, mine)
        return Page(html.render(report, replace(compared, only_after=report.sessions))).shape()

    assert shape(word) == shape("plain")


def test_only_so_many_pairs_are_compared(report, monkeypatch):
    """Of many pairs the first stand in the page, and it says how many do not."""
    compared = analysis.compare(
        [(report.sessions[0], Judgement())], [(report.sessions[0], Judgement())]
    )
    monkeypatch.setattr(html, "PAIRS", 2)
    page = Page(html.render(report, replace(compared, pairs=compared.pairs * 3)))
    assert page.text.count("conv-42 against conv-42") == 2
    assert "1 more pair left out" in page.text


def test_nothing_to_show_is_a_page_too():
    """A report without sessions says that there are none."""
    page = Page(html.render(analysis.Report(())))
    assert "0 sessions" in page.text
    assert "No session was found" in page.text


def test_a_turn_without_calls_is_shown(make):
    """Where only an assembly was recorded, numbers are dashes and nothing fails."""
    _, assembly = make
    page = Page(html.render(analysis.Report(analysis.sessions([assembly(1)]))))
    assert "no limit is known" in page.text


def test_elements_are_closed(report):
    """Every element is closed in its order, those that HTML closes by itself apart."""
    text = html.render(judged(report, finding()))
    optional = {"td", "th", "li", "dt", "dd", "p"}
    open_ = []

    class Order(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in VOID | optional:
                open_.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            if tag not in VOID | optional:
                assert open_.pop() == tag

    Order().feed(text)
    assert open_ == []


def test_a_name_keeps_its_colour():
    """The same name has the same slot whichever names stand around it, and twelve names differ."""
    names = [
        "system",
        "tools",
        "history",
        "user",
        "tool_results",
        "memory",
        "plan",
        "notes",
        "code",
    ]
    alone = {name: colours.Palette().slots([name])[name] for name in names[:5]}
    together = colours.Palette().slots(names)
    assert together.items() >= alone.items()
    assert len(set(together.values())) == len(names)
    palette = colours.Palette()
    first = palette.slots(["memory"])
    assert palette.slots([*names, *map(str, range(30))])["memory"] == first["memory"]


def test_vendored_files_are_the_published_ones():
    """Each vendored file has the sum that stands beside it."""
    table = dict(
        re.findall(
            r"\| `([\w.]+)` \| `([0-9a-f]{64})` \|", (VENDOR / "README.md").read_text("utf-8")
        )
    )
    assert {"uPlot.iife.min.js", "uPlot.min.css"} == table.keys()
    for name, digest in table.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert "MIT License" in (VENDOR / "LICENSE-uPlot.txt").read_text("utf-8")
