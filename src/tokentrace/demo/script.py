"""The conversation of the demo: 25 turns about one release on a Kubernetes cluster, written by us.

The release of a shop's checkout service goes wrong in a way that fills a prompt: manifests, metrics,
logs, traces, then an incident. What the tools print lies in ``evidence/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

MODEL = "gpt-5-mini"
GOAL = "Ship checkout 2.14.0 to prod-eu-1 without losing an order, and leave the cluster healthier than it was."
PHASES = {
    "baseline": "Learn the state of the cluster and of the running release; change nothing.",
    "accumulation": "Prepare the release: read manifests and code, run the canary, collect what matters.",
    "high load": "The canary is slow under load: find the cause, decide, keep evidence short.",
    "stress": "Incident: customers cannot pay. Stabilise first, explain later, write everything down.",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the model, and the evidence that the tool prints."""

    tool: str
    arguments: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation.

    Attributes:
        phase: one of `PHASES`.
        user: what the engineer writes.
        reply: what the model answers in the end.
        calls: the tools that it uses before.
        opens: files that are open in the editor from this turn on.
        paste: evidence that the engineer pastes below the question.
        decision: what is decided in this turn and must not be forgotten.
        streamed: the answer is streamed.
    """

    phase: str
    user: str
    reply: str
    calls: tuple[Call, ...] = ()
    opens: tuple[str, ...] = ()
    paste: str = ""
    decision: str = ""
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says to one request: a text, or a call of a tool."""

    turn: int
    step: int
    text: str = ""
    call: Call | None = None


def evidence(name: str) -> str:
    """Return a file of the demo as the tools print it."""
    return files(__package__).joinpath("evidence", name).read_text(encoding="utf-8").rstrip("\n")


def kubectl(command: str, shows: str) -> Call:
    """Return a call of kubectl that prints a file of ours."""
    return Call("kubectl", json.dumps({"command": command}, separators=(",", ":")), shows)


def runbook(topic: str, shows: str) -> Call:
    """Return a look into the runbooks."""
    return Call("runbook", json.dumps({"topic": topic}, separators=(",", ":")), shows)


def metrics(query: str, minutes: int, shows: str) -> Call:
    """Return a question to the metrics and logs."""
    arguments = json.dumps({"query": query, "minutes": minutes}, separators=(",", ":"))
    return Call("observe", arguments, shows)


TURNS = (
    # ── baseline ─────────────────────────────────────────────────────────────────────────────────
    Turn(
        "baseline",
        "Morning. I am taking checkout 2.14.0 to production today. Is there a runbook for that?",
        "Good morning. Yes, ORD-3: look first, then a canary of two pods for ten minutes with a gate of 15 percent on p95,"
        " then promotion by hand, not between 17:00 and 22:00. So before anything changes I would like to see the nodes,"
        " what runs in the shop namespace and how close checkout is to its limits.",
        calls=(runbook("release checkout", "runbook-release.txt"),),
    ),
    Turn(
        "baseline",
        "Fine, start with the nodes. Is the cluster healthy?",
        "Five nodes, all Ready on v1.33.4, spread over three zones. The busiest is ip-10-4-12-201 at 57 percent CPU and"
        " 71 percent memory, so there is room for a canary, but that node is the one to watch.",
        calls=(kubectl("get nodes -o wide", "nodes.txt"),),
    ),
    Turn(
        "baseline",
        "And the shop namespace? Which version of checkout is live?",
        "Everything in shop is fully available. checkout runs 2.13.4 with six replicas; cart, payments, shipping and"
        " storefront are at their expected sizes. pgbouncer has two pods in front of the orders database.",
        calls=(kubectl("get deployments -n shop -o wide", "deployments.txt"),),
        streamed=True,
    ),
    Turn(
        "baseline",
        "How much memory headroom do the checkout pods have?",
        "Less than I would like: 355 to 390 MiB of a 512 MiB limit, so 69 to 76 percent at a quiet hour. A release that"
        " adds ten percent still fits, one that buffers whole carts does not.",
        calls=(kubectl("top pods -n shop -l app=checkout", "top-pods.txt"),),
    ),
    Turn(
        "baseline",
        "Then let us agree on the rules for today. What would you refuse to do?",
        "Three rules: no change without a second person, the canary's metric gate is never bypassed, and connection"
        " pools are not raised while a release is under way, because that hides leaks until the database falls over.",
        decision="Changes need a second person; the canary gate is never bypassed; pools stay as they are during a release.",
    ),
    # ── accumulation ─────────────────────────────────────────────────────────────────────────────
    Turn(
        "accumulation",
        "Here is the deployment manifest. Is the rolling update safe?",
        "Yes: maxUnavailable 0 keeps six pods serving and maxSurge 2 needs 768 MiB more. The readiness probe reacts in"
        " fifteen seconds. There is no liveness probe and no CPU limit, both fine here.",
        opens=("checkout-deployment.yaml",),
    ),
    Turn(
        "accumulation",
        "And the autoscaler, could it fight with the rollout?",
        "It could: it reacts to CPU at 65 percent and new pods start warm-up at about 90. With nine pods now desired it"
        " is already scaling. I would hold the rollout while the replica count is moving.",
        calls=(kubectl("describe hpa checkout -n shop", "hpa.txt"),),
        opens=("checkout-hpa.yaml",),
        decision="Hold the rollout while the autoscaler is changing the replica count.",
    ),
    Turn(
        "accumulation",
        "What in the values file could hurt us tonight?",
        "Two things. FEATURE_SPLIT_SHIPMENTS is on for everyone, not for a share of traffic. And PAYMENTS_RETRIES 4 with"
        " a timeout of 2.5 seconds lets one order hold its resources for more than twelve seconds.",
        opens=("checkout-values.yaml",),
        streamed=True,
    ),
    Turn(
        "accumulation",
        "Show me how the payments client retries, I think it has no back-off.",
        "You are right: it retries at once, up to four times, without back-off or jitter, and it treats every status"
        " below 500 as an answer. Under an outage of payments this multiplies the load by five.",
        opens=("payments_client.py.txt",),
        decision="Payments retries get back-off and jitter in 2.14.1, not in this release.",
    ),
    Turn(
        "accumulation",
        "Start the canary and tell me when it is up.",
        "The canary is up: two pods of 2.14.0 are available. Revision 43 is the canary, 42 stays the release for"
        " everyone. I would give it ten minutes of evening-like traffic before reading the gate.",
        calls=(kubectl("rollout status deployment/checkout-canary -n shop", "rollout.txt"),),
        opens=("deploy-pipeline.yaml",),
    ),
    Turn(
        "accumulation",
        "Ten minutes are over. What does the gate say?",
        "It fails: p95 is 59 percent above the baseline, 15 are allowed. Two lines explain more than that one: waiting"
        " for a database connection went from 3 to 128 ms, and each request now makes two transactions.",
        calls=(metrics("compare checkout checkout-canary", 10, "canary-metrics.txt"),),
        decision="The gate for 2.14.0 failed at p95 +59 percent; promotion is blocked.",
    ),
    Turn(
        "accumulation",
        "Which code opens the second transaction?",
        "OrderStore.place authorises the payment inside its transaction, so a connection is held for the whole call to"
        " payments. Split shipments do the same a second time with shipping. That is where the pool goes.",
        opens=("order_store.py.txt",),
    ),
    # ── high load ────────────────────────────────────────────────────────────────────────────────
    Turn(
        "high load",
        "Traffic is rising. Do the canary's logs agree with that?",
        "They do. Orders with two or more shipments wait 40 to 150 ms for a connection, single ones do not. Two orders"
        " failed with PoolTimeout in reserve-shipment; both must be looked at by reconciliation.",
        calls=(metrics('{app="checkout-canary"} |= "pool"', 5, "canary-logs.txt"),),
    ),
    Turn(
        "high load",
        "How bad is it at pgbouncer?",
        "All 40 server connections of checkout are active and 23 clients wait, the longest for 1.4 seconds. The other"
        " services have room. An average transaction of 181 ms with queries of 2 ms says: held open, not slow.",
        calls=(kubectl("exec deploy/pgbouncer -n shop -- show pools", "pgbouncer-pools.txt"),),
        opens=("pgbouncer.ini",),
    ),
    Turn(
        "high load",
        "Show me one slow request from end to end.",
        "In the slow trace 790 of 1,204 ms are spent waiting for the second connection, and 388 ms are calls to payments"
        " and shipping made inside open transactions. The fast trace has the first of these and not the second.",
        calls=(metrics("trace service=checkout-canary min=1s", 10, "traces.txt"),),
        streamed=True,
    ),
    Turn(
        "high load",
        "What does the database itself think?",
        "31 connections are idle in transaction, the oldest for 1.4 seconds, and the two statements on top are our two"
        " transactions. 62 of 100 connections are in use: raising the pool would only move the wall.",
        calls=(kubectl("exec orders-db-0 -n shop -- pg-top", "slow-queries.txt"),),
        decision="Cause: calls to payments and shipping inside open transactions. Raising pools is no remedy.",
    ),
    Turn(
        "high load",
        "Is there a runbook for this, and does it agree with you?",
        "ORD-12 agrees: stop the rollout or switch the feature off, do not raise pools first, never call services inside"
        " a transaction. It adds one step I had not named: reconcile orders in state new after recovery.",
        calls=(runbook("orders pool exhausted", "runbook-pool.txt"),),
    ),
    Turn(
        "high load",
        "Would our load test have caught it?",
        "No. It places one order of one article per cart, so it never splits a shipment, and its p95 threshold of 450 ms"
        " is looser than the canary gate. It needs carts with several warehouses.",
        opens=("load_test.js",),
        decision="The load test gets carts that split into several shipments before the next attempt.",
    ),
    Turn(
        "high load",
        "Marketing says the evening campaign cannot wait. Someone promoted by hand. Is payments still healthy?",
        "Not quite: one of four payments pods is not ready and two restarted in the last minutes, all on"
        " ip-10-4-12-201. The acquirer is fine, so the cause is on our side, most likely that node.",
        calls=(kubectl("get pods -n shop -l app=payments -o wide", "payments-status.txt"),),
    ),
    Turn(
        "high load",
        "What is wrong with that node?",
        "Memory: limits add up to 138 percent and the recommender batch alone holds 15 GB. The kubelet evicts and the"
        " kernel kills canary pods at their limit. The node also hosts payments, which is why customers feel it.",
        calls=(kubectl("describe node ip-10-4-12-201.eu", "node-describe.txt"),),
        streamed=True,
    ),
    # ── stress ───────────────────────────────────────────────────────────────────────────────────
    Turn(
        "stress",
        "Customers cannot pay. I am declaring an incident. First steps?",
        "Freeze the pipeline, name a commander and a scribe, then switch FEATURE_SPLIT_SHIPMENTS off: it is faster than"
        " a rollback and loses no order. The status page is due within ten minutes.",
        calls=(runbook("first fifteen minutes", "runbook-incident.txt"),),
        decision="Incident since 14:03: pipeline frozen, split shipments are switched off first, rollback second.",
    ),
    Turn(
        "stress",
        "Feature is off. List every pod so that we see what the node took down.",
        "Only pods on ip-10-4-12-201 are affected: killed, evicted or restarting. The other four nodes are clean."
        " Cordon that node, then move payments first; the recommender batch can be stopped without harm.",
        calls=(kubectl("get pods -A -o wide", "pods-all.txt"),),
        decision="Cordon ip-10-4-12-201; payments moves first, the recommender batch is stopped.",
    ),
    Turn(
        "stress",
        "The scribe exported the whole minute of logs. Read them all and tell me which orders to reconcile.",
        "The lines show one pattern: PoolTimeout in reserve-shipment after the order was inserted. Every order id logged"
        " with that error since 14:05:07 goes to reconciliation; retried payments share their idempotency key.",
        calls=(kubectl("get events -n shop --sort-by=.lastTimestamp", "events.txt"),),
        paste="incident-logs.txt",
        decision="Orders with PoolTimeout since 14:05:07 go to reconciliation; payments are not charged twice.",
    ),
    Turn(
        "stress",
        "Legal asks who changed what. Here is the audit log, keep it out of the summary for customers.",
        "Three kinds of changes: the autoscaler resized checkout, the pipeline updated the canary, and two engineers"
        " read logs and patched the environment. Nothing outside the change window touched payments.",
        paste="audit.txt",
    ),
    Turn(
        "stress",
        "We are stable. Write the timeline and the three actions that matter.",
        "Timeline as below, from the canary at 13:31 to the batch's move at 14:19. Actions: no calls inside transactions,"
        " back-off with jitter in the payments client, batch work on nodes of its own. Promotion by hand needs a lock.",
        calls=(metrics("annotations service=checkout", 60, "timeline.txt"),),
        decision="Actions: no calls inside transactions, back-off in the payments client, batch on its own nodes.",
        streamed=True,
    ),
)


def printed(tool: str, arguments: str) -> str:
    """Return what a tool prints on our recorded cluster."""
    calls = (call for turn in TURNS for call in turn.calls)
    names = {(call.tool, call.arguments): call.evidence for call in calls}
    name = names.get((tool, arguments))
    return evidence(name) if name else f"{tool}: nothing found"


def answer(messages: Sequence[Mapping[str, Any]]) -> Answer | None:
    """Return what the model says to ``messages``, or None for a conversation that is not ours.

    The newest user message names the turn, the tool results behind it the step.
    """
    users = [place for place, message in enumerate(messages) if message.get("role") == "user"]
    asked = messages[users[-1]].get("content") if users else None
    if not isinstance(asked, str):
        return None
    for number, turn in enumerate(TURNS, 1):
        if asked.startswith(turn.user):
            step = sum(message.get("role") == "tool" for message in messages[users[-1] :])
            done = step >= len(turn.calls)
            call = None if done else turn.calls[step]
            return Answer(number, step, turn.reply if done else "", call)
    return None
