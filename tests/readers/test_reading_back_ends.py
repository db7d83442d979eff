"""Reading from Jaeger and Tempo: the same records as from a file, page by page, and clear refusals."""

from __future__ import annotations

import gzip
import json
import random
import socket
from base64 import b64decode
from pathlib import Path

import pytest
from typer.testing import CliRunner

import trace_back_ends
from tokentrace import cli, readers, schema
from tokentrace.errors import InputError
from tokentrace.readers import Problems
from tokentrace.readers.backends import HOUR, SECOND, Wanted, addresses, jaeger, tempo, web, windows
from tokentrace.readers.backends.ids import in_hex
from trace_back_ends import Jaeger, Tempo, standing

TRACE = Path(__file__).parent / "data" / "conversation.jsonl"
START = 1_760_000_000_000_000_000
RANGE = ("--from", "2025-10-09T00:00", "--to", "2025-10-10")
KINDS = {"jaeger": Jaeger, "tempo": Tempo}


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch, tmp_path):
    """Run in an empty folder, without colour."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


def report(*words):
    """Run `tokentrace report` in this process."""
    return CliRunner().invoke(cli.app, ["report", *map(str, words)])


def complaint(result):
    """Return the one line of a refused command."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


def spans_of(path):
    """Return the spans of an OTLP-JSON file with their services."""
    found = []
    for line in path.read_text().splitlines():
        for resource in json.loads(line).get("resourceSpans", ()):
            named = {one["key"]: one["value"] for one in resource["resource"]["attributes"]}
            service = named["service.name"]["stringValue"]
            found += [
                (service, span) for scope in resource["scopeSpans"] for span in scope["spans"]
            ]
    return found


def range_of(spans):
    """Return the options for the time of spans."""
    begins = [int(span["startTimeUnixNano"]) // SECOND for _, span in spans]
    return "--from", stamp(min(begins)), "--to", stamp(max(begins) + 1)


def stamp(seconds):
    return trace_back_ends.datetime.fromtimestamp(seconds, cli.backends.UTC).isoformat()


@pytest.fixture
def many(otlp):
    """Return a function that makes calls, each a trace of its own, ``apart`` ns from one another."""

    def make(count, apart=SECOND, service="agents", **changes):
        calls = [
            otlp.call(
                number, start=START + number * apart, end=START + number * apart + 5, **changes
            )
            for number in range(1, count + 1)
        ]
        return [(service, otlp.span(call)) for call in calls]

    return make


def read(kind, end, span=HOUR, **changes):
    """Return the records of a back end and the problems."""
    problems = Problems()
    wanted = Wanted(START, START + span, **changes)
    path = f"{kind}:{end.url}"
    return list(readers.read([path], problems, wanted=wanted)), problems


# ── the same as from a file ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_run_reads_the_same_from_file_and_back_end(kind, packed):
    """--json is byte for byte the same, in whatever order a back end gives spans."""
    spans = spans_of(TRACE)
    shuffled = random.Random(7).sample(spans, len(spans))
    with standing(KINDS[kind](shuffled, packed=packed)) as end:
        found = report(f"{kind}:{end.url}", *range_of(spans), "--json")
    assert found.exit_code in {0, 1}, found.output
    assert found.stdout == report(TRACE, "--json").stdout


@pytest.mark.parametrize("kind", KINDS)
def test_assemblies_and_events_come_along(kind, otlp):
    """What stands beside a call in its trace comes with it, with its events."""
    call = otlp.call(3, start=START + 3, error_type="APIError")
    room = otlp.assembly(3, start=START + 1)
    spans = [("agents", otlp.span(one)) for one in (call, room)]
    with standing(KINDS[kind](spans)) as end:
        found, _ = read(kind, end)
    assert sorted(type(one).__name__ for one in found) == ["CallRecord", "ContextRecord"]
    assert {one.trace_id for one in found} == {call.trace_id}
    (held,) = (one for one in found if one.span_id == room.span_id)
    assert [event.name for event in held.events] == [schema.COMPONENT_EXCLUDED]


def test_the_base_of_a_comparison_may_be_a_back_end(many):
    """--against takes a back end, too."""
    with standing(Jaeger(many(3))) as end:
        found = report(TRACE, "--against", f"jaeger:{end.url}", *RANGE, "--json")
    assert json.loads(found.stdout)["comparison"]


def test_files_and_back_ends_stand_beside_one_another(many):
    """Paths of both kinds are one report."""
    with standing(Jaeger(many(3, session="elsewhere"))) as end:
        found = json.loads(report(TRACE, f"jaeger:{end.url}", *RANGE, "--json").stdout)
    assert {"conv-42", "elsewhere"} <= {one["id"] for one in found["sessions"]}


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_jaeger_is_read_page_by_page(many, tags, streams):
    """A window with more than a page is cut, until each trace was read, and once."""
    with standing(Jaeger(many(350), tags=tags, streams=streams)) as end:
        found, problems = read("jaeger", end)
    assert sorted(one.turn for one in found) == list(range(1, 351))
    assert not problems.count
    assert {
        given["query.num_traces"] for path, given, _ in end.asked if path.endswith("traces")
    } == {str(jaeger.LIMIT)}


def test_tempo_is_read_page_by_page(many, monkeypatch):
    """Ids are searched window by window, and each trace is fetched once."""
    monkeypatch.setattr(tempo, "LIMIT", 20)
    with standing(Tempo(many(75))) as end:
        found, problems = read("tempo", end)
    fetched = [path for path, _, _ in end.asked if path.startswith("/api/v2/")]
    assert sorted(one.turn for one in found) == list(range(1, 76))
    assert (len(fetched), len(set(fetched)), problems.count) == (75, 75, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [(3, 9, 0), (2, 8, 1), (1, 4, 1)])
def test_more_at_one_moment_than_a_page_holds(kind, many, monkeypatch, case):
    """Where no window is small enough more is asked for at once; what is still left out is told."""
    more, there, told = case
    monkeypatch.setattr({"jaeger": jaeger, "tempo": tempo}[kind], "LIMIT", 4)
    monkeypatch.setattr(windows, "MORE", more)
    with standing(KINDS[kind](many(9, apart=1))) as end:
        found, problems = read(kind, end)
    assert (len(found), problems.count) == (there, told)
    assert not told or "not all are read" in problems.kept[0].reason


def test_a_back_end_may_refuse_to_give_more_at_once(many, monkeypatch):
    """What is at hand is used then, and the rest is told of."""
    monkeypatch.setattr(jaeger, "LIMIT", 4)
    refused = answering(500, b'{"error":{"httpCode":500,"message":"search depth"}}')
    with standing(Jaeger(many(9, apart=1))) as end:
        end.instead = lambda handler: "num_traces=80" in handler.path and refused(handler)
        found, problems = read("jaeger", end)
    assert (len(found), problems.count) == (4, 1)


def test_a_day_is_no_window(many):
    """However long the range, no question is for more than an hour where a day is asked for."""
    with standing(Jaeger(many(2))) as end:
        read("jaeger", end, 24 * HOUR)
    asked = [given for path, given, _ in end.asked if path.endswith("/traces")]
    spans = [
        trace_back_ends.nanoseconds(given["query.startTimeMax"])
        - trace_back_ends.nanoseconds(given["query.startTimeMin"])
        for given in asked
    ]
    assert (len(spans), max(spans)) == (24, HOUR)


def test_traces_of_two_services_are_read_once(many, otlp):
    """A trace in which two services took part comes with both of them, and once."""
    spans = [("agents", one) for _, one in many(2)] + [("helper", one) for _, one in many(2)]
    spans = [
        (name, {**one, "spanId": f"{place:016x}"}) for place, (name, one) in enumerate(spans, 1)
    ]
    with standing(Jaeger(spans)) as end:
        found, _ = read("jaeger", end)
        only, _ = read("jaeger", end, service="helper")
    assert sorted(one.service for one in found) == ["agents", "agents", "helper", "helper"]
    assert [one.service for one in only] == ["helper", "helper"]


def test_a_page_that_is_too_large_is_cut(many, monkeypatch):
    """An answer over the cap is asked for in halves."""
    monkeypatch.setattr(web, "PAGE", 20_000)
    with standing(Jaeger(many(40))) as end:
        found, problems = read("jaeger", end)
    assert (len(found), problems.count) == (40, 0)


def test_a_trace_that_is_too_large_is_told(many, monkeypatch):
    """A trace over the cap is one problem, and the others are read."""
    spans = many(2)
    spans[0][1]["attributes"].append({"key": "long", "value": {"stringValue": "x" * 60_000}})
    monkeypatch.setattr(web, "PAGE", 50_000)
    with standing(Tempo(spans)) as end:
        found, problems = read("tempo", end)
    assert [one.turn for one in found] == [2]
    assert "too large" in problems.kept[0].reason


def test_damaged_spans_are_told_with_their_place(many):
    """A span that is none is skipped, and the back end is named."""
    spans = many(2)
    spans[0][1]["startTimeUnixNano"] = str(START + 1)
    spans[0][1]["spanId"] = "no id"
    with standing(Jaeger(spans)) as end:
        found, problems = read("jaeger", end)
    assert [one.turn for one in found] == [2]
    assert str(problems.kept[0]).startswith(f"jaeger:{end.url}: a span: 'no id'")


def test_ids_in_base64_are_those_in_hex():
    """Fields are rewritten, texts are not, and what is neither hex nor base64 stays to be told of."""
    text = json.dumps({"stringValue": '{"traceId":"W47/95gDgQPSabYzgT/GDA=="}'})
    export = (
        '{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId": "O9W49Rdc7ac=","parentSpanId":"",'
        f'"traceId":"00000000000000000000000000000a0b","spanId":"AAAAAAAAAAA==","x":{text}}}'
    )
    assert in_hex(export.encode()).decode() == (
        '{"traceId":"5b8efff798038103d269b633813fc60c","spanId": "3bd5b8f5175ceda7",'
        '"parentSpanId":"","traceId":"00000000000000000000000000000a0b","spanId":"AAAAAAAAAAA==",'
        f'"x":{text}}}'
    )


def test_a_jaeger_that_writes_base64(many):
    """Whichever way ids are written, traces are told apart and read once."""
    spans = [(name, Tempo.written(span)) for name, span in many(250)]
    with standing(Jaeger(spans)) as end:
        found, problems = read("jaeger", end)
    assert sorted(one.trace_id for one in found) == [f"{place:032x}" for place in range(1, 251)]
    assert not problems.count


def test_an_export_without_envelope_is_read(many):
    """What comes as plain OTLP JSON, as the API's description says, is read as well."""
    body = json.dumps(trace_back_ends.exported(many(2))).encode()
    with standing(Jaeger(many(1))) as end:
        end.instead = lambda handler: "/traces" in handler.path and answering(200, body)(handler)
        found, problems = read("jaeger", end)
    assert ([one.turn for one in found], problems.count) == ([1, 2], 0)


def test_a_partial_trace_is_told(many):
    """Tempo says when it holds a part of a trace only."""

    def instead(handler):
        if "/v2/" not in handler.path:
            return False
        body = json.dumps({"trace": {"resourceSpans": []}, "status": "PARTIAL"}).encode()
        return answering(200, body)(handler)

    with standing(Tempo(many(1), instead=instead)) as end:
        problems = Problems()
        with pytest.raises(InputError, match="nothing of tokentrace"):
            list(readers.read([f"tempo:{end.url}"], problems, wanted=Wanted(START, START + HOUR)))
    assert "only a part" in problems.kept[0].reason


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_asked_for_by_its_tag(many):
    """Jaeger is asked for the session's traces alone; one that knows no tags sends all."""
    spans = many(3, session="conv-1") + [
        (name, {**span, "traceId": f"9{span['traceId'][1:]}", "spanId": f"9{span['spanId'][1:]}"})
        for name, span in many(3, session="conv-2")
    ]
    for tags, others in ((True, set()), (False, {"conv-2"})):
        with standing(Jaeger(spans, tags=tags)) as end:
            found, _ = read("jaeger", end, session="conv-1")
            shown = json.loads(
                report(f"jaeger:{end.url}", *RANGE, "--session", "conv-1", "--json").stdout
            )
        assert {one.session for one in found} == {"conv-1"} | others
        assert [one["id"] for one in shown["sessions"]] == ["conv-1"]
    asked = {given.get("query.attributes") for path, given, _ in end.asked if "traces" in path}
    assert asked == {json.dumps({schema.CONVERSATION: "conv-1"})}


def test_the_beginning_of_a_session_is_enough(many):
    """What no span bears as a whole may be the beginning of an id, as with files."""
    with standing(Jaeger(many(3, session="conv-1"), tags=True)) as end:
        shown = report(f"jaeger:{end.url}", *RANGE, "--session", "conv", "--json")
    assert [one["id"] for one in json.loads(shown.stdout)["sessions"]] == ["conv-1"]


def test_tempo_is_asked_in_traceql(many):
    """Our spans, of a service and a session; a query of the user's stands for itself."""
    with standing(Tempo(many(1))) as end:
        read("tempo", end, service="agents", session='a "b"')
        read("tempo", end, traceql="{ span.x = 1 }", service="agents")
    queries = [given["q"] for path, given, _ in end.asked if path == "/api/search"]
    assert queries == [
        (
            "{ (span.tokentrace.input.tokens >= 0 || span.tokentrace.assembly.included.tokens >= 0)"
            ' && resource.service.name = "agents"'
            ' && (span.gen_ai.conversation.id =~ "a\\\\ \\"b\\".*"'
            ' || span.tokentrace.lineage.id =~ "a\\\\ \\"b\\".*") }'
        ),
        "{ span.x = 1 }",
    ]


def test_headers_and_logins_are_sent_and_never_shown(many, monkeypatch):
    """--header, the variable and the URL's login are sent along; no message holds them."""
    monkeypatch.setenv("TOKENTRACE_HEADER", "Authorization: Bearer from-variable")
    with standing(Jaeger(many(1))) as end:
        url = end.url.replace("://", "://ann:s3cret@")
        report(f"jaeger:{url}", *RANGE)
        report(f"jaeger:{end.url}", *RANGE, "--header", "Authorization: Bearer given")
        monkeypatch.delenv("TOKENTRACE_HEADER")
        report(f"jaeger:{url}", *RANGE)
        line = complaint(report(f"jaeger:{url}", "--service", "ghost", *RANGE))
    sent = [headers["Authorization"] for path, _, headers in end.asked if "services" in path]
    assert sent[:2] == ["Bearer from-variable", "Bearer given"]
    assert b64decode(sent[2].removeprefix("Basic ")) == b"ann:s3cret"
    assert line.startswith(f"tokentrace: jaeger:{end.url}: no service 'ghost' sent anything")
    assert "s3cret" not in line
    assert "s3cret" not in repr(addresses.place(f"jaeger:{url}"))
    assert "given" not in repr(Wanted(0, 1, headers={"Authorization": "given"}))


def test_a_connection_that_was_kept_may_be_gone(many):
    """Where the other side hung up between two questions, the second is asked again."""
    with standing(Jaeger(many(3), hangs_up=True)) as end:
        found, _ = read("jaeger", end, 3 * HOUR)
    assert len(found) == 3


def test_nothing_found_says_what_was_asked(many):
    """The line tells range, service and session."""
    with standing(Jaeger(many(3))) as end:
        path = f"jaeger:{end.url}"
        words = ("--from", "2024-01-01", "--to", "2024-01-01T01:00:00+00:00", "--service", "agents")
        line = complaint(report(path, *words, "--session", "conv-9"))
    assert line == (
        f"tokentrace: {path}: nothing of tokentrace from 2024-01-01T00:00:00Z to"
        " 2024-01-01T01:00:00Z of service 'agents' of session 'conv-9'"
        f" ({jaeger.MEND})"
    )


# ── answers that are none ────────────────────────────────────────────────────────────────────────


def answering(status, body=b"", /, **headers):
    """Return what answers once and for all in one way."""

    def answer(handler):
        handler.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True
        return True

    return answer


def hanging(handler):
    """Take the question and say nothing."""
    handler.server.held.done.wait(60)
    return True


def trickling(handler):
    """Send a byte now and then, for ever."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.held.done.wait(0.02):
        handler.wfile.write(b" ")
    return True


def babbling(handler):
    """Speak something else than HTTP."""
    handler.wfile.write(b"SSH-2.0-Sure\r\n\r\n")
    handler.close_connection = True
    return True


def leaving(handler):
    """Hang up without a word."""
    handler.close_connection = True
    return True


def unending(handler):
    """Begin a body in chunks and leave in the middle of one."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'10\r\n{"services"')
    handler.close_connection = True
    return True


BAD = {
    "unauthorised": (answering(401), "not authorised (HTTP 401) (give --header"),
    "forbidden": (answering(403, b"no"), "not authorised (HTTP 403)"),
    "elsewhere": (answering(404, b"<html>"), "nothing there (HTTP 404) (is that"),
    "failing": (answering(503, b"over\n loaded"), "answers with HTTP 503: over loaded"),
    "moved": (
        answering(302, Location="http://169.254.169.254/latest?token=1"),
        "sends us elsewhere to http://169.254.169.254 (HTTP 302)",
    ),
    "a page": (answering(200, b"<!doctype html><p>"), "but an HTML page (is that"),
    "other JSON": (answering(200, b'["a"]'), "but something else"),
    "broken JSON": (answering(200, b'{"services": ["a'), "but something else"),
    "deep JSON": (answering(200, b"[" * 100_000), "but something else"),
    "cut off": (answering(200, b'{"serv', Content_Length=900), "half an answer"),
    "cut off in chunks": (unending, "half an answer"),
    "cut off gzip": (
        answering(200, gzip.compress(b'{"services": []}')[:-9], Content_Encoding="gzip"),
        "half an answer",
    ),
    "no gzip": (answering(200, b"{}", Content_Encoding="gzip"), "half an answer"),
    "a bomb": (
        answering(200, gzip.compress(bytes(web.PAGE + 1), 1), Content_Encoding="gzip"),
        "no answer of Jaeger",
    ),
    "hanging": (hanging, "no whole answer in 0.4 s"),
    "trickling": (trickling, "no whole answer in 0.4 s"),
    "another protocol": (babbling, "no answer of HTTP"),
    "leaving": (leaving, "hung up without an answer (is that Jaeger"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_answer_that_is_none_is_one_line(name, many):
    """Whatever answers instead of a back end: one clear line, exit code 2, and no wait."""
    instead, said = BAD[name]
    patience = "0.4" if instead in (hanging, trickling) else "60"
    with standing(Jaeger(many(1))) as end:
        end.instead = instead
        line = complaint(report(f"jaeger:{end.url}", *RANGE, "--timeout", patience))
    assert line.startswith(f"tokentrace: jaeger:{end.url}: ")
    assert said in line
    assert "token=1" not in line


LATER = {
    "Jaeger fails": (
        "jaeger",
        "/api/v3/traces",
        answering(500, b'{"error":{"httpCode":500,"message":"disk is full"}}'),
        "answers with HTTP 500",
    ),
    "Jaeger refuses": ("jaeger", "/api/v3/traces", answering(401, b"{}"), "not authorised"),
    "a proxy of Jaeger": ("jaeger", "/api/v3/traces", answering(502, b"<html>"), "HTTP 502"),
    "broken spans": ("jaeger", "/api/v3/traces", answering(200, b'{"result":{"re'), "broken JSON"),
    "no TraceQL": (
        "tempo",
        "/api/search",
        answering(400, b"parse error at col 3"),
        "error at col 3",
    ),
    "other hits": ("tempo", "/api/search", answering(200, b'{"traces":[7]}'), "something else"),
    "Tempo fails": ("tempo", "/api/v2/traces", answering(500), "answers with HTTP 500"),
    "broken trace": ("tempo", "/api/v2/traces", answering(200, b'{"trace":'), "broken JSON"),
}


@pytest.mark.parametrize("name", LATER)
def test_an_answer_that_is_none_in_the_middle_is_one_line(name, many):
    """What goes wrong after a good beginning is told as clearly."""
    kind, path, instead, said = LATER[name]
    with standing(KINDS[kind](many(1))) as end:
        end.instead = lambda handler: handler.path.startswith(path) and instead(handler)
        assert said in complaint(report(f"{kind}:{end.url}", *RANGE))


def test_traces_that_went_meanwhile_are_told(many):
    """A trace that Tempo found and does not hold any more is a problem, and the rest is read."""
    spans = many(2)

    def instead(handler):
        return handler.path.endswith(spans[0][1]["traceId"]) and answering(404)(handler)

    with standing(Tempo(spans, instead=instead)) as end:
        found, problems = read("tempo", end)
    assert ([one.turn for one in found], problems.count) == ([2], 1)
    assert "no longer there" in problems.kept[0].reason


def test_nobody_listens():
    """A refused connection is one line that names the port to look for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    line = complaint(report(f"tempo:http://127.0.0.1:{port}"))
    assert "connection refused (is it running there? Tempo's HTTP port, 3200)" in line


def test_plain_http_is_no_tls(many):
    """https:// where there is none says so."""
    with standing(Jaeger(many(1))) as end:
        line = complaint(report(f"jaeger:{end.url.replace('http', 'https')}"))
    assert "no TLS" in line


# ── addresses ────────────────────────────────────────────────────────────────────────────────────

PRIVATE = [
    "10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "[fd00::1]", "[fe80::1]", "[ff02::1]", "[::]", "[::ffff:10.0.0.1]",
    "[::ffff:127.0.0.1]", "[64:ff9b::a00:1]", "[2002:a00:1::]", "0x0a000001", "167772161",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused(host):
    """Nothing is sent into a private network, in whatever way its address is written."""
    line = complaint(report(f"jaeger:http://{host}:16686"))
    assert "of a private or local network (give --allow-private if it is meant)" in line


@pytest.fixture
def resolver(monkeypatch):
    """Return the names that are known, and what was looked up."""
    known, looked = {}, []

    def look(host, port, **_):
        looked.append(host)
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]
        ]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", look)
    return known, looked


def test_a_name_of_a_private_address_is_refused(resolver, many):
    """A name that leads to this machine or a private one is no public one."""
    known, _ = resolver
    known["jaeger.example"] = ["127.0.0.1"]
    known["metadata.example"] = ["169.254.169.254"]
    with standing(Jaeger(many(1))) as end:
        port = end.url.rpartition(":")[2]
        line = complaint(report(f"jaeger:http://jaeger.example:{port}", *RANGE))
        other = complaint(report("jaeger:http://metadata.example"))
        assert not end.asked
        found = report(f"jaeger:http://jaeger.example:{port}", *RANGE, "--allow-private")
    assert "jaeger.example is 127.0.0.1, an address of a private" in line
    assert "metadata.example is 169.254.169.254" in other
    assert found.exit_code in {0, 1}
    assert end.asked[0][2]["Host"] == f"jaeger.example:{port}"


def test_the_variable_allows_private_addresses(resolver, many, monkeypatch):
    """TOKENTRACE_ALLOW_PRIVATE=1 is the option."""
    resolver[0]["jaeger.example"] = ["127.0.0.1"]
    monkeypatch.setenv("TOKENTRACE_ALLOW_PRIVATE", "1")
    with standing(Jaeger(many(1))) as end:
        port = end.url.rpartition(":")[2]
        assert report(f"jaeger:http://jaeger.example:{port}", *RANGE).exit_code in {0, 1}


def test_the_address_that_was_checked_is_connected_to(resolver, monkeypatch):
    """A name is looked up once a connection; of its addresses only those that are public are tried."""
    known, looked = resolver
    known["rebinding.example"] = ["10.0.0.1", "93.184.215.14"]
    tried = []

    def connect(_, address):
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    line = complaint(report("tempo:http://rebinding.example:3200"))
    assert (looked, tried) == (["rebinding.example"], [("93.184.215.14", 3200)])
    assert "connection refused" in line


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800::1", "::ffff:93.184.215.14"])
def test_public_addresses_are_asked(resolver, monkeypatch, address):
    """What is of the open internet needs no permission; what the system says of it is told."""
    resolver[0]["traces.example"] = [address]

    def connect(*_):
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket.socket, "connect", connect)
    line = complaint(report("tempo:http://traces.example"))
    assert line == "tokentrace: tempo:http://traces.example: cannot be reached: No route to host"


def test_an_unknown_host_is_one_line(resolver):
    """A name that nobody knows is told as such."""
    assert "no such host (check the URL)" in complaint(report("jaeger:http://no.example"))


def test_a_resolver_that_hangs_is_left(monkeypatch):
    """A look-up takes no longer than an answer may."""
    held = trace_back_ends.threading.Event()
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: held.wait(60))
    line = complaint(report("jaeger:http://slow.example", "--timeout", "0.2"))
    held.set()
    assert "no answer from the resolver" in line


@pytest.mark.parametrize("path", [
    "jaeger:", "jaeger:localhost:16686", "jaeger:ftp://h", "tempo:http://", "tempo:http://h:99999",
    "tempo:http://h:0", "jaeger:http://h:x", "jaeger:http://[::1", "jaeger:http://h/?token=t0p",
    "jaeger:http://u:t0p@h:x", "jaeger:http://u:t0p@h/#f",
])  # fmt: skip
def test_a_url_that_is_none_is_one_line(path):
    """What is no URL of a back end is told with an example, and without its login."""
    line = complaint(report(path))
    assert "write it like" in line
    assert "t0p" not in line


def test_names_of_places():
    """A place is called by its URL, without login and with brackets where an address needs them."""
    assert (
        str(addresses.place("jaeger:http://u:p@[::1]:16686/base/"))
        == "jaeger:http://[::1]:16686/base"
    )
    assert str(addresses.place("tempo:https://traces.example")) == "tempo:https://traces.example"


# ── options ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("words", "said"), [
    (("--since", "1 fortnight"), "--since: no span of time '1 fortnight'"),
    (("--since", "0h"), "--since: no span of time"),
    (("--from", "yesterday"), "--from: no time 'yesterday'"),
    (("--since", "1h", "--from", "2026-01-01"), "--since: not together with --from"),
    (("--from", "2026-01-02", "--to", "2026-01-01"), "--from: ends before it begins"),
    (("--to", "1960-01-01"), "--to: ends before it begins"),
    (("--timeout", "0"), "--timeout: no time"),
    (("--timeout", "nan"), "--timeout: no time"),
    (("--header", "s3cret"), "--header: no header"),
    (("--header", "A: b\r\nC: s3cret"), "--header: no header"),
])  # fmt: skip
def test_options_that_cannot_be_used_are_one_line(words, said):
    """Each names its option, and no header is shown."""
    line = complaint(report("jaeger:http://127.0.0.1:1", *words))
    assert line.startswith(f"tokentrace: {said}")
    assert "s3cret" not in line


def test_options_of_back_ends_want_a_back_end():
    """A range that a file would not heed is refused, not ignored."""
    assert "no path is a back end" in complaint(report(TRACE, "--since", "1h"))


def test_the_variable_holds_a_header(monkeypatch):
    """A variable that holds none is told, and not shown."""
    monkeypatch.setenv("TOKENTRACE_HEADER", "s3cret")
    line = complaint(report("jaeger:http://127.0.0.1:1"))
    assert line.startswith("tokentrace: TOKENTRACE_HEADER: no header")
    assert "s3cret" not in line


def test_the_last_hour_is_asked_for_by_default(many):
    """Without options the range is the hour before now."""
    asked = cli.backends.asked(timeout=9.0)
    assert asked.end - asked.start == HOUR
    assert readers.backends.lately().end >= asked.end
