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

from bench.contender import Cancelled, Contender, OnReport
from bench.limit import HIGH_WATER_MARK, WELCOME, addresses
from bench.tasks import Task

__all__ = ["Limit"]


class Limit(Contender):
    """Bare pyzmq."""

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
        self._worker = int(self._server.stdout.readline())  # The sockets are bound.
        self._context: zmq.Context[Any] = zmq.Context()
        self._control = self._context.socket(zmq.DEALER)
        self._control.set_hwm(0)  # A ROUTER drops messages for a full pipe.
        self._control.connect(self._where["control"])
        self._data: zmq.Socket[Any] | None = None

    def stop(self) -> None:
        self._context.destroy(linger=0)
        self._server.communicate()  # The server and its worker end with its input.

    def processes(self) -> list[int]:
        return [self._server.pid, self._worker]

    def submit(self, task: Task) -> str:
        name = next(self._names)
        self._request("submit", name, task)
        return name

    def result(self, ticket: str) -> object:
        return _result_of(self._request("result", ticket))

    def execute(self, task: Task) -> object:
        return _result_of(self._request("execute", next(self._names), task))

    def submit_all(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._send("submit", next(self._names), task)
        for _ in tasks:
            self._receive()

    def execute_all(self, tasks: Sequence[Task]) -> list[object]:
        for task in tasks:
            self._send("execute", next(self._names), task)
        return [_result_of(self._receive()) for _ in tasks]

    def stream(self, task: Task, on_report: OnReport) -> object:
        if self._data is None:
            self._data = _subscribe(self._context, self._where["data"])
        self._send("execute", next(self._names), task)
        while True:
            event = json.loads(self._data.recv_multipart()[-1])
            on_report(event["completed"], event["sent"])
            if event["completed"] == event["total"]:
                return _result_of(self._receive())

    def subscribe_to_ends(self) -> Callable[[int], None]:
        return lambda _: (
            None
        )  # Publishes no ends: the figure without a callback is the bound of both.

    def ping(self) -> object:
        return self._request("ping")

    def queued(self) -> int:
        return int(self._request("ping")["queued"])

    def status(self, ticket: str) -> str:
        return str(self._request("status", ticket)["state"])

    def cancel(self, ticket: str) -> None:
        self._request("cancel", ticket)

    @contextmanager
    def observe(self, callbacks: Sequence[OnReport]) -> Iterator[None]:
        context: zmq.Context[Any] = zmq.Context()
        where = addresses(str(self.place))["data"]
        received = {_subscribe(context, where): on_report for on_report in callbacks}
        listener = threading.Thread(target=_listen, args=(received,))
        listener.start()
        yield
        context.term()
        listener.join()

    def _send(self, verb: str, name: str = "", task: Task | None = None) -> None:
        request = {"do": verb, "id": name, "task": task}
        self._control.send_multipart((b"", json.dumps(request).encode()))

    def _receive(self) -> Any:
        return json.loads(self._control.recv_multipart()[-1])

    def _request(self, verb: str, name: str = "", task: Task | None = None) -> Any:
        self._send(verb, name, task)
        return self._receive()


def _result_of(reply: dict[str, object]) -> object:
    if "result" not in reply:
        raise Cancelled
    return reply["result"]


def _subscribe(context: zmq.Context[Any], address: str) -> zmq.Socket[Any]:
    data: zmq.Socket[Any] = context.socket(zmq.SUB)
    data.rcvhwm = HIGH_WATER_MARK
    data.subscribe(b"")
    data.connect(address)
    assert data.recv() == WELCOME
    return data


def _listen(received: dict[zmq.Socket[Any], OnReport]) -> None:
    poller = zmq.Poller()
    for data in received:
        poller.register(data, zmq.POLLIN)
    try:
        while True:
            for data, _ in poller.poll():
                event = json.loads(data.recv_multipart()[-1])
                received[data](event["completed"], event["sent"])
    except zmq.ContextTerminated:
        for data in received:
            data.close(linger=0)
