"""What Prometheus records of tokentrace's counters, and the file of its recording rules.

.venv/bin/python scripts/recording_rules.py           # writes it
.venv/bin/python scripts/recording_rules.py --check   # exit 1 where it is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from tokentrace import schema

TOP = Path(__file__).parents[1]
RULES = TOP / "deploy" / "prometheus" / "recording.rules.yml"


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def label(name: str) -> str:
    """Return an attribute's name as Prometheus spells it."""
    return name.replace(".", "_")


def series(name: str, part: str = "") -> str:
    """Return the series of one of the package's own metrics.

    Args:
        name: as in the schema.
        part: ``bucket``, ``sum`` or ``count`` of a histogram.
    """
    metric = schema.METRICS[name]
    unit = "_seconds" if metric.unit == "s" else ""
    return label(name) + unit + (f"_{part}" if metric.kind == "histogram" else "_total")


def collector(name: str) -> str:
    """Return one of the Collector's own counters: how it is set up decides on the ending."""
    return f'{{__name__=~"otelcol_{name}(_total)?"}}'


SERVICE = label(schema.SERVICE_NAME)
MODEL = label(schema.REQUEST_MODEL)
COMPONENT = label(schema.COMPONENT_NAME)
DECISION = label(schema.DECISION)
BAND = label(schema.BAND)
REASON = label(schema.DROP_REASON)
FAILURE = label(schema.FAILURE)
BOTH = (SERVICE, MODEL)

# What is recorded: its name, the counter it is made of, the labels it keeps. Those of spans are
# derived by the Collector, before it samples.
RECORDED: dict[str, tuple[str, tuple[str, ...]]] = {
    "calls": ("tokentrace_span_calls_total", (*BOTH, DECISION, BAND)),
    "input_tokens": ("tokentrace_span_input_tokens_total", BOTH),
    "input_drift_over": ("tokentrace_span_input_drift_over_total", BOTH),
    "input_drift_under": ("tokentrace_span_input_drift_under_total", BOTH),
    "component_tokens": ("tokentrace_span_component_tokens_total", (*BOTH, COMPONENT)),
    "cost_usd": ("tokentrace_span_cost_USD_total", BOTH),
    "component_cost_usd": ("tokentrace_span_component_cost_USD_total", (*BOTH, COMPONENT)),
    "utilization_bucket": (series(schema.UTILIZATION, "bucket"), ("le", *BOTH)),
    "overhead_seconds_bucket": (series(schema.OVERHEAD, "bucket"), ("le", SERVICE)),
    "duration_seconds_bucket": (series(schema.DURATION, "bucket"), ("le", *BOTH)),
    "usage_input_tokens": ("tokentrace_span_usage_input_tokens_total", BOTH),
    "usage_cache_read_tokens": ("tokentrace_span_usage_cache_read_tokens_total", BOTH),
    "usage_output_tokens": ("tokentrace_span_usage_output_tokens_total", BOTH),
    "named_component_tokens": (series(schema.COMPONENT_TOKENS, "sum"), (*BOTH, COMPONENT)),
    "internal_errors": (series(schema.INTERNAL_ERRORS), (SERVICE, FAILURE)),
    "telemetry_dropped": (series(schema.DROPPED), (SERVICE, REASON)),
    "collector_refused_spans": (collector("receiver_refused_spans"), ("instance", "receiver")),
    "collector_failed_spans": (collector("exporter_send_failed_spans"), ("instance", "exporter")),
    "collector_unqueued_spans": (
        collector("exporter_enqueue_failed_spans"),
        ("instance", "exporter"),
    ),
    "collector_hurried_traces": (
        collector("processor_tail_sampling_sampling_trace_dropped_too_early"),
        ("instance",),
    ),
    "tempo_truncated_attributes": (
        "tempo_distributor_attributes_truncated_total",
        ("instance", "scope"),
    ),
    "tempo_discarded_spans": ("tempo_discarded_spans_total", ("instance", "reason")),
}


def recorded(name: str) -> str:
    """Return the series that a recording rule makes."""
    if name not in RECORDED:
        raise KeyError(name)
    return f"tokentrace:{name}:increase1m"


# ── recording rules ──────────────────────────────────────────────────────────────────────────────

HEAD = """\
# Written by scripts/recording_rules.py; a test fails where this file is not what it writes.
#
# What each counter grew by in one minute. `increase()` would guess between scrapes and would not see
# the first call of a new model, service or decision at all: a counter begins with that call, and one
# sample has no increase. Here the minutes add up to exactly what was counted: the difference to a
# minute ago, or the whole counter where it is new or began anew. A counter counts as new only while
# the target was scraped a minute ago too, so that a gap in scraping adds no history.
#
#   sum_over_time(tokentrace:calls:increase1m[15m])
#
# The interval has to stay a minute.
groups:
  - name: tokentrace-recorded
    interval: 1m
    rules:
"""
RULE = """\
      - record: {name}
        expr: |
          sum by ({labels}) (
            ({source} - {source} offset 1m) >= 0
              or ({source} and on (job, instance) (up offset 1m == 1))
          )
"""


def rules() -> str:
    """Return the file of recording rules."""
    return HEAD + "".join(
        RULE.format(name=recorded(name), labels=", ".join(labels), source=source)
        for name, (source, labels) in RECORDED.items()
    )


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def keep(path: Path, content: str) -> int:
    """Write a generated file, or with ``--check`` tell that it is stale; return the exit code."""
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return 0
    checking = "--check" in sys.argv
    print(f"{'stale' if checking else 'written'}: {path.relative_to(TOP)}")
    if not checking:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return int(checking)


if __name__ == "__main__":
    sys.exit(keep(RULES, rules()))
