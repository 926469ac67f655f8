"""Ctrl-C at any point of connect, a call or disconnect leaves a client that can be closed."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS

from zmqruntime import transport
from zmqruntime.transport import ZMQClient, ZMQConfig, ZMQServer

SOURCES = tuple(str(Path(package.__path__[0])) for package in (transport, zmq))
POINTS = 60
"""How many points of each call are interrupted, evenly spread."""


class _Interruption:
    """Raises KeyboardInterrupt at the entry of one Python function, in this thread.

    There, as behind each call, the interpreter looks for signals. In the midst of the steps by
    which a ``with`` block is entered or left it does not. Functions of the standard library are
    left out: `threading` is not proof against an interrupt in the midst of a join.
    """

    def __init__(self, point: int | None) -> None:
        self._point = point
        self.count = 0

    def __enter__(self) -> _Interruption:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:  # Of calls alone.
        code = frame.f_code
        if code.co_name != "__del__" and code.co_filename.startswith(SOURCES):
            self.count += 1
            if self.count == self._point:
                sys.settrace(None)
                raise KeyboardInterrupt


@pytest.fixture
def server(config: ZMQConfig) -> Iterator[ZMQServer]:
    with ZMQServer(config=config) as started:
        yield started


def connect(client: ZMQClient) -> None:
    client.connect(PATIENCE_SECONDS)


def call(client: ZMQClient) -> None:
    client.ping()


def disconnect(client: ZMQClient) -> None:
    client.disconnect()


def count_files() -> int:
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
@pytest.mark.parametrize("act", [connect, call, disconnect])
def test_client_can_be_disconnected_after_an_interrupt_at_any_point(
    server: ZMQServer, act: Callable[[ZMQClient], None]
) -> None:
    def attempt(point: int | None) -> int:
        client = ZMQClient(config=server.config)
        if act is not connect:
            client.connect(PATIENCE_SECONDS)
        with contextlib.suppress(KeyboardInterrupt), _Interruption(point) as interruption:
            act(client)
        leaving = threading.Thread(target=client.disconnect, daemon=True)
        leaving.start()
        leaving.join(PATIENCE_SECONDS)
        assert not leaving.is_alive(), f"disconnect hangs after an interrupt at call {point}"
        return interruption.count

    with warnings.catch_warnings():
        # For a socket that was opened and not assigned yet: it is closed when it is collected.
        warnings.simplefilter("ignore", ResourceWarning)
        total = attempt(None)
        attempt(None)
        before = count_files()
        for point in range(1, total, max(1, total // POINTS)):
            attempt(point)
        # A context that was interrupted in pyzmq's constructor may stay open; not at each point.
        assert count_files() < before + POINTS
    with ZMQClient(config=server.config) as client:
        assert client.ping().ready
