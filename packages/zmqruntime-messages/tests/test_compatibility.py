"""Compatibility: within one protocol version the contract only grows."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from contract.baseline import load
from contract.compatibility import find_incompatibilities

from zmqruntime.messages import PROTOCOL_VERSION, make_schemas

Schema = dict[str, Any]
Change = Callable[[dict[str, Schema]], None]

KINDS = ("request", "reply", "event")


def changed(change: Change) -> dict[str, Schema]:
    """Return the current schemas after ``change`` of their definitions."""
    schemas = deepcopy(make_schemas())
    change({title: d for kind in KINDS for title, d in schemas[kind]["$defs"].items()})
    return schemas


def test_contract_is_compatible_with_the_last_release() -> None:
    released = load()
    if released is None:
        pytest.skip("nothing is released yet")
    found = find_incompatibilities(released.schemas, make_schemas())
    assert not found, (
        f"incompatible with peers of {released.version}: {'; '.join(found)}. Within protocol "
        f"{PROTOCOL_VERSION} messages may get optional fields (those of replies and events are "
        "listed in schema.py); anything else needs another protocol version."
    )


def test_equal_schemas_are_compatible() -> None:
    assert find_incompatibilities(make_schemas(), make_schemas()) == []


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
    """Change keywords of a field's schema; ``...`` removes one."""

    def change(definitions: dict[str, Schema]) -> None:
        schema = definitions[title]["properties"][field]
        for word, value in words.items():
            schema.pop(word, None)
            if value is not ...:
                schema[word] = value

    return change


def require(title: str, field: str) -> Change:
    return lambda definitions: definitions[title]["required"].append(field)


def make_optional(title: str, field: str) -> Change:
    return lambda definitions: definitions[title]["required"].remove(field)


def add_word(title: str, word: str) -> Change:
    return lambda definitions: definitions[title]["enum"].append(word)


def remove_word(title: str, word: str) -> Change:
    return lambda definitions: definitions[title]["enum"].remove(word)


TEXT = {"type": "string"}
NUMBER = {"type": "number"}

INCOMPATIBLE = [
    # Requests: what was accepted must still be accepted.
    (
        drop("ExecuteRequest", "labels"),
        "request execute.labels: servers no longer accept the field",
    ),
    (
        require("StatusRequest", "execution_id"),
        "request status.execution_id: servers no longer accept its",
    ),
    (
        add("CancelRequest", "reason", TEXT, required=True),
        "request cancel.reason: servers no longer accept its absence",
    ),
    (
        redefine("PingRequest", "limit", maximum=500),
        "request ping.limit: servers no longer accept integer",
    ),
    (
        redefine("ExecuteRequest", "labels", maxProperties=8),
        "request execute.labels: servers no longer accept object maxProperties 32",
    ),
    (
        redefine("PingRequest", "limit", minimum=1),
        "request ping.limit: servers no longer accept integer",
    ),
    (
        redefine("PingRequest", "wait_seconds", type="integer"),
        "request ping.wait_seconds: servers no longer accept number",
    ),
    (
        redefine("PingRequest", "wait_seconds", minimum=..., exclusiveMinimum=0),
        "request ping.wait_seconds: servers no longer accept number",
    ),
    (
        redefine("StatusRequest", "cursor", anyOf=..., type="string"),
        "request status.cursor: servers no longer accept null",
    ),
    (
        redefine("CancelRequest", "execution_id", pattern="^[a-z]{1,64}$"),
        "request cancel.execution_id: servers no longer accept string pattern",
    ),
    (
        redefine("ExecuteRequest", "labels", additionalProperties={"enum": ["a"]}),
        "request execute.labels.*: servers no longer accept string maxLength 1000",
    ),
    (
        redefine("ExecuteRequest", "labels", additionalProperties=False),
        "request execute.labels: servers no longer accept fields of any name",
    ),
    (
        redefine("ExecuteRequest", "task", additionalProperties={"type": "string"}),
        "request execute.task.*: servers no longer accept any value",
    ),
    (
        remove_word("ProgressScope", "all"),
        "request register_progress.scope: servers no longer accept all",
    ),
    (
        redefine("PingRequest", "limit", default=10),
        "request ping.limit: the default changed from 100 to 10",
    ),
    (
        redefine("PingRequest", "type", const="pingg"),
        "request ping: the message was removed",
    ),
    # Replies and events: older and newer clients must accept them.
    (drop("PongReply", "ready"), "reply pong.ready: the field was removed"),
    (drop("PongReply", "ready"), "reply pong.ready: older clients reject its absence"),
    (drop("ProgressEvent", "data"), "event progress.data: the field was removed"),
    (drop("ProcessInfo", "pid"), "reply pong.process.pid: the field was removed"),
    (drop("WorkerInfo", "pid"), "reply pong.workers[].pid: the field was removed"),
    (make_optional("PongReply", "ready"), "reply pong.ready: older clients reject its absence"),
    (make_optional("StateEvent", "status"), "event state.status: older clients reject its absence"),
    (require("ProgressEvent", "data"), "event progress.data: older servers may send its absence"),
    (
        add("PongReply", "colour", TEXT, required=True),
        "reply pong.colour: older servers may send its absence",
    ),
    (
        redefine("PongReply", "port", type="string", minimum=...),
        "reply pong.port: older clients reject string",
    ),
    (
        redefine("PongReply", "port", type="number"),
        "reply pong.port: older clients reject number",
    ),
    (redefine("PongReply", "port", minimum=...), "reply pong.port: older clients reject"),
    (redefine("PongReply", "port", minimum=1), "reply pong.port: older servers may send"),
    (
        redefine("PongReply", "version", type=..., anyOf=[TEXT, {"type": "null"}]),
        "reply pong.version: older clients reject null",
    ),
    (
        redefine("StateEvent", "started_at", anyOf=..., type="number", minimum=0),
        "event state.started_at: older servers may send null",
    ),
    (redefine("PongReply", "workers", items={}), "reply pong.workers[]: older clients reject"),
    (
        redefine("OkReply", "execution_id", pattern="^a$", anyOf=..., type="string"),
        "reply ok.execution_id: older servers may send string pattern",
    ),
    (add_word("ExecutionStatus", "paused"), "event state.status: older clients reject paused"),
    (remove_word("ExecutionStatus", "failed"), "event state.status: older servers may send failed"),
    (remove_word("ErrorCode", "conflict"), "reply error.code: conflict was removed"),
    (
        redefine("ProgressEvent", "type", const="step"),
        "event step: older clients reject the new event",
    ),
]


@pytest.mark.parametrize(
    ("change", "message"),
    [pytest.param(*row, id=f"{number}") for number, row in enumerate(INCOMPATIBLE)],
)
def test_incompatible_change_is_reported(change: Change, message: str) -> None:
    found = find_incompatibilities(make_schemas(), changed(change))
    assert any(each.startswith(message) for each in found), found


@pytest.mark.parametrize(
    "change", [drop("ExecuteRequest", "labels"), remove_word("ProgressScope", "all")]
)
def test_incompatible_change_is_reported_once(change: Change) -> None:
    assert len(find_incompatibilities(make_schemas(), changed(change))) == 1


def add_message(kind: str, title: str) -> dict[str, Schema]:
    schemas = deepcopy(make_schemas())
    schemas[kind]["$defs"][title] = {"properties": {"type": {"const": title}}, "type": "object"}
    schemas[kind]["oneOf"].append({"$ref": f"#/$defs/{title}"})
    return schemas


COMPATIBLE = [
    pytest.param(add("ExecuteRequest", "priority", NUMBER), id="an optional field of a request"),
    pytest.param(
        make_optional("ExecuteRequest", "client_id"),
        id="an optional field of a request that was required",
    ),
    pytest.param(
        redefine("PingRequest", "limit", maximum=5000), id="a higher maximum in a request"
    ),
    pytest.param(redefine("PingRequest", "limit", maximum=...), id="no maximum in a request"),
    pytest.param(redefine("ExecuteRequest", "labels", maxProperties=99), id="more labels"),
    pytest.param(
        redefine("PingRequest", "limit", type="number"), id="number instead of integer in a request"
    ),
    pytest.param(
        redefine("ExecuteRequest", "timeout_seconds", anyOf=[NUMBER, {"type": "null"}]),
        id="wider bounds in a request",
    ),
    pytest.param(
        redefine("PingRequest", "limit", anyOf=[{"type": "integer"}, TEXT], type=...),
        id="another type in a request",
    ),
    pytest.param(
        redefine("CancelRequest", "execution_id", pattern=...), id="no pattern in a request"
    ),
    pytest.param(add_word("ProgressScope", "some"), id="another value of an enum in a request"),
    pytest.param(add("PongReply", "colour", TEXT), id="an optional field of a reply"),
    pytest.param(add("StateEvent", "host", TEXT), id="an optional field of an event"),
    pytest.param(add("ExecutionRecord", "host", TEXT), id="an optional field of a record"),
    pytest.param(add_word("ErrorCode", "too_late"), id="another error code"),
    pytest.param(add_word("ErrorKind", "bored"), id="another kind of error"),
    pytest.param(redefine("PongReply", "ready", description="Is it?"), id="another description"),
]


@pytest.mark.parametrize("change", COMPATIBLE)
def test_optional_addition_is_compatible(change: Change) -> None:
    now = changed(change)
    assert now != make_schemas()
    assert find_incompatibilities(make_schemas(), now) == []


@pytest.mark.parametrize("kind", ["request", "reply"])
def test_new_request_and_new_reply_are_compatible(kind: str) -> None:
    assert find_incompatibilities(make_schemas(), add_message(kind, "pause")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_removed_message_is_reported(kind: str) -> None:
    found = find_incompatibilities(add_message(kind, "pause"), make_schemas())
    assert found == [f"{kind} pause: the message was removed"]


def test_new_event_is_incompatible() -> None:
    found = find_incompatibilities(make_schemas(), add_message("event", "pause"))
    assert found == ["event pause: older clients reject the new event"]


def test_unsupported_keyword_raises() -> None:
    with pytest.raises(ValueError, match=r"unsupported keywords \['format'\]"):
        find_incompatibilities(
            make_schemas(), changed(redefine("PongReply", "server", format="uri"))
        )
