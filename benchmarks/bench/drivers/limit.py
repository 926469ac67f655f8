"""The client's side of the limit."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import zmq

from bench.contender import Contender, Hear, Stopped
from bench.limit import HIGH_WATER_MARK, WELCOME, addresses
from bench.tasks import Task

__all__ = ["Limit"]


class Limit(Contender):
    """pyzmq alone."""

    distributions = ("pyzmq",)

    def start(self) -> None:
        self._where = addresses(str(self.place))
        self._names = map(str, itertools.count())
        self._server = subprocess.Popen(
            [sys.executable, "-m", "bench.limit", "serve", str(self.place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        self._worker = int(self._server.stdout.readline())  # Now its sockets are bound.
        self._context: zmq.Context[Any] = zmq.Context()
        self._control = self._context.socket(zmq.DEALER)
        self._control.set_hwm(0)  # A ROUTER drops what a full pipe does not take.
        self._control.connect(self._where["control"])
        self._data: zmq.Socket[Any] | None = None

    def stop(self) -> None:
        self._context.destroy(linger=0)
        self._server.communicate()  # It sees that its input ends; its worker has the output, too.

    def processes(self) -> list[int]:
        return [self._server.pid, self._worker]

    def submit(self, task: Task) -> str:
        name = next(self._names)
        self._ask("submit", name, task)
        return name

    def result(self, ticket: str) -> object:
        return _result_of(self._ask("result", ticket))

    def execute(self, task: Task) -> object:
        return _result_of(self._ask("execute", next(self._names), task))

    def submit_all(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._send("submit", next(self._names), task)
        for _ in tasks:
            self._receive()

    def execute_all(self, tasks: Sequence[Task]) -> list[object]:
        for task in tasks:
            self._send("execute", next(self._names), task)
        return [_result_of(self._receive()) for _ in tasks]

    def stream(self, task: Task, hear: Hear) -> object:
        if self._data is None:
            self._data = _subscribe(self._context, self._where["data"])
        self._send("execute", next(self._names), task)
        while True:
            event = json.loads(self._data.recv_multipart()[-1])
            hear(event["completed"], event["sent"])
            if event["completed"] == event["total"]:
                return _result_of(self._receive())

    def hear_ends(self) -> Callable[[int], None]:
        return lambda _: None  # It publishes none: what its loop takes is the bound of both.

    def ping(self) -> object:
        return self._ask("ping")

    def queued(self) -> int:
        return int(self._ask("ping")["queued"])

    def status(self, ticket: str) -> str:
        return str(self._ask("status", ticket)["state"])

    def cancel(self, ticket: str) -> None:
        self._ask("cancel", ticket)

    @contextmanager
    def observe(self, hears: Sequence[Hear]) -> Iterator[None]:
        context: zmq.Context[Any] = zmq.Context()
        where = addresses(str(self.place))["data"]
        heard = {_subscribe(context, where): hear for hear in hears}
        listener = threading.Thread(target=_listen, args=(heard,))
        listener.start()
        yield
        context.term()
        listener.join()

    def _send(self, verb: str, name: str = "", task: Task | None = None) -> None:
        request = {"do": verb, "id": name, "task": task}
        self._control.send_multipart((b"", json.dumps(request).encode()))

    def _receive(self) -> Any:
        return json.loads(self._control.recv_multipart()[-1])

    def _ask(self, verb: str, name: str = "", task: Task | None = None) -> Any:
        self._send(verb, name, task)
        return self._receive()


def _result_of(reply: dict[str, object]) -> object:
    if "result" not in reply:
        raise Stopped
    return reply["result"]


def _subscribe(context: zmq.Context[Any], address: str) -> zmq.Socket[Any]:
    data: zmq.Socket[Any] = context.socket(zmq.SUB)
    data.rcvhwm = HIGH_WATER_MARK
    data.subscribe(b"")
    data.connect(address)
    assert data.recv() == WELCOME
    return data


def _listen(heard: dict[zmq.Socket[Any], Hear]) -> None:
    poller = zmq.Poller()
    for data in heard:
        poller.register(data, zmq.POLLIN)
    try:
        while True:
            for data, _ in poller.poll():
                event = json.loads(data.recv_multipart()[-1])
                heard[data](event["completed"], event["sent"])
    except zmq.ContextTerminated:
        for data in heard:
            data.close(linger=0)
