"""Invalid arguments raise an error that names the argument, before a request is sent."""

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
def test_invalid_argument_of_a_call_is_named(field: str, call: Call) -> None:
    with pytest.raises(DecodeError) as refusal:
        call(ExecutionClient())
    assert refusal.value.code is ErrorCode.INVALID_REQUEST
    assert [fault.field for fault in refusal.value.faults] == [field]
    message = str(refusal.value)
    assert message.startswith("invalid ")
    assert f"{field}: " in message
    assert "\n" not in message


@pytest.mark.parametrize("client_id", ["", "no id!", ["lab"], 5], ids=repr)
def test_invalid_client_id_raises(client_id: Any) -> None:
    with pytest.raises(DecodeError, match="invalid client: client_id: "):
        ExecutionClient(client_id=client_id)


@pytest.mark.parametrize("window", [0, -1, NAN, 2.5, "x"])
def test_invalid_window_raises_in_the_call(window: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^window (is|has to be|must be) "):
        ExecutionClient().follow_many([{}], window=window)


# -- constructors ---------------------------------------------------------------------------

CLIENT = ExecutionClient()


def make_batches(**options: Any) -> BatchSubmitWaitEngine:
    return BatchSubmitWaitEngine(**({"client": CLIENT} | options))


def make_launcher(**options: Any) -> ExecutionServerLauncher:
    return ExecutionServerLauncher(**({"target": "a:B"} | options))


# Each option with invalid values.
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
def test_invalid_argument_of_a_constructor_is_named(
    make: Callable[..., object], name: str, value: Any
) -> None:
    message = rf"^{name} (is|has to be|must be) .*{re.escape(f'{value!r}')}"
    with pytest.raises((TypeError, ValueError), match=message):
        make(**{name: value})


def test_message_of_an_unknown_word_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"on_restart is 'again': .* one of 'fail', 'requeue'$"):
        Echo(on_restart="again")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"queue_policy is 'lifo': .* one of 'fifo', 'fair'$"):
        Echo(queue_policy="lifo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"retry_on is 'bad': .* one of 'exception', 'timeout', "):
        RetryPolicy(retry_on=["bad"])  # type: ignore[arg-type]


def test_words_and_enum_members_are_accepted() -> None:
    kinds: Any = ["timeout", ErrorKind.EXCEPTION]
    assert RetryPolicy(retry_on=kinds).retry_on == {ErrorKind.TIMEOUT, ErrorKind.EXCEPTION}
    for policy, word in ((RestartPolicy.REQUEUE, "fair"), ("requeue", QueuePolicy.FAIR)):
        server = Echo(on_restart=policy, queue_policy=word)  # type: ignore[arg-type]
        assert (server._on_restart, server._queue_policy) == ("requeue", "fair")


def test_lowest_values_are_accepted() -> None:
    Echo(max_queued=0, history_limit=0, history_seconds=0, events_kept=0, max_log_bytes=0)
    Echo(cancel_grace_seconds=0, max_queued=None, history_seconds=None, retry=None)


def test_launcher_accepts_paths_as_strings() -> None:
    launcher = ExecutionServerLauncher(Outer.Inner, journal="x.journal", log_file_path="x.log")
    assert launcher._command[-2:] == ("--journal", str(Path("x.journal").resolve()))
    assert launcher._log_file_path == Path("x.log")


def test_class_defined_in_a_function_cannot_be_launched() -> None:
    class Hidden(Echo):
        pass

    with pytest.raises(ValueError, match="Hidden is defined inside a function: move it to "):
        ExecutionServerLauncher(Hidden)


def test_message_of_an_unknown_error_kind_lists_the_known_ones() -> None:
    with pytest.raises(DecodeError, match="unknown error kind 'bad': use one of exception, "):
        ExecutionClient().submit_execution({}, retry_on=["bad"])


def test_single_error_kind_is_refused() -> None:
    for kind in (ErrorKind.TIMEOUT, "timeout"):
        with pytest.raises(DecodeError, match=r"a list of error kinds is required, not .*timeout"):
            ExecutionClient().submit_execution({}, retry_on=kind)


def test_error_of_the_iterable_of_kinds_is_raised() -> None:
    def kinds() -> Iterator[str]:
        raise ValueError("from the caller")
        yield "timeout"

    with pytest.raises(ValueError, match="from the caller"):
        ExecutionClient().submit_execution({}, retry_on=kinds())


def test_subscriber_with_an_invalid_client_id_opens_no_socket() -> None:
    client = Mock()
    with pytest.raises(DecodeError, match="invalid registration: client_id: "):
        ProgressStreamSubscriber(client, "no id!")
    assert client.mock_calls == []
