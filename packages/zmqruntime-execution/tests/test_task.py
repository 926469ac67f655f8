"""Every run of a task has one of three outcomes: returned, raised or interrupted."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from driving import request
from signalling import installed, when

from zmqruntime.execution import (
    ExecuteRequest,
    ExecutionContext,
    ProgressReporter,
    TaskCancelled,
    TaskRaised,
    TaskReturned,
    TaskStopped,
)
from zmqruntime.execution.lowlevel import Interrupt, run_task
from zmqruntime.messages import MAX_RESULT_REPR, ErrorKind, ExecutionErrorInfo, JsonValue, encode
from zmqruntime.messages.lowlevel import decode_json

_Body = Callable[[ExecutionContext], Any]
_Outcome = TaskReturned | TaskRaised | TaskStopped

LARGE = 64 * 1024 * 1024


class Application:
    def __init__(self, body: _Body) -> None:
        self._body = body

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        result: JsonValue = self._body(context)
        return result

    def serialize_result(self, result: Any) -> Any:
        return result


class NoLink:
    def open(self) -> Callable[[bytes], None]:
        raise AssertionError("a link was opened in the task's own process")


class Run:
    """Runs tasks, and collects their progress."""

    def __init__(self, interrupt: Interrupt) -> None:
        self.interrupt = interrupt
        self.reports: list[Any] = []
        self._names = iter(f"task-{n}" for n in range(1000))

    def __call__(self, body: _Body, max_message_bytes: int = LARGE) -> _Outcome:
        submitted = request(next(self._names), client_id="lab", labels={"run": "7"})
        reporter = ProgressReporter(NoLink(), lambda body: self.reports.append(decode_json(body)))
        context = ExecutionContext(submitted, reporter, self.interrupt)
        return run_task(Application(body), submitted, context, self.interrupt, max_message_bytes)

    def cancel(self, context: ExecutionContext) -> None:
        self.interrupt.request(context.execution_id)


@pytest.fixture
def run() -> Iterator[Run]:
    with installed() as interrupt:
        yield Run(interrupt)


def failure(outcome: _Outcome) -> ExecutionErrorInfo:
    assert isinstance(outcome, TaskRaised)
    encode(outcome.error)  # Every error can be encoded.
    return outcome.error


@pytest.mark.parametrize("result", [None, True, 0, 1.5, "é", [1, [2]], {"a": {"b": None}}, "", []])
def test_any_json_value_is_a_result(run: Run, result: JsonValue) -> None:
    outcome = run(lambda _: result)
    assert isinstance(outcome, TaskReturned)
    assert outcome.execution_id == "task-0"
    assert decode_json(outcome.result) == result


@pytest.mark.parametrize(
    ("result", "path"),
    [
        (b"\xff", "result"),
        (float("nan"), "result"),
        ({"a": [1, object()]}, r"result.a\[1\]"),
        ({(1, 2): "x"}, "result"),
        ("\ud800", "result"),
        ((1, object()), r"result\[1\]"),
    ],
)
def test_unserializable_result_is_reported_with_its_path(run: Run, result: Any, path: str) -> None:
    error = failure(run(lambda _: result))
    assert error.kind is ErrorKind.UNSERIALIZABLE_RESULT
    with pytest.raises(ValueError, match=f"^{path} "):
        raise ValueError(error.message)


def test_recursive_result_is_reported_as_unserializable(run: Run) -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert failure(run(lambda _: loop)).kind is ErrorKind.UNSERIALIZABLE_RESULT


def test_result_larger_than_a_message_less_its_reserve_is_too_large(run: Run) -> None:
    limit = 1_000_000
    assert isinstance(run(lambda _: "x" * (limit - 100_000), limit), TaskReturned)
    error = failure(run(lambda _: "x" * (limit - 100), limit))
    assert error.kind is ErrorKind.RESULT_TOO_LARGE
    assert error.message.startswith("the result is 999,902 bytes of JSON")
    assert "write it to a file and return its path" in error.message


def test_unserializable_result_keeps_its_repr(run: Run) -> None:
    error = failure(run(lambda _: {"dose": 0.25, "curve": object}))
    assert error.result_repr == "{'dose': 0.25, 'curve': <class 'object'>}"


def test_too_large_result_keeps_its_beginning_and_end(run: Run) -> None:
    error = failure(run(lambda _: ["first", "x" * 2_000_000, "last"], 1_000_000))
    assert error.kind is ErrorKind.RESULT_TOO_LARGE
    assert error.result_repr is not None
    assert len(error.result_repr) <= MAX_RESULT_REPR
    assert error.result_repr.startswith('["first",')
    assert error.result_repr.endswith('"last"]')


class Unprintable:
    """Raises in its `repr` and `str`."""

    def __repr__(self) -> str:
        raise KeyboardInterrupt

    __str__ = __repr__


def test_result_whose_repr_raises_is_reported_as_unserializable(run: Run) -> None:
    error = failure(run(lambda _: Unprintable()))
    assert error.kind is ErrorKind.UNSERIALIZABLE_RESULT
    assert error.result_repr == "<Unprintable: its __repr__ raised KeyboardInterrupt>"


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit(2)


READABLE = [
    (KeyError("well_A1"), "KeyError: 'well_A1'"),
    (ValueError("bad dose"), "bad dose"),
    (ValueError(), "ValueError (no text)"),
    (SystemExit(3), "SystemExit: 3 (the task called sys.exit)"),
    (SystemExit(), "SystemExit: 0 (the task called sys.exit)"),
    (
        ExceptionGroup("two wells", [KeyError("A1"), ValueError("x")]),
        "two wells (2 sub-exceptions); KeyError: 'A1'; ValueError: x",
    ),
    (UnprintableError(), "UnprintableError (no text: its __str__ raised SystemExit)"),
]


@pytest.mark.parametrize(("raised", "message"), READABLE, ids=[words for _, words in READABLE])
def test_message_of_an_exception_is_readable_without_its_type(
    run: Run, raised: BaseException, message: str
) -> None:
    def body(_: ExecutionContext) -> None:
        raise raised

    error = failure(run(body))
    assert error.message == message
    assert error.traceback


class MyError(Exception):
    pass


@pytest.mark.parametrize(
    "raised",
    [MyError("no tiles"), SystemExit("no tiles"), KeyboardInterrupt("no tiles"), GeneratorExit],
    ids=["exception", "exit", "ctrl-c", "other"],
)
def test_every_exception_of_a_task_is_reported_and_not_raised(run: Run, raised: Any) -> None:
    def body(_: ExecutionContext) -> None:
        raise raised

    error = failure(run(body))
    assert error.kind is ErrorKind.EXCEPTION
    assert error.type == (raised if isinstance(raised, type) else type(raised)).__qualname__
    assert error.message in (
        "no tiles",
        "SystemExit: no tiles (the task called sys.exit)",
        "GeneratorExit (no text)",
    )


def test_traceback_starts_with_the_frames_of_the_application(run: Run) -> None:
    def deep_inside() -> None:
        raise MyError("no tiles")

    error = failure(run(lambda _: deep_inside()))
    assert error.traceback is not None
    assert error.traceback.startswith("Traceback (most recent call last)")
    assert "deep_inside" in error.traceback
    assert error.traceback.endswith("MyError: no tiles\n")
    assert error.traceback.count("  File ") == 3  # execute_task, the lambda, deep_inside


def test_exception_without_a_text_is_reported_by_its_type(run: Run) -> None:
    def body(_: ExecutionContext) -> None:
        raise MyError

    assert failure(run(body)).message == "MyError (no text)"


def test_lone_surrogates_of_a_message_are_escaped(run: Run) -> None:
    def body(_: ExecutionContext) -> None:
        raise FileNotFoundError("tile-\udce9.tif")  # A file name that is not UTF-8.

    assert failure(run(body)).message == "tile-\\udce9.tif"


def test_task_that_lets_the_interrupt_pass_is_interrupted(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        with when(lambda: run.cancel(context)) as go:
            go()
            time.sleep(1000)

    assert run(body) == TaskStopped("task-0")


def test_task_that_returns_after_it_has_seen_the_interrupt_is_interrupted(run: Run) -> None:
    def body(context: ExecutionContext) -> str:
        with context.shield():
            run.cancel(context)
            assert context.cancel_requested
            raise TaskCancelled

    def catching(context: ExecutionContext) -> str:
        try:
            return body(context)
        except TaskCancelled:
            return "half of it"

    assert run(catching) == TaskStopped("task-0")


def test_task_whose_cleanup_fails_after_an_interrupt_is_interrupted(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        try:
            with context.shield():
                run.cancel(context)
        finally:
            raise MyError("no clean-up")

    assert run(body) == TaskStopped("task-0")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_task_that_returns_before_the_interrupt_arrives_has_returned(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sent = threading.Event()
    monkeypatch.setattr(signal, "pthread_kill", lambda *_: is_sent.set())
    with when(lambda: run.interrupt.request("task-0")) as go:

        def body(_: ExecutionContext) -> int:
            go()
            is_sent.wait()
            return 7

        assert run(body) == TaskReturned("task-0", b"7")


def test_interrupt_does_not_affect_the_next_task(run: Run) -> None:
    def cancelled(context: ExecutionContext) -> None:
        with context.shield():
            run.cancel(context)

    assert run(cancelled) == TaskStopped("task-0")
    assert run(lambda context: context.cancel_requested) == TaskReturned("task-1", b"false")


def test_task_that_is_interrupted_before_its_start_does_not_run(run: Run) -> None:
    run.interrupt.request("task-0")
    assert run(lambda _: pytest.fail("it ran")) == TaskStopped("task-0")


def test_context_has_the_fields_of_the_request(run: Run) -> None:
    seen = []
    run(lambda c: seen.append((c.execution_id, c.client_id, c.labels)))
    assert seen == [("task-0", "lab", {"run": "7"})]


def test_progress_has_the_reported_fields(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        context.report_progress(1, 4, phase="read", message="tile 1", data={"x": [1]})
        context.report_progress(message="still there")

    run(body)
    assert run.reports == [
        {
            "phase": "read",
            "completed": 1,
            "total": 4,
            "percent": 25.0,
            "message": "tile 1",
            "data": {"x": [1]},
        },
        {"phase": None, "completed": None, "total": None, "percent": None}
        | {"message": "still there"},
    ]


def test_raise_if_cancelled_raises_only_after_an_interrupt(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        context.raise_if_cancelled()
        with context.shield():
            run.cancel(context)
            with pytest.raises(TaskCancelled, match="execution task-0 was interrupted"):
                context.raise_if_cancelled()

    assert run(body) == TaskStopped("task-0")
