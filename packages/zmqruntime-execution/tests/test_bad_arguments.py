"""What a caller gets wrong is told by field, in one sentence, before anybody is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from zmqruntime.execution import ExecutionClient, ProgressStreamSubscriber
from zmqruntime.execution.submission import make_request
from zmqruntime.messages import DecodeError, ErrorCode, ErrorKind, ExecuteRequest, decode_request

Call = Callable[[Any], object]

CALLS: dict[str, tuple[str, Call]] = {
    "a ping's limit": ("limit", lambda client: client.ping(limit=-1)),
    "a limit of another type": ("limit", lambda client: client.ping(limit=[1])),
    "the id of a status": ("execution_id", lambda client: client.get_record("no id!")),
    "its hold": ("wait_seconds", lambda client: client.poll_status("a", wait_seconds=-1.0)),
    "one of many ids": ("execution_id", lambda client: client.get_records(["a", "no id!"])),
    "the id to attach to": ("execution_id", lambda client: client.attach("no id!")),
    "the id of a cancel": ("execution_id", lambda client: client.cancel_execution(5)),
    "how much of a log": ("max_bytes", lambda client: client.read_log_tail("a", max_bytes=-1)),
    "the id of events": ("execution_id", lambda client: client.read_kept_events("no id!")),
    "how to shut down": ("mode", lambda client: client.shutdown_server("gently")),
    "a task": ("task.a", lambda client: client.execute({"a": object()})),
    "a time limit": ("timeout_seconds", lambda client: client.execute({}, timeout_seconds=-1.0)),
    "kinds of error": ("retry_on", lambda client: client.submit_execution({}, retry_on=["bad"])),
    "many tasks": ("task.a", lambda client: client.submit_many([{}, {"a": {1}}])),
}


@pytest.mark.parametrize(("field", "call"), CALLS.values(), ids=CALLS)
def test_it_names_the_field(field: str, call: Call) -> None:
    with pytest.raises(DecodeError) as refusal:
        call(ExecutionClient())
    assert refusal.value.code is ErrorCode.INVALID_REQUEST
    assert [fault.field for fault in refusal.value.faults] == [field]
    sentence = str(refusal.value)
    assert sentence.startswith("invalid ")
    assert f"{field}: " in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("client_id", ["no id!", ["lab"], 5], ids=repr)
def test_a_client_without_a_proper_name_is_told_when_it_is_used(client_id: Any) -> None:
    with pytest.raises(DecodeError, match="client_id: "):
        ExecutionClient(client_id=client_id).submit_execution({})


def test_the_kinds_of_error_that_are_known_are_told() -> None:
    with pytest.raises(DecodeError, match=r"'bad' is no kind of error: exception, timeout, "):
        ExecutionClient().submit_execution({}, retry_on=["bad"])


def test_one_kind_of_error_may_stand_for_itself() -> None:
    for kind in (ErrorKind.TIMEOUT, "timeout"):
        request = decode_request(b"{%b" % make_request({}, None, "lab", retry_on=kind).body)
        assert isinstance(request, ExecuteRequest)
        assert request.retry_on == (ErrorKind.TIMEOUT,)


def test_what_fails_while_the_kinds_are_listed_is_the_caller_s_own() -> None:
    def kinds() -> Iterator[str]:
        raise ValueError("my own")
        yield "timeout"

    with pytest.raises(ValueError, match="my own"):
        ExecutionClient().submit_execution({}, retry_on=kinds())


def test_a_subscriber_without_a_proper_name_opens_nothing() -> None:
    client = Mock()
    with pytest.raises(DecodeError, match="invalid registration: client_id: "):
        ProgressStreamSubscriber(client, "no id!")
    assert client.mock_calls == []
