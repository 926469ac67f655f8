"""Clients of an in-memory server: the application's class on a transport without sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

from zmqruntime.messages import PingRequest, PongReply, Reply
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.testing.fake.in_memory_server import InMemoryExecutionServer
from zmqruntime.testing.fake.in_memory_transport import InMemorySubscription
from zmqruntime.transport import ConnectionFailed, NotConnected, Subscriber, ZMQClient

__all__ = ["InMemoryZMQClient", "connect_in_memory"]

_C = TypeVar("_C", bound=ZMQClient)


class InMemoryZMQClient(ZMQClient):
    """`ZMQClient` with calls in place of sockets; the last base of an in-memory client."""

    memory_server: InMemoryExecutionServer
    _pong: PongReply | None = None
    _closed: threading.Event

    @property
    def connected(self) -> bool:
        """Whether `connect` succeeded and `disconnect` was not called since."""
        return self._pong is not None

    def connect(self, timeout: float | None = None, *, wait_ready: bool = True) -> PongReply:
        """Connect to the server; do nothing if the client is connected."""
        if self._pong is None:
            seconds = self.config.connect_timeout if timeout is None else timeout
            (pong,) = self.memory_server.exchange([PingRequest(limit=0)], seconds, 0.0)
            if not isinstance(pong, PongReply):
                raise ConnectionFailed(
                    f"the fake did not reply to ping with a pong, but with {pong}: remove the "
                    "refusal of ping"
                )
            self._pong = pong
            self._closed = threading.Event()
        return self._pong

    def disconnect(self) -> None:
        """Disconnect; the client's closing hook runs first."""
        if self._pong is not None:
            try:
                self._before_close()
            finally:
                self._pong = None
                self._closed.set()

    @property
    def pong(self) -> PongReply:
        """The server's reply to the ping of `connect`."""
        return self._check_connected()

    @property
    def may_return(self) -> bool:
        """False: a lost in-memory server does not come back."""
        return False

    def reconnect(self, timeout: float | None = None) -> PongReply:
        """Raise `ServerLost` unless the server is running."""
        self._check_connected()
        (pong,) = self.memory_server.exchange([PingRequest(limit=0)], 0.0, 0.0)
        assert isinstance(pong, PongReply)
        return pong

    def pause(self, seconds: float) -> None:
        """Wait before a retry, unless `disconnect` is called."""
        self._check_connected()
        if self._closed.wait(min(seconds, threading.TIMEOUT_MAX)):
            raise NotConnected("this client was disconnected")

    def request(
        self, request: Outgoing, timeout: float | None = None, *, hold: float = 0.0
    ) -> Reply:
        """Return the reply to a request."""
        return self.exchange((request,), timeout, hold=hold)[0]

    def exchange(
        self, requests: Sequence[Outgoing], timeout: float | None = None, *, hold: float = 0.0
    ) -> list[Reply]:
        """Return the replies to requests, in their order."""
        self._check_connected()
        seconds = self.config.request_timeout if timeout is None else timeout
        return self.memory_server.exchange(requests, seconds, hold)

    def pipeline(
        self,
        requests: Iterable[Outgoing | None],
        timeout: float | None = None,
        *,
        hold: float = 0.0,
        window: int = 64,
    ) -> Generator[tuple[Outgoing, Reply], None, None]:
        """Yield each request with its reply, in batches of ``window``."""
        pending = iter(requests)
        while batch := list(islice(_until_none(pending), window)):
            yield from zip(batch, self.exchange(batch, timeout, hold=hold), strict=True)

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Register callbacks for events. An in-memory subscriber is always caught up."""
        self._check_connected()
        subscription = InMemorySubscription(prefixes, on_messages, on_connection)
        self.memory_server.subscribe(subscription)
        return cast(Subscriber, subscription)

    def _check_connected(self) -> PongReply:
        if self._pong is None:
            raise NotConnected("this client is not connected: call connect() first")
        return self._pong


def _until_none(requests: Iterator[Outgoing | None]) -> Iterator[Outgoing]:
    """Yield requests up to the next None, at which the pipeline waits for replies."""
    while (request := next(requests, None)) is not None:
        yield request


def connect_in_memory(
    server: InMemoryExecutionServer, make: Callable[..., _C], **arguments: Any
) -> _C:
    """Return a connected client of an in-memory server.

    Args:
        server: the server.
        make: `ExecutionClient`, or a class derived from it.
        arguments: arguments of ``make``, such as ``progress_callback``.

    Raises:
        TypeError: ``make`` is not a client class; the transport of a function's client cannot be
            replaced.
    """
    if not (isinstance(make, type) and issubclass(make, ZMQClient)):
        raise TypeError(
            f"an in-memory client needs a class derived from ExecutionClient, not {make!r}"
        )
    namespace = {"memory_server": server, "__module__": make.__module__}
    made: Any = type(make.__name__, (make, InMemoryZMQClient), namespace)
    client: _C = made(**{"config": server.config} | arguments)
    client.connect()
    return client
