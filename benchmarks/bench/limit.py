"""The limit: the same job by bare pyzmq and JSON, in the same number of processes.

A ROUTER receives requests, a worker process behind a DEALER gets one task at a time, and an XPUB
publishes its events. There are no models, no lifecycle and no recovery: states are values of a
dict. ``python -m bench.limit ROLE DIRECTORY`` is one of the processes; it ends with its parent.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import deque
from types import FrameType
from typing import Any

import zmq

from bench.tasks import run

__all__ = ["CANCELLED", "HIGH_WATER_MARK", "WELCOME", "addresses"]

HIGH_WATER_MARK = 100_000
# Sent to a subscriber when its subscription has arrived: earlier events do not reach it.
WELCOME = b"welcome"
CANCELLED = b'{"state": "cancelled"}'

_EVENT, _DONE, _STOPPED = b"event", b"done", b"stopped"


def addresses(directory: str) -> dict[str, str]:
    """Return the addresses of the sockets."""
    names = ("control", "data", "worker")
    return {name: f"ipc://{directory}/limit.{name}" for name in names}


class _Server:
    """Assigns one task at a time to the worker, and replies to clients."""

    def __init__(self, directory: str) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        types = {"control": zmq.ROUTER, "data": zmq.XPUB, "worker": zmq.DEALER}
        sockets = {name: self._context.socket(kind) for name, kind in types.items()}
        self._control, self._data, self._link = sockets.values()
        self._control.set_hwm(0)
        self._data.sndhwm = HIGH_WATER_MARK
        self._data.setsockopt(zmq.XPUB_WELCOME_MSG, WELCOME)
        for name, address in addresses(directory).items():
            sockets[name].bind(address)
        command = [sys.executable, "-m", "bench.limit", "work", directory]
        self._worker = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._running: str | None = None
        self._states: dict[str, str] = {}
        self._results: dict[str, bytes] = {}
        self._callers: dict[str, list[bytes]] = {}

    def run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._control, self._link, self._data, sys.stdin.fileno()):
            poller.register(socket, zmq.POLLIN)
        print(self._worker.pid, flush=True)
        while True:
            for socket, _ in poller.poll():
                if socket is self._control:
                    self._handle_request(*self._control.recv_multipart())
                elif socket is self._link:
                    self._receive_from_worker(*self._link.recv_multipart())
                elif socket is self._data:
                    self._data.recv()
                else:  # The parent has ended.
                    self._worker.kill()
                    self._context.destroy(linger=0)
                    return

    def _handle_request(self, *frames: bytes) -> None:
        *envelope, body = frames
        request = json.loads(body)
        match request["do"]:
            case "execute":
                self._callers[request["id"]] = envelope
                self._enqueue(request["id"], body)
                return
            case "submit":
                self._enqueue(request["id"], body)
                reply = {"state": "accepted"}
            case "result":
                name = request["id"]
                if name in self._results:
                    self._control.send_multipart([*envelope, self._results[name]])
                else:
                    self._callers[name] = envelope
                return
            case "status":
                reply = {"state": self._states[request["id"]]}
            case "cancel":
                if request["id"] == self._running:
                    self._worker.send_signal(signal.SIGINT)
                reply = {"state": self._states[request["id"]]}
            case _:
                reply = {"state": "ready", "queued": str(len(self._waiting))}
        self._control.send_multipart([*envelope, json.dumps(reply).encode()])

    def _enqueue(self, name: str, body: bytes) -> None:
        self._states[name] = "queued"
        self._waiting.append((name, body))
        if self._running is None:
            self._assign()

    def _assign(self) -> None:
        self._running, body = self._waiting.popleft()
        self._states[self._running] = "running"
        self._link.send(body)

    def _receive_from_worker(self, kind: bytes, body: bytes) -> None:
        if kind == _EVENT:
            self._data.send_multipart((kind, body))
            return
        name, self._running = self._running, None
        assert name is not None
        self._states[name] = "complete" if kind == _DONE else "cancelled"
        self._results[name] = body
        if (caller := self._callers.pop(name, None)) is not None:
            self._control.send_multipart([*caller, body])
        if self._waiting:
            self._assign()


class _Cancelled(BaseException):
    pass


class _Worker:
    """Runs tasks, and stops a task at SIGINT."""

    def __init__(self, directory: str) -> None:
        context: zmq.Context[Any] = zmq.Context()
        self._link = context.socket(zmq.DEALER)
        self._link.connect(addresses(directory)["worker"])
        self._running: str | None = None

    def run(self) -> None:
        signal.signal(signal.SIGINT, self._on_signal)
        while True:
            request = json.loads(self._link.recv())
            try:
                self._running = request["id"]
                result = run(request["task"], self._report)
                self._running = None
            except _Cancelled:
                self._link.send_multipart((_STOPPED, CANCELLED))
            else:
                self._link.send_multipart((_DONE, json.dumps({"result": result}).encode()))

    def _report(self, number: int, total: int, sent: float | None) -> None:
        event = {"completed": number, "total": total, "phase": "report", "sent": sent}
        self._link.send_multipart((_EVENT, json.dumps(event).encode()))

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._running is not None:
            self._running = None
            raise _Cancelled


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _Server(sys.argv[2]).run()
    else:
        _Worker(sys.argv[2]).run()
