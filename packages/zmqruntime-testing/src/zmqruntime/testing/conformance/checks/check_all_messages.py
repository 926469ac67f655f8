"""Requirements for every message, checked on the transcript of the run."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.field_rules import FIELD_RULES, FieldRule
from zmqruntime.testing.conformance.object_finders import OBJECT_FINDERS
from zmqruntime.testing.conformance.peer import TERMINAL
from zmqruntime.testing.conformance.transcript import Event, Exchange, Transcript, Violation

checks = pytest.mark.checks

_STATUS_OF = {"accepted": "accepted", "error": "error"}


@checks("C-011")
def check_every_reply_is_one_json_object(full_transcript: Transcript) -> None:
    for exchange in full_transcript.exchanges:
        if len(exchange.reply_frames or []) != 1 or not exchange.reply:
            raise Violation("the reply is not one frame of JSON", shown=exchange.lines())


@checks("C-012")
def check_no_request_has_two_replies(full_transcript: Transcript) -> None:
    for _, shown in full_transcript.surplus:
        raise Violation("duplicate or unsolicited reply", shown=shown)


@checks("C-019")
def check_every_reply_has_its_request_id(full_transcript: Transcript) -> None:
    for exchange in full_transcript.exchanges:
        if "request_id" in exchange.reply and exchange.reply["request_id"] != exchange.request_id:
            raise Violation(
                "the reply has a different request_id than its request", shown=exchange.lines()
            )


@checks("C-022")
@pytest.mark.parametrize("name", ["type", "status", "protocol", "request_id"])
def check_every_reply_has_the_common_fields(full_transcript: Transcript, name: str) -> None:
    for exchange in full_transcript.exchanges:
        if name not in exchange.reply:
            raise Violation(f"the reply has no {name!r}", shown=exchange.lines())


@checks("C-022")
def check_every_reply_status_matches_its_type(full_transcript: Transcript) -> None:
    for exchange in full_transcript.exchanges:
        expected = _STATUS_OF.get(exchange.reply.get("type", ""), "ok")
        if exchange.reply.get("status") != expected:
            raise Violation(
                f"the status is {exchange.reply.get('status')!r}, expected {expected!r}",
                shown=exchange.lines(),
            )


@checks("C-018")
def check_every_reply_has_protocol_1(full_transcript: Transcript) -> None:
    for exchange in full_transcript.exchanges:
        if exchange.reply.get("protocol", 1) != 1:
            raise Violation("the protocol of the reply is not 1", shown=exchange.lines())


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(field, marks=checks(field.number), id=f"{field.object}: {field.name}")
        for field in FIELD_RULES
    ],
)
def check_field(full_transcript: Transcript, field: FieldRule) -> None:
    seen = 0
    for message, entry in OBJECT_FINDERS[field.object](full_transcript):
        seen += 1
        if field.name not in message:
            if not field.may_be_absent:
                raise Violation(f"{field.object}: {field.name!r} is missing", shown=entry.lines())
        elif not field.accepts(message[field.name]):
            found = f"{field.name!r} is {message[field.name]!r}"
            raise Violation(
                f"{field.object}: {found}, expected {field.expected}", shown=entry.lines()
            )
    assert seen, f"the transcript has no {field.object}"


@checks("C-133")
def check_every_event_has_two_frames(full_transcript: Transcript) -> None:
    assert full_transcript.events
    for event in full_transcript.events:
        if len(event.frames) != 2:
            raise Violation(
                f"the event has {len(event.frames)} frames, expected 2", shown=event.lines()
            )


@checks("C-108", "C-109")
def check_terminal_status_never_changes(full_transcript: Transcript) -> None:
    ended: dict[str, tuple[str, Exchange | Event]] = {}
    for record, entry in OBJECT_FINDERS["record"](full_transcript):
        execution_id, status = record["execution_id"], record["status"]
        if execution_id in ended:
            before, earlier = ended[execution_id]
            if status != before:
                shown = [*earlier.lines(), *entry.lines()]
                raise Violation(f"{before} became {status}", shown=shown)
        elif status in TERMINAL:
            ended[execution_id] = status, entry


@checks("C-109", "C-151")
def check_no_execution_ends_twice(full_transcript: Transcript) -> None:
    ended: dict[tuple[int, str], Event] = {}
    for event in full_transcript.events:
        if event.body.get("status") in TERMINAL:
            key = (event.subscriber, event.body["execution_id"])
            if earlier := ended.get(key):
                shown = [*earlier.lines(), *event.lines()]
                raise Violation("the execution has two terminal state events", shown=shown)
            ended[key] = event
