"""Long polls of pings: held until the server is ready, or until their timeout."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Final

from zmqruntime.messages import PingRequest
from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.loop import Loop, Timer
from zmqruntime.transport.server.held_replies import HeldReplies

__all__ = ["HeldPings"]

# Pings that are answered in one round of the loop.
_MAX_AT_ONCE: Final = 100


class HeldPings:
    """Holds pings and answers them, a bounded number in each round of the loop.

    Args:
        loop: the server's.
        answer: sends the pong for a ping.
    """

    def __init__(self, loop: Loop, answer: Callable[[PingRequest, Caller], None]) -> None:
        self._loop = loop
        self._answer = answer
        self._limits = HeldReplies()
        self._pings: dict[Caller, tuple[PingRequest, Timer, int]] = {}

    def __len__(self) -> int:
        return len(self._pings)

    def hold(self, request: PingRequest, caller: Caller) -> bool:
        """Hold a ping for its ``wait_seconds``; False: too many replies are held."""
        cost = self._limits.take(caller)
        if not cost:
            return False
        due = time.monotonic() + request.wait_seconds
        timer = self._loop.call_at(due, lambda: self._release(caller))
        self._pings[caller] = (request, timer, cost)
        return True

    def begin_to_answer(self) -> None:
        """Answer all held pings: some now, the rest in the next rounds of the loop."""
        self._answer_some(_MAX_AT_ONCE)
        if self._pings:
            self._loop.post(self.begin_to_answer)

    def answer_all(self) -> None:
        """Answer all held pings now, at the end of the server."""
        self._answer_some(len(self._pings))

    def _answer_some(self, limit: int) -> None:
        for caller in tuple(islice(self._pings, limit)):
            self._release(caller)

    def _release(self, caller: Caller) -> None:
        request, timer, cost = self._pings.pop(caller)
        timer.cancel()
        self._limits.release(caller.peer, cost)
        self._answer(request, caller)
