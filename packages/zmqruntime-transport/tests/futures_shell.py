"""A second shell over the exchange: it never blocks, and completes a future for each request.

Like one I/O thread that serves many callers: it is notified of frames, of outcomes and of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from zmqruntime.messages import Reply
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.transport import TransportError
from zmqruntime.transport.client.exchange import Exchange
from zmqruntime.transport.client.outcome import Outcome


class FuturesShell:
    """Runs one exchange over connections that are lists of frames."""

    def __init__(self, exchange: Exchange) -> None:
        self.connections: list[list[bytes]] = [[]]
        """The frames that were sent on each connection; the last one is open."""
        self.futures: list[Future[Reply]] = []
        self._exchange = exchange

    def submit(self, request: Outgoing, now: float) -> Future[Reply]:
        frame = self._exchange.add(request)
        self._exchange.start_wait(now)
        self.connections[-1].append(frame)
        self.futures.append(Future())
        return self.futures[-1]

    def handle_frames(self, frames: Iterable[bytes]) -> None:
        for sent, reply in self._exchange.match(frames):
            self.futures[sent.number].set_result(reply)

    def handle_outcome(self, outcome: Outcome, now: float, *, reconnects: bool = False) -> None:
        try:
            retry = self._exchange.recover(outcome, now, reconnects=reconnects)
        except TransportError as error:
            for future in self.futures:
                if not future.done():
                    future.set_exception(error)
        else:
            if retry is not None:
                self.connections.append(list(retry.frames))

    def handle_time(self, now: float) -> None:
        """Retry a silent exchange whose time has come."""
        if now >= self._exchange.retry_at:
            self.handle_outcome(Outcome.SILENCE, now)
