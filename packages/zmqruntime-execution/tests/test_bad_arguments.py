"""What a caller gets wrong is told by field, in one sentence, before anybody is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from echoing import Echo, Outer

from zmqruntime.execution import (
    BatchHooks,
    BatchSubmitWaitEngine,
    ExecutionClient,
    ExecutionServerLauncher,
    InMemoryLifecycleEngine,
    ProgressStreamSubscriber,
    QueuePolicy,
    RestartPolicy,
    RetryPolicy,
    WaitPolicy,
)
from zmqruntime.messages import DecodeError, ErrorCode, ErrorKind

Call = Callable[[Any], object]

NAN, INFINITE = float("nan"), float("inf")

CALLS: dict[str, tuple[str, Call]] = {
    "a ping's limit": ("limit", lambda client: client.ping(limit=-1)),
    "a limit of another type": ("limit", lambda client: client.ping(limit=[1])),
    "the id of a status": ("execution_id", lambda client: client.get_record("no id!")),
    "no id": ("execution_id", lambda client: client.get_record(None)),
    "none of many ids": ("execution_id", lambda client: client.get_records(["a", None])),
    "no id to attach to": ("execution_id", lambda client: client.attach(None)),
    "no id to wait for": ("execution_id", lambda client: client.wait_for_completion(None)),
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


@pytest.mark.parametrize("client_id", ["", "no id!", ["lab"], 5], ids=repr)
def test_a_client_without_a_proper_name_is_not_made(client_id: Any) -> None:
    with pytest.raises(DecodeError, match="invalid client: client_id: "):
        ExecutionClient(client_id=client_id)


@pytest.mark.parametrize("window", [0, -1, NAN, 2.5, "x"])
def test_a_window_without_room_is_told_by_the_call(window: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^window (is|has to be) "):
        ExecutionClient().follow_many([{}], window=window)


# -- constructors ---------------------------------------------------------------------------

CLIENT = ExecutionClient()


def make_batches(**options: Any) -> BatchSubmitWaitEngine:
    return BatchSubmitWaitEngine(**({"client": CLIENT} | options))


def make_launcher(**options: Any) -> ExecutionServerLauncher:
    return ExecutionServerLauncher(**({"target": "a:B"} | options))


# Each option, and what nothing could be made of later.
OPTIONS: dict[Callable[..., object], dict[str, tuple[Any, ...]]] = {
    Echo: {
        "max_queued": ("x", -1, NAN, 2.5),
        "max_queued_bytes": ("x", -1, NAN, 2.5),
        "history_limit": (None, -1, NAN, 2.5),
        "history_seconds": ("x", -1, NAN),
        "cancel_grace_seconds": ("x", None, -1, NAN),
        "journal": (5, b"x"),
        "on_restart": ("reque", None, 5),
        "queue_policy": ("lifo", None, []),
        "retry": (3, "x", 0),
        "events_kept": (None, -1, NAN, 2.5),
        "max_log_bytes": ("x", None, -1, NAN, 2.5),
    },
    RetryPolicy: {
        "max_attempts": (None, 0, 21, NAN, 2.5, True),
        "retry_on": (None, 5, "exception"),
        "backoff_seconds": ("x", None, -1, NAN, INFINITE),
    },
    InMemoryLifecycleEngine: {"history_limit": (NAN,), "history_seconds": (NAN,)},
    WaitPolicy: {
        "poll_interval": ("x", None, 0, 61, NAN),
        "max_consecutive_errors": (None, 0, NAN, 2.5),
        "retry_backoff_seconds": ("x", None, -1, NAN, INFINITE),
    },
    make_batches: {
        "client": (None, 5),
        "policy": (5, "x"),
        "hooks": (print, BatchHooks),
        "max_outstanding": (None, 0, NAN, 2.5),
    },
    make_launcher: {
        "target": (5, None, "", "a", ":B"),
        "journal": (5,),
        "log_file_path": (5,),
    },
    ExecutionClient: {"progress_callback": (5, "print")},
}


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        pytest.param(make, name, value, id=f"{make.__name__}({name}={value!r})")
        for make, options in OPTIONS.items()
        for name, values in options.items()
        for value in values
    ],
)
def test_a_constructor_names_what_it_cannot_take(
    make: Callable[..., object], name: str, value: Any
) -> None:
    told = rf"^{name} (is|has to be) .*{re.escape(f'{value!r}')}"
    with pytest.raises((TypeError, ValueError), match=told):
        make(**{name: value})


def test_a_word_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"on_restart is 'again': .* one of 'fail', 'requeue'$"):
        Echo(on_restart="again")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"queue_policy is 'lifo': .* one of 'fifo', 'fair'$"):
        Echo(queue_policy="lifo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"retry_on is 'bad': .* one of 'exception', 'timeout', "):
        RetryPolicy(retry_on=["bad"])  # type: ignore[arg-type]


def test_what_is_known_is_taken_by_its_word_or_as_itself() -> None:
    kinds: Any = ["timeout", ErrorKind.EXCEPTION]
    assert RetryPolicy(retry_on=kinds).retry_on == {ErrorKind.TIMEOUT, ErrorKind.EXCEPTION}
    for policy, word in ((RestartPolicy.REQUEUE, "fair"), ("requeue", QueuePolicy.FAIR)):
        server = Echo(on_restart=policy, queue_policy=word)  # type: ignore[arg-type]
        assert (server._on_restart, server._queue_policy) == ("requeue", "fair")


def test_the_least_that_an_option_may_be_is_taken() -> None:
    Echo(max_queued=0, history_limit=0, history_seconds=0, events_kept=0, max_log_bytes=0)
    Echo(cancel_grace_seconds=0, max_queued=None, history_seconds=None, retry=None)


def test_a_launcher_takes_paths_as_strings() -> None:
    launcher = ExecutionServerLauncher(Outer.Inner, journal="x.journal", log_file_path="x.log")
    assert launcher._command[-2:] == ("--journal", str(Path("x.journal").resolve()))
    assert launcher._log_file_path == Path("x.log")


def test_a_class_inside_a_function_cannot_be_launched() -> None:
    class Hidden(Echo):
        pass

    with pytest.raises(ValueError, match="Hidden is defined inside a function: move it to "):
        ExecutionServerLauncher(Hidden)


def test_the_kinds_of_error_that_are_known_are_told() -> None:
    with pytest.raises(DecodeError, match=r"'bad' is no kind of error: exception, timeout, "):
        ExecutionClient().submit_execution({}, retry_on=["bad"])


def test_one_kind_of_error_is_no_list_of_them() -> None:
    for kind in (ErrorKind.TIMEOUT, "timeout"):
        with pytest.raises(DecodeError, match=r"a list of kinds is required, not .*timeout"):
            ExecutionClient().submit_execution({}, retry_on=kind)


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
