"""Whatever a task does, one of three things became of it, and is told."""

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
    Interrupt,
    ProgressReporter,
    TaskCancelled,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    run_task,
)
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
        raise AssertionError("this is the task's own process")


class Run:
    """Runs tasks, and collects what they report."""

    def __init__(self, interrupt: Interrupt) -> None:
        self.interrupt = interrupt
        self.reports: list[Any] = []
        self._names = iter(f"task-{n}" for n in range(1000))

    def __call__(self, body: _Body, max_message_bytes: int = LARGE) -> _Outcome:
        asked = request(next(self._names), client_id="lab", labels={"run": "7"})
        reporter = ProgressReporter(NoLink(), lambda body: self.reports.append(decode_json(body)))
        context = ExecutionContext(asked, reporter, self.interrupt)
        return run_task(Application(body), asked, context, self.interrupt, max_message_bytes)

    def cancel(self, context: ExecutionContext) -> None:
        self.interrupt.request(context.execution_id)


@pytest.fixture
def run() -> Iterator[Run]:
    with installed() as interrupt:
        yield Run(interrupt)


def failure(outcome: _Outcome) -> ExecutionErrorInfo:
    assert isinstance(outcome, TaskRaised)
    encode(outcome.error)  # as it has to be, to be told
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
def test_what_json_cannot_carry_is_told_with_its_place(run: Run, result: Any, path: str) -> None:
    error = failure(run(lambda _: result))
    assert error.kind is ErrorKind.UNSERIALIZABLE_RESULT
    with pytest.raises(ValueError, match=f"^{path} "):
        raise ValueError(error.message)


def test_a_result_that_contains_itself_is_told(run: Run) -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert failure(run(lambda _: loop)).kind is ErrorKind.UNSERIALIZABLE_RESULT


def test_a_result_has_to_fit_into_a_message_with_what_surrounds_it(run: Run) -> None:
    limit = 1_000_000
    assert isinstance(run(lambda _: "x" * (limit - 100_000), limit), TaskReturned)
    error = failure(run(lambda _: "x" * (limit - 100), limit))
    assert error.kind is ErrorKind.RESULT_TOO_LARGE
    assert error.message.startswith("the result is 999,902 bytes of JSON")
    assert "write it to a file and return its path" in error.message


def test_a_result_that_cannot_be_carried_keeps_its_repr(run: Run) -> None:
    error = failure(run(lambda _: {"dose": 0.25, "curve": object}))
    assert error.result_repr == "{'dose': 0.25, 'curve': <class 'object'>}"


def test_a_result_that_is_too_long_keeps_its_beginning_and_its_end(run: Run) -> None:
    error = failure(run(lambda _: ["first", "x" * 2_000_000, "last"], 1_000_000))
    assert error.kind is ErrorKind.RESULT_TOO_LARGE
    assert error.result_repr is not None
    assert len(error.result_repr) <= MAX_RESULT_REPR
    assert error.result_repr.startswith('["first",')
    assert error.result_repr.endswith('"last"]')


class Unspeakable:
    """Raises wherever it is looked at."""

    def __repr__(self) -> str:
        raise KeyboardInterrupt

    __str__ = __repr__


def test_a_result_whose_repr_raises_fails_its_execution_alone(run: Run) -> None:
    error = failure(run(lambda _: Unspeakable()))
    assert error.kind is ErrorKind.UNSERIALIZABLE_RESULT
    assert error.result_repr == "<Unspeakable: its __repr__ raised KeyboardInterrupt>"


class SpeechlessError(Exception):
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
    (SpeechlessError(), "SpeechlessError (no text: its __str__ raised SystemExit)"),
]


@pytest.mark.parametrize(("raised", "message"), READABLE, ids=[words for _, words in READABLE])
def test_a_message_of_an_exception_is_readable_by_itself(
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
def test_whatever_a_task_raises_is_told_and_goes_no_further(run: Run, raised: Any) -> None:
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


def test_a_traceback_begins_where_the_application_does(run: Run) -> None:
    def deep_inside() -> None:
        raise MyError("no tiles")

    error = failure(run(lambda _: deep_inside()))
    assert error.traceback is not None
    assert error.traceback.startswith("Traceback (most recent call last)")
    assert "deep_inside" in error.traceback
    assert error.traceback.endswith("MyError: no tiles\n")
    assert error.traceback.count("  File ") == 3  # execute_task, what it calls, and this


def test_an_exception_without_words_is_told_by_its_name(run: Run) -> None:
    def body(_: ExecutionContext) -> None:
        raise MyError

    assert failure(run(body)).message == "MyError (no text)"


def test_words_that_cannot_be_written_are_told_as_well_as_they_can(run: Run) -> None:
    def body(_: ExecutionContext) -> None:
        raise FileNotFoundError("tile-\udce9.tif")  # a name that is not UTF-8

    assert failure(run(body)).message == "tile-\\udce9.tif"


def test_an_exception_that_cannot_be_put_into_words_does_no_harm(run: Run) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    def body(_: ExecutionContext) -> None:
        raise Broken

    assert failure(run(body)).type is not None


def test_a_task_that_was_told_and_lets_it_pass_has_stopped(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        with when(lambda: run.cancel(context)) as go:
            go()
            time.sleep(1000)

    assert run(body) == TaskStopped("task-0")


def test_a_task_that_was_told_has_stopped_also_if_it_returns(run: Run) -> None:
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


def test_a_task_that_was_told_has_stopped_also_if_its_clean_up_fails(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        try:
            with context.shield():
                run.cancel(context)
        finally:
            raise MyError("no clean-up")

    assert run(body) == TaskStopped("task-0")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="it is sent otherwise here")
def test_a_task_that_returned_before_it_was_told_has_completed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_its_way = threading.Event()
    monkeypatch.setattr(signal, "pthread_kill", lambda *_: on_its_way.set())
    with when(lambda: run.interrupt.request("task-0")) as go:

        def body(_: ExecutionContext) -> int:
            go()
            on_its_way.wait()
            return 7

        assert run(body) == TaskReturned("task-0", b"7")


def test_the_next_task_knows_nothing_of_it(run: Run) -> None:
    def cancelled(context: ExecutionContext) -> None:
        with context.shield():
            run.cancel(context)

    assert run(cancelled) == TaskStopped("task-0")
    assert run(lambda context: context.cancel_requested) == TaskReturned("task-1", b"false")


def test_what_is_told_to_stop_before_it_runs_never_does(run: Run) -> None:
    run.interrupt.request("task-0")
    assert run(lambda _: pytest.fail("it ran")) == TaskStopped("task-0")


def test_the_context_tells_what_was_asked(run: Run) -> None:
    seen = []
    run(lambda c: seen.append((c.execution_id, c.client_id, c.labels)))
    assert seen == [("task-0", "lab", {"run": "7"})]


def test_progress_is_reported_by_numbers_and_words(run: Run) -> None:
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


def test_asked_to_raise_it_raises_only_when_it_is_to_stop(run: Run) -> None:
    def body(context: ExecutionContext) -> None:
        context.raise_if_cancelled()
        with context.shield():
            run.cancel(context)
            with pytest.raises(TaskCancelled, match="execution task-0 is to stop"):
                context.raise_if_cancelled()

    assert run(body) == TaskStopped("task-0")
