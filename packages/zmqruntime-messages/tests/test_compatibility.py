"""Within protocol 1 the contract only grows: peers of the last release go on working."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from contract.baseline import read_version
from contract.breaks import find_breaks
from contract.files import RELEASED

from zmqruntime.messages import PROTOCOL_VERSION, make_schemas

Schema = dict[str, Any]
Change = Callable[[dict[str, Schema]], None]

KINDS = ("request", "reply", "event")

# Bounds that protect a server, and that no client of ours has come near. To be emptied when a
# release has them.
DELIBERATE = {
    *(
        f"request {word}.request_id: a server took string before"
        for word in (
            *("ping", "execute", "status", "cancel", "events", "log_tail", "shutdown"),
            *("register_progress", "unregister_progress"),
        )
    ),
    "request status.cursor: a server took string before",
    "request execute.retry_on: a server took array before",
}


def changed(change: Change) -> dict[str, Schema]:
    """Return the schemas of now, with each definition's fields open to ``change``."""
    schemas = deepcopy(make_schemas())
    change({title: d for kind in KINDS for title, d in schemas[kind]["$defs"].items()})
    return schemas


def test_the_contract_has_not_broken_since_the_last_release() -> None:
    released = {
        kind: json.loads((RELEASED / "schema" / f"{kind}.json").read_text("utf-8"))
        for kind in KINDS
    }
    found = find_breaks(released, make_schemas())
    assert set(found) >= DELIBERATE
    breaks = [each for each in found if each not in DELIBERATE]
    assert not breaks, (
        f"peers of {read_version()} would break: {'; '.join(breaks)}. Within protocol "
        f"{PROTOCOL_VERSION} a request may get fields that are optional, a reply or an event "
        "fields that may be absent (list them in schema.py); anything else needs another version."
    )


def test_schemas_that_are_alike_break_nothing() -> None:
    assert find_breaks(make_schemas(), make_schemas()) == []


def drop(title: str, field: str) -> Change:
    def change(definitions: dict[str, Schema]) -> None:
        definition = definitions[title]
        del definition["properties"][field]
        definition["required"] = [name for name in definition["required"] if name != field]

    return change


def add(title: str, field: str, schema: Schema, *, required: bool = False) -> Change:
    def change(definitions: dict[str, Schema]) -> None:
        definitions[title]["properties"][field] = schema
        if required:
            definitions[title]["required"].append(field)

    return change


def redefine(title: str, field: str, **words: Any) -> Change:
    """Change words of a field's schema; ``...`` takes one away."""

    def change(definitions: dict[str, Schema]) -> None:
        schema = definitions[title]["properties"][field]
        for word, value in words.items():
            schema.pop(word, None)
            if value is not ...:
                schema[word] = value

    return change


def require(title: str, field: str) -> Change:
    return lambda definitions: definitions[title]["required"].append(field)


def excuse(title: str, field: str) -> Change:
    return lambda definitions: definitions[title]["required"].remove(field)


def learn(title: str, word: str) -> Change:
    return lambda definitions: definitions[title]["enum"].append(word)


def forget(title: str, word: str) -> Change:
    return lambda definitions: definitions[title]["enum"].remove(word)


TEXT = {"type": "string"}
NUMBER = {"type": "number"}

BREAKS = [
    # Requests: what was taken must still be taken.
    (drop("ExecuteRequest", "labels"), "request execute.labels: a server took such a field before"),
    (require("StatusRequest", "execution_id"), "request status.execution_id: a server took its"),
    (
        add("CancelRequest", "reason", TEXT, required=True),
        "request cancel.reason: a server took its absence before",
    ),
    (redefine("PingRequest", "limit", maximum=500), "request ping.limit: a server took integer"),
    (
        redefine("ExecuteRequest", "labels", maxProperties=8),
        "request execute.labels: a server took object maxProperties 32",
    ),
    (redefine("PingRequest", "limit", minimum=1), "request ping.limit: a server took integer"),
    (
        redefine("PingRequest", "wait_seconds", type="integer"),
        "request ping.wait_seconds: a server took number",
    ),
    (
        redefine("PingRequest", "wait_seconds", minimum=..., exclusiveMinimum=0),
        "request ping.wait_seconds: a server took number",
    ),
    (
        redefine("StatusRequest", "cursor", anyOf=..., type="string"),
        "request status.cursor: a server took null before",
    ),
    (
        redefine("CancelRequest", "execution_id", pattern="^[a-z]{1,64}$"),
        "request cancel.execution_id: a server took string pattern",
    ),
    (
        redefine("ExecuteRequest", "labels", additionalProperties={"enum": ["a"]}),
        "request execute.labels.*: a server took string maxLength 1000 before",
    ),
    (
        redefine("ExecuteRequest", "labels", additionalProperties=False),
        "request execute.labels: a server took fields of any name before",
    ),
    (
        redefine("ExecuteRequest", "task", additionalProperties={"type": "string"}),
        "request execute.task.*: a server took any value before",
    ),
    (forget("ProgressScope", "all"), "request register_progress.scope: a server took all before"),
    (
        redefine("PingRequest", "limit", default=10),
        "request ping.limit: when absent it meant 100, and now 10",
    ),
    (
        redefine("PingRequest", "type", const="pingg"),
        "request ping: there is no such message any more",
    ),
    # Replies and events: each side has to take what the other sends.
    (drop("PongReply", "ready"), "reply pong.ready: there is no such field any more"),
    (drop("PongReply", "ready"), "reply pong.ready: an older client refuses its absence"),
    (drop("ProgressEvent", "data"), "event progress.data: there is no such field any more"),
    (drop("ProcessInfo", "pid"), "reply pong.process.pid: there is no such field any more"),
    (drop("WorkerInfo", "pid"), "reply pong.workers[].pid: there is no such field any more"),
    (excuse("PongReply", "ready"), "reply pong.ready: an older client refuses its absence"),
    (excuse("StateEvent", "status"), "event state.status: an older client refuses its absence"),
    (require("ProgressEvent", "data"), "event progress.data: an older server may send its absence"),
    (
        add("PongReply", "colour", TEXT, required=True),
        "reply pong.colour: an older server may send its absence",
    ),
    (
        redefine("PongReply", "port", type="string", minimum=...),
        "reply pong.port: an older client refuses string",
    ),
    (
        redefine("PongReply", "port", type="number"),
        "reply pong.port: an older client refuses number",
    ),
    (redefine("PongReply", "port", minimum=...), "reply pong.port: an older client refuses"),
    (redefine("PongReply", "port", minimum=1), "reply pong.port: an older server may send"),
    (
        redefine("PongReply", "version", type=..., anyOf=[TEXT, {"type": "null"}]),
        "reply pong.version: an older client refuses null",
    ),
    (
        redefine("StateEvent", "started_at", anyOf=..., type="number", minimum=0),
        "event state.started_at: an older server may send null",
    ),
    (redefine("PongReply", "workers", items={}), "reply pong.workers[]: an older client refuses"),
    (
        redefine("OkReply", "execution_id", pattern="^a$", anyOf=..., type="string"),
        "reply ok.execution_id: an older server may send string pattern",
    ),
    (learn("ExecutionStatus", "paused"), "event state.status: an older client refuses paused"),
    (forget("ExecutionStatus", "failed"), "event state.status: an older server may send failed"),
    (forget("ErrorCode", "conflict"), "reply error.code: conflict is no word of it any more"),
    (
        redefine("ProgressEvent", "type", const="step"),
        "event step: an older client refuses all of it",
    ),
]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [pytest.param(*row, id=f"{number}") for number, row in enumerate(BREAKS)],
)
def test_a_change_that_breaks_an_older_peer_is_told(change: Change, sentence: str) -> None:
    breaks = find_breaks(make_schemas(), changed(change))
    assert any(told.startswith(sentence) for told in breaks), breaks


@pytest.mark.parametrize(
    "change", [drop("ExecuteRequest", "labels"), forget("ProgressScope", "all")]
)
def test_a_break_is_told_once(change: Change) -> None:
    assert len(find_breaks(make_schemas(), changed(change))) == 1


def add_message(kind: str, title: str) -> dict[str, Schema]:
    schemas = deepcopy(make_schemas())
    schemas[kind]["$defs"][title] = {"properties": {"type": {"const": title}}, "type": "object"}
    schemas[kind]["oneOf"].append({"$ref": f"#/$defs/{title}"})
    return schemas


GROWTH = [
    pytest.param(add("ExecuteRequest", "priority", NUMBER), id="an optional field of a request"),
    pytest.param(excuse("ExecuteRequest", "client_id"), id="a request may leave a field out"),
    pytest.param(redefine("PingRequest", "limit", maximum=5000), id="a request may ask for more"),
    pytest.param(redefine("PingRequest", "limit", maximum=...), id="a request without a bound"),
    pytest.param(redefine("ExecuteRequest", "labels", maxProperties=99), id="more labels"),
    pytest.param(redefine("PingRequest", "limit", type="number"), id="a request with a fraction"),
    pytest.param(
        redefine("ExecuteRequest", "timeout_seconds", anyOf=[NUMBER, {"type": "null"}]),
        id="a request within wider bounds",
    ),
    pytest.param(
        redefine("PingRequest", "limit", anyOf=[{"type": "integer"}, TEXT], type=...),
        id="a request of another type, too",
    ),
    pytest.param(
        redefine("CancelRequest", "execution_id", pattern=...), id="a request with any name"
    ),
    pytest.param(learn("ProgressScope", "some"), id="another word in a request"),
    pytest.param(add("PongReply", "colour", TEXT), id="a field of a reply that may be absent"),
    pytest.param(add("StateEvent", "host", TEXT), id="a field of an event that may be absent"),
    pytest.param(add("ExecutionRecord", "host", TEXT), id="a field inside, that may be absent"),
    pytest.param(learn("ErrorCode", "too_late"), id="another error code"),
    pytest.param(learn("ErrorKind", "bored"), id="another kind of error"),
    pytest.param(redefine("PongReply", "ready", description="Is it?"), id="other words about it"),
]


@pytest.mark.parametrize("change", GROWTH)
def test_growth_breaks_nobody(change: Change) -> None:
    now = changed(change)
    assert now != make_schemas()
    assert find_breaks(make_schemas(), now) == []


@pytest.mark.parametrize("kind", ["request", "reply"])
def test_a_new_request_and_its_reply_break_nobody(kind: str) -> None:
    assert find_breaks(make_schemas(), add_message(kind, "pause")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_gone_is_told(kind: str) -> None:
    breaks = find_breaks(add_message(kind, "pause"), make_schemas())
    assert breaks == [f"{kind} pause: there is no such message any more"]


def test_a_new_event_comes_unasked_and_is_told() -> None:
    breaks = find_breaks(make_schemas(), add_message("event", "pause"))
    assert breaks == ["event pause: an older client refuses all of it"]


def test_a_word_that_the_check_does_not_know_stops_it() -> None:
    with pytest.raises(ValueError, match=r"does not know \['format'\]: teach it"):
        find_breaks(make_schemas(), changed(redefine("PongReply", "server", format="uri")))
