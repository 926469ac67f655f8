"""Clients of a server in memory: the application's own class, with no socket below."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

from zmqruntime.messages import Outgoing, PingRequest, PongReply, Reply
from zmqruntime.testing.fake.in_memory_server import InMemoryExecutionServer
from zmqruntime.testing.fake.in_memory_transport import InMemorySubscription
from zmqruntime.transport import ConnectionFailed, NotConnected, Subscriber, ZMQClient

__all__ = ["InMemoryZMQClient", "connect_in_memory"]

_C = TypeVar("_C", bound=ZMQClient)


class InMemoryZMQClient(ZMQClient):
    """What `ZMQClient` does over sockets, done by calls. Below a client's class in its bases."""

    memory_server: InMemoryExecutionServer
    _pong: PongReply | None = None

    @property
    def connected(self) -> bool:
        """Whether `connect` succeeded and `disconnect` was not called since."""
        return self._pong is not None

    def connect(self, timeout: float | None = None, *, wait_ready: bool = True) -> PongReply:
        """Attach to the server. Nothing happens when the client is connected already."""
        if self._pong is None:
            seconds = self.config.connect_timeout if timeout is None else timeout
            (pong,) = self.memory_server.exchange([PingRequest(limit=0)], seconds, 0.0)
            if not isinstance(pong, PongReply):
                raise ConnectionFailed(f"who is there does not answer a ping: {pong}")
            self._pong = pong
        return self._pong

    def disconnect(self) -> None:
        """Take leave."""
        if self._pong is not None:
            try:
                self._before_close()
            finally:
                self._pong = None

    @property
    def pong(self) -> PongReply:
        """What the server said of itself when it was attached to."""
        return self._check_connected()

    @property
    def may_return(self) -> bool:
        """Whether to wait for a server that was lost: one in memory is gone for good."""
        return False

    def reconnect(self, timeout: float | None = None) -> PongReply:
        """Raise `ServerLost`, unless the server is there after all."""
        self._check_connected()
        (pong,) = self.memory_server.exchange([PingRequest(limit=0)], 0.0, 0.0)
        assert isinstance(pong, PongReply)
        return pong

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
        """Yield each request with its reply, a few at a time."""
        pending = iter(requests)
        while some := list(islice(_until_none(pending), window)):
            yield from zip(some, self.exchange(some, timeout, hold=hold), strict=True)

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Have events called back. A subscriber is never behind."""
        self._check_connected()
        subscription = InMemorySubscription(prefixes, on_messages, on_connection)
        self.memory_server.subscribe(subscription)
        return cast(Subscriber, subscription)

    def _check_connected(self) -> PongReply:
        if self._pong is None:
            raise NotConnected("this client is not connected: call connect() first")
        return self._pong


def _until_none(requests: Iterator[Outgoing | None]) -> Iterator[Outgoing]:
    """Yield what there is until the next reply."""
    while (request := next(requests, None)) is not None:
        yield request


def connect_in_memory(
    server: InMemoryExecutionServer, make: Callable[..., _C], **arguments: Any
) -> _C:
    """Return a connected client of a class of the application's own.

    Args:
        server: whose client.
        make: `ExecutionClient`, or a class derived from it.
        arguments: what it is made with, such as ``progress_callback``.

    Raises:
        TypeError: ``make`` is no client class; a function cannot be put above another transport.
    """
    if not (isinstance(make, type) and issubclass(make, ZMQClient)):
        raise TypeError(
            f"a client in memory is made from a class derived from ExecutionClient, not {make!r}"
        )
    namespace = {"memory_server": server, "__module__": make.__module__}
    made: Any = type(make.__name__, (make, InMemoryZMQClient), namespace)
    client: _C = made(**{"config": server.config} | arguments)
    client.connect()
    return client
