"""Progress is encoded as JSON, and sent from any process of a task."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from homing import Home, PipeLink, report_thrice

from zmqruntime.execution import ProgressReporter
from zmqruntime.execution.lifecycle.events import ProgressReport, compose_event
from zmqruntime.execution.worker.child.reporter import encode_progress
from zmqruntime.messages import DecodeError, ProgressEvent, decode_event
from zmqruntime.messages.lowlevel import decode_json


def report(*arguments: Any, **keywords: Any) -> ProgressEvent:
    """Return the event of a report."""
    body = encode_progress(*arguments, **keywords)
    event = decode_event(compose_event("a", ProgressReport(1, 1.0, body)))
    assert isinstance(event, ProgressEvent)
    return event


class Float32:
    """A number such as numpy's: not a float, with `__float__`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Int64(Float32):
    """An integer such as numpy's, with `__index__`."""

    def __index__(self) -> int:
        return int(self.value)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (3, 3),
        (3.5, 3.5),
        (Int64(3), 3),
        (Float32(3.5), 3.5),
        (Decimal("3.5"), 3.5),
        (Fraction(7, 2), 3.5),
        (True, 1),
        (0, 0),
        (-1, -1),
        (10**20, 10**20),
    ],
    ids=[
        "int",
        "float",
        "index",
        "real",
        "decimal",
        "fraction",
        "bool",
        "zero",
        "negative",
        "large",
    ],
)
def test_any_kind_of_number_becomes_a_json_number(number: Any, expected: float) -> None:
    event = report(number, number)
    assert (event.completed, event.total) == (expected, expected)
    assert type(event.completed) is type(expected)


@pytest.mark.parametrize("name", ["completed", "total"])
@pytest.mark.parametrize(
    "value", ["3", b"3", 1j, [3], print], ids=lambda value: type(value).__name__
)
def test_value_that_is_not_a_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"progress {name} must be a number, not "):
        encode_progress(**{name: value})


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), Float32(float("-inf"))],
    ids=["nan", "infinite", "minus infinite"],
)
def test_non_finite_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ValueError, match="progress total must be "):
        encode_progress(1, value)


def test_number_with_too_many_digits_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match="total is an integer of more than 4000 digits"):
        encode_progress(1, 10**5000)


@pytest.mark.parametrize("name", ["phase", "message"])
@pytest.mark.parametrize("value", [b"x", 3, ["x"]], ids=["bytes", "int", "list"])
def test_value_that_is_not_a_text_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"progress {name} must be a str, not "):
        encode_progress(**{name: value})


def test_lone_surrogates_of_a_text_are_escaped() -> None:
    # As in file names that `os.listdir` returns: they do not fail the task.
    assert report(message="tile-\udce9.tif", phase="é").message == "tile-\\udce9.tif"


@pytest.mark.parametrize("value", [[1], "x", 3])
def test_data_is_an_object(value: Any) -> None:
    with pytest.raises(TypeError, match="progress data must be a dict, not "):
        encode_progress(data=value)


def test_unserializable_data_is_refused_with_its_path() -> None:
    with pytest.raises(DecodeError, match=r"data\.tiles\[1\] is of type object"):
        encode_progress(data={"tiles": ["a", object()]})  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("completed", "total", "percent"),
    [
        (1, 4, 25.0),
        (0, 4, 0.0),
        (4, 4, 100.0),
        (5, 4, 100.0),
        (-1, 4, 0.0),
        (1, 0, None),
        (1, None, None),
        (None, 4, None),
        (0.5, 2.0, 25.0),
        (10**300, 2 * 10**300, 50.0),
        (10**400, 2 * 10**400, None),  # Beyond the range of a float.
    ],
    ids=range(11),
)
def test_percent_is_computed_from_both_numbers(completed: Any, total: Any, percent: Any) -> None:
    assert report(completed, total).percent == percent


def test_fields_that_are_not_reported_are_null() -> None:
    event = report()
    assert (event.completed, event.total, event.percent) == (None, None, None)
    assert (event.phase, event.message, event.data) == (None, None, None)


# -- from other processes ---------------------------------------------------------------------


def test_reporter_in_its_own_process_uses_the_given_function() -> None:
    sent: list[bytes] = []
    reporter = ProgressReporter(PipeLink(None), sent.append)
    report_thrice(reporter)
    assert [decode_json(body)["completed"] for body in sent] == [1, 2, 3]


def test_pickled_reporter_is_small_and_contains_its_link() -> None:
    reporter = ProgressReporter(PipeLink(("127.0.0.1", 1)), lambda body: None)
    pickled = pickle.dumps(reporter)
    assert len(pickled) < 300
    assert isinstance(pickle.loads(pickled), ProgressReporter)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, by 3.12
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_reporter_in_another_process_connects_once(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not available")
    home = Home()
    here: list[bytes] = []
    reporter = ProgressReporter(home.link, here.append)
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=report_thrice, args=(reporter,))
    process.start()
    opened, *reports = home.collect()
    process.join()
    assert process.exitcode == 0
    assert opened == b"opened in %d" % process.pid
    assert [decode_json(body)["completed"] for body in reports] == [1, 2, 3]
    assert here == []
    reporter.report(4)
    assert len(here) == 1


def test_too_long_report_is_refused_with_a_remedy() -> None:
    encode_progress(message="x" * 32_000)
    with pytest.raises(ValueError, match=r"32,768: write what is large to a file"):
        encode_progress(message="x" * 33_000)


def test_threads_of_another_process_share_one_connection() -> None:
    opened: list[int] = []
    sent: list[bytes] = []
    barrier = threading.Barrier(4)

    class SlowLink:
        def open(self) -> Callable[[bytes], None]:
            opened.append(threading.get_ident())
            time.sleep(0.05)  # The other threads arrive meanwhile.
            return sent.append

    def report_one() -> None:
        barrier.wait()
        reporter.report(1)

    reporter = ProgressReporter(SlowLink())  # As after unpickling.
    threads = [threading.Thread(target=report_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len(sent) == 4
