"""The close signal ends waits that no socket wakes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from transport_peers import PATIENCE_SECONDS

from zmqruntime.transport import Endpoint, NotConnected
from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.lowlevel import Deadline


@pytest.fixture
def closed(endpoint: Endpoint) -> CloseSignal:
    return CloseSignal(endpoint)


def test_pause_without_a_close_ends_after_its_time(closed: CloseSignal) -> None:
    closed.pause(0.001)
    assert not closed.is_set


def test_close_ends_every_pause_now_and_later(closed: CloseSignal) -> None:
    with ThreadPoolExecutor() as threads:
        pauses = [threads.submit(closed.pause, float("inf")) for _ in range(3)]
        closed.set()
        errors = [pause.exception(PATIENCE_SECONDS) for pause in pauses]
    assert [type(error) for error in errors] == [NotConnected] * 3
    with pytest.raises(NotConnected, match="was disconnected"):
        closed.pause(0.0)


def test_wait_for_an_action_returns_whether_it_ended_in_time(closed: CloseSignal) -> None:
    assert closed.wait_for(lambda: None, Deadline.after(PATIENCE_SECONDS), "test")
    going_on = threading.Event()
    try:
        assert not closed.wait_for(going_on.wait, Deadline.after(0.001), "test")
    finally:
        going_on.set()


def test_close_ends_the_wait_for_an_action_that_goes_on(closed: CloseSignal) -> None:
    going_on = threading.Event()

    def close() -> bool:
        closed.set()
        return going_on.wait(PATIENCE_SECONDS)

    try:
        with pytest.raises(NotConnected):
            closed.wait_for(close, Deadline.after(None), "test")
    finally:
        going_on.set()
