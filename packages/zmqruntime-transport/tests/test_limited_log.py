"""Rate limit of log lines: one of each kind, then a count."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.transport.limited_log import LimitedLog, Repeats


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> LimitedLog:
    return LimitedLog(logging.getLogger("zmqruntime.test"), clock)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5)), max_size=200))
def test_written_and_omitted_lines_add_up(lines: list[tuple[str, float]]) -> None:
    repeats, now = Repeats(), 0.0
    written = omitted = 0
    for kind, pause in lines:
        now += pause
        decision = repeats.take(kind, now)
        if decision is not None:
            written += 1
            omitted += decision.lines
    omitted += sum(rest.lines for rest in repeats.take_rest().values())
    assert written + omitted == len(lines)
    assert not repeats.take_rest()


def test_flood_of_one_kind_is_a_line_a_minute_and_another_kind_is_written() -> None:
    repeats = Repeats()
    times = [repeat / 100 for repeat in range(100 * 3600)]
    written = [now for now in times if repeats.take("flood", now) is not None]
    assert written[:4] == [0.0, 1.0, 3.0, 7.0]
    assert len(written) <= 6 + 60
    assert repeats.take("other", 3600.0) is not None
    assert repeats.take("flood", 3800.0) is not None
    assert repeats.take("flood", 3800.5) is None
    assert repeats.take("flood", 3801.0) is not None, "the pause is long after a quiet minute"


def test_line_every_two_seconds_is_written_once_a_minute_in_the_end() -> None:
    repeats = Repeats()
    written = [now for now in range(0, 3600, 2) if repeats.take("slow", now) is not None]
    assert len(written) <= 6 + 60


def test_number_of_kinds_is_bounded() -> None:
    repeats = Repeats()
    for number in range(1000):
        assert repeats.take(number, 0.0) is not None
    assert len(repeats._kinds) == 256


def test_line_after_a_pause_has_the_number_of_omitted_ones(
    log: LimitedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    since = time.strftime("%H:%M:%S", time.localtime(time.time() - 1))
    assert [log.warning("k", "dropped %d", n) for n in range(1235)] == [True] + [False] * 1234
    clock.now += 1
    log.warning("k", "dropped %d", 5)
    assert caplog.messages[0] == "dropped 0"
    head, _, when = caplog.messages[1].partition(" since ")
    assert head == "dropped 5 (1,234 more"
    assert since <= when.removesuffix(")") or since > "23:59:00"


def test_omitted_lines_are_counted_at_the_end(
    log: LimitedLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(11):
        log.warning("replies dropped", "dropped")
    log.close()
    assert "replies dropped: 10 more since" in caplog.messages[1]
    assert len(caplog.messages) == 2


def fail(log: LimitedLog, error: Exception) -> str:
    try:
        raise error
    except type(error):
        return log.failure("a request failed")


def test_failure_has_a_reference_that_is_in_the_log(
    log: LimitedLog, caplog: pytest.LogCaptureFixture
) -> None:
    references = [fail(log, LookupError("secret")) for _ in range(100)]
    assert len(set(references)) == 1, "a reference is not in the log"
    other = fail(log, ValueError("another"))
    assert other not in references
    assert caplog.messages == [
        f"a request failed [{references[0]}]",
        f"a request failed [{other}]",
    ]
    assert "LookupError: secret" in caplog.text
