"""Peers that are programs of another language: run them, and lose what the server answers them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
from places import ChildProcess, Place
from waiting import PATIENCE

__all__ = ["LossyRelay", "Peer", "Said"]


@dataclass(frozen=True)
class Said:
    """What a program wrote, and how it ended."""

    code: int
    out: str
    errors: str


@dataclass(frozen=True)
class Peer:
    """A program that is a client of the server of a place."""

    program: Sequence[str]
    options: Sequence[str]
    place: Place

    def run(self, *arguments: str) -> Said:
        """Run it to its end."""
        ended = subprocess.run(
            [*self.program, *self.options, *arguments],
            env=os.environ | self.place.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        return Said(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str) -> ChildProcess:
        """Start it; the place ends it when the test does not."""
        return self.place.run([*self.program, *self.options, *arguments])


@dataclass
class LossyRelay:
    """Stands between a peer and a server's control socket, and loses first replies.

    The first reply to a request of each of the ``lost`` types does not reach the peer.
    """

    control_address: str
    directory: Path
    lost: frozenset[str]
    asked: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)
    """From which connection, and what; to be read when the peer has ended."""

    def __post_init__(self) -> None:
        self.address = f"ipc://{self.directory}/relay"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._peers = self._context.socket(zmq.ROUTER)
        self._server = self._context.socket(zmq.DEALER)
        for sock in (self._peers, self._server):
            sock.linger = 0
        self._peers.bind(self.address)
        self._server.connect(self.control_address)
        self._thread = threading.Thread(target=self._relay, name="lossy-relay")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._context.term()  # Which ends the thread; it closes the sockets.
        self._thread.join()

    def asked_of(self, kind: str) -> list[tuple[bytes, dict[str, Any]]]:
        """Return the requests of one type."""
        return [(peer, request) for peer, request in self.asked if request["type"] == kind]

    def _relay(self) -> None:
        to_lose = set(self.lost)
        poller = zmq.Poller()
        poller.register(self._peers, zmq.POLLIN)
        poller.register(self._server, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._peers in ready:
                    frames = self._peers.recv_multipart()
                    self.asked.append((frames[0], json.loads(frames[-1])))
                    self._server.send_multipart(frames)
                if self._server in ready:
                    frames = self._server.recv_multipart()
                    kind = self._kind_of(json.loads(frames[-1])["request_id"])
                    if kind in to_lose:
                        to_lose.remove(kind)
                    else:
                        self._peers.send_multipart(frames)
        except zmq.ContextTerminated:
            self._peers.close()
            self._server.close()

    def _kind_of(self, request_id: str) -> str:
        kinds = [
            request["type"] for _, request in self.asked if request["request_id"] == request_id
        ]
        return str(kinds[0])
