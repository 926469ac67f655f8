"""What holds of every message: judged by all that was said in this run."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.field_rules import FIELD_RULES, FieldRule
from zmqruntime.testing.conformance.object_finders import OBJECT_FINDERS
from zmqruntime.testing.conformance.peer import TERMINAL
from zmqruntime.testing.conformance.transcript import Event, Exchange, Transcript, Violation

checks = pytest.mark.checks

_STATUS_OF = {"accepted": "accepted", "error": "error"}


@checks("C-011")
def check_every_reply_is_one_json_object(everything: Transcript) -> None:
    for exchange in everything.exchanges:
        if len(exchange.reply_frames or []) != 1 or not exchange.reply:
            raise Violation("the reply is not one frame of JSON", shown=exchange.lines())


@checks("C-012")
def check_no_request_had_two_replies(everything: Transcript) -> None:
    for _, shown in everything.surplus:
        raise Violation("a reply came twice, or unasked", shown=shown)


@checks("C-019")
def check_every_reply_is_under_its_request_id(everything: Transcript) -> None:
    for exchange in everything.exchanges:
        if "request_id" in exchange.reply and exchange.reply["request_id"] != exchange.request_id:
            raise Violation("the reply has another request_id", shown=exchange.lines())


@checks("C-022")
@pytest.mark.parametrize("name", ["type", "status", "protocol", "request_id"])
def check_every_reply_has(everything: Transcript, name: str) -> None:
    for exchange in everything.exchanges:
        if name not in exchange.reply:
            raise Violation(f"the reply has no {name!r}", shown=exchange.lines())


@checks("C-022")
def check_every_status_is_that_of_its_type(everything: Transcript) -> None:
    for exchange in everything.exchanges:
        due = _STATUS_OF.get(exchange.reply.get("type", ""), "ok")
        if exchange.reply.get("status") != due:
            raise Violation(f"the status is not {due!r}", shown=exchange.lines())


@checks("C-018")
def check_every_reply_is_of_this_protocol(everything: Transcript) -> None:
    for exchange in everything.exchanges:
        if exchange.reply.get("protocol", 1) != 1:
            raise Violation("the protocol is not 1", shown=exchange.lines())


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(field, marks=checks(field.number), id=f"{field.object}: {field.name}")
        for field in FIELD_RULES
    ],
)
def check_a_field(everything: Transcript, field: FieldRule) -> None:
    seen = 0
    for message, entry in OBJECT_FINDERS[field.object](everything):
        seen += 1
        if field.name not in message:
            if not field.may_be_absent:
                raise Violation(f"{field.object}: {field.name!r} is missing", shown=entry.lines())
        elif not field.accepts(message[field.name]):
            found = f"{field.name!r} is {message[field.name]!r}"
            raise Violation(f"{field.object}: {found}, not {field.expected}", shown=entry.lines())
    assert seen, f"no {field.object} was seen"


@checks("C-133")
def check_every_event_is_two_frames(everything: Transcript) -> None:
    assert everything.events
    for event in everything.events:
        if len(event.frames) != 2:
            raise Violation(f"the event has {len(event.frames)} frames", shown=event.lines())


@checks("C-108", "C-109")
def check_no_terminal_status_ever_changed(everything: Transcript) -> None:
    ended: dict[str, tuple[str, Exchange | Event]] = {}
    for record, entry in OBJECT_FINDERS["record"](everything):
        execution_id, status = record["execution_id"], record["status"]
        if execution_id in ended:
            before, earlier = ended[execution_id]
            if status != before:
                shown = [*earlier.lines(), *entry.lines()]
                raise Violation(f"{before} became {status}", shown=shown)
        elif status in TERMINAL:
            ended[execution_id] = status, entry


@checks("C-109", "C-151")
def check_no_execution_ended_twice(everything: Transcript) -> None:
    ended: dict[tuple[int, str], Event] = {}
    for event in everything.events:
        if event.body.get("status") in TERMINAL:
            heard = (event.subscriber, event.body["execution_id"])
            if earlier := ended.get(heard):
                shown = [*earlier.lines(), *event.lines()]
                raise Violation("it has two terminal states", shown=shown)
            ended[heard] = event
