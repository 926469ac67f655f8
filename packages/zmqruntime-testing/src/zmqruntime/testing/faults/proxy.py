"""`FaultProxy`: between client and server, and not to be relied on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self

from zmqruntime.testing.endpoint import HasEndpoint
from zmqruntime.testing.errors import ProxyFailed, RuleNeverFired, check_open
from zmqruntime.testing.faults.relay import Relay, open_relay
from zmqruntime.testing.faults.rules import Fault, FaultPlan, Lane, Misbehaviour, Rule, split_events
from zmqruntime.transport import Endpoint, Loop, ZMQConfig

__all__ = ["FaultProxy"]

_HARMLESS = (Fault.DROP, Fault.DELAY, Fault.DUPLICATE, Fault.REORDER)
_LANES = (Lane.REQUESTS, Lane.REPLIES, Lane.EVENTS)
_CALL_SECONDS = 10.0


class FaultProxy:
    """Stands before a server, on both channels, and does to its messages what a test says.

    Clients connect to ``endpoint`` in place of the server's. What no rule is for passes as it
    came, in order. A rule's ``nth`` counts from the call on, and counts only messages whose
    top-level fields are the given ones: ``proxy.drop(Lane.REPLIES, type="accepted")``.
    Each rule is for one message, and each message meets one rule: where two are for the same one,
    the older takes it and the other the next such message. At the end of a ``with`` statement
    `check` is called.

    Args:
        server: what has an endpoint and a configuration.

    Raises:
        AddressInUse: no port is free.
        TypeError: ``server`` is a fake in memory, which has no messages to lose.
    """

    def __init__(self, server: HasEndpoint) -> None:
        if not hasattr(server, "endpoint"):
            raise TypeError(
                f"a FaultProxy stands before a server on sockets, and {type(server).__name__} has "
                "no endpoint: ask for a fake without in_memory=True"
            )
        self._config = server.config
        self._closed = False
        self._back = server.endpoint
        self._changed = threading.Condition()
        self._plan = FaultPlan()
        self._loop = Loop()
        self._relay: Relay | None
        self._front, self._relay = open_relay(server.endpoint)
        self._relay.watch(self._loop, self._on_message)
        self._failure: Exception | None = None
        self._calls: set[Future[None]] = set()
        self._thread = threading.Thread(
            target=self._run, name=f"zmqruntime-proxy-{self._front.port}", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if error[0] is None:
            self.check()

    @property
    def endpoint(self) -> Endpoint:
        """Where clients connect to."""
        return self._front

    @property
    def config(self) -> ZMQConfig:
        """The settings that the server shares with its clients."""
        return self._config

    # -- one message --------------------------------------------------------------------------

    def drop(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Lose a message."""
        return self._add(Rule(Fault.DROP, Lane(lane), nth, fields))

    def delay(self, lane: Lane | str, seconds: float, nth: int = 1, **fields: Any) -> Rule:
        """Pass a message on later; those behind it do not wait."""
        return self._add(Rule(Fault.DELAY, Lane(lane), nth, fields, seconds))

    def duplicate(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Pass a message on twice."""
        return self._add(Rule(Fault.DUPLICATE, Lane(lane), nth, fields))

    def reorder(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Pass a message on behind the next one of its lane."""
        return self._add(Rule(Fault.REORDER, Lane(lane), nth, fields))

    def truncate(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Pass on the first half of a message."""
        return self._add(Rule(Fault.TRUNCATE, Lane(lane), nth, fields))

    def garble(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Pass a message on with a byte in it that is not its own."""
        return self._add(Rule(Fault.GARBLE, Lane(lane), nth, fields))

    def cut_at(
        self, lane: Lane | str, nth: int = 1, *, restore_after: float | None = None, **fields: Any
    ) -> Rule:
        """Lose a message, and every connection with it; see `cut`.

        Args:
            lane: which way the message goes.
            nth: which of those with the fields.
            restore_after: seconds until clients can connect again; None: until `restore`.
            fields: what the message has at its top level.
        """
        return self._add(Rule(Fault.CUT, Lane(lane), nth, fields, restore_after))

    # -- all of them ----------------------------------------------------------------------------

    def cut(self) -> None:
        """End every connection; until `restore`, nobody listens here."""
        self._call(self._cut)

    def restore(self) -> None:
        """Let clients connect again."""
        self._call(self._restore)

    def misbehave(
        self,
        rate: float = 0.05,
        *,
        seed: int | None = None,
        faults: Sequence[Fault | str] = _HARMLESS,
        lanes: Sequence[Lane | str] = _LANES,
        max_delay: float = 0.2,
    ) -> int:
        """Let faults happen by chance from now on, and return the seed.

        The seed is printed, so that pytest shows it where a test fails. With the same seed, the
        same messages of a lane meet the same faults. A rate of 0 ends it.

        Args:
            rate: which part of the messages, 0 to 1.
            seed: None for another one each time.
            faults: which; unless told otherwise those that a client has to bear.
            lanes: where.
            max_delay: of a delayed message, in seconds.
        """
        seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        print(f"FaultProxy: to see these faults again, call misbehave({rate:g}, seed={seed})")
        kinds, places = tuple(map(Fault, faults)), tuple(map(Lane, lanes))
        chance = Misbehaviour(seed, rate, kinds, places, max_delay)
        self._call(lambda: self._plan.misbehave(chance))
        return seed

    # -- the end --------------------------------------------------------------------------------

    def await_faults(self, timeout: float = 10.0) -> None:
        """Wait until every rule so far has fired.

        Raises:
            ProxyFailed: as `check` does.
            RuleNeverFired: one has not within ``timeout`` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._plan.unfired(), timeout)
        self.check()

    def check(self) -> None:
        """Make sure that every rule has fired. The fixture and ``with`` do so at the end.

        Raises:
            ProxyFailed: it passes nothing on any more; says why.
            RuleNeverFired: says of each what came instead.
        """
        self._check_failure()
        with self._changed:
            if unfired := self._plan.unfired():
                raise RuleNeverFired("\n".join(unfired))

    def stop(self, timeout: float = 1.5) -> bool:
        """End every connection, and the thread. Returns whether that has ended in time.

        Args:
            timeout: seconds.

        Raises:
            ProxyFailed: it had ended before, by itself; says why.
        """
        self._begin_to_end()
        self._thread.join(timeout)
        self._check_failure()
        return not self._thread.is_alive()

    def _begin_to_end(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.post(self._end)

    # -- in the loop's thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run()
        except Exception as error:  # noqa: BLE001 - raised in the test
            with self._changed:
                self._failure = error
                for call in self._calls:
                    call.set_exception(self._told())
                self._calls.clear()
                self._changed.notify_all()
            self._end()

    def _on_message(self, relay: Relay, lane: Lane, frames: list[bytes]) -> None:
        for message in split_events(lane, frames):
            if self._relay is relay:  # One of them may cut the connections.
                self._pass_on(relay, lane, message)

    def _pass_on(self, relay: Relay, lane: Lane, frames: Sequence[bytes]) -> None:
        with self._changed:
            outcome = self._plan.take(lane, frames)
            self._changed.notify_all()
        for delivery in outcome.deliveries:
            if delivery.after:
                due = time.monotonic() + delivery.after
                self._loop.call_at(due, self._later(relay, lane, delivery.frames))
            else:
                relay.send(self._loop, lane, delivery.frames)
        if outcome.cut is not None:
            self._cut()
            if outcome.cut.seconds is not None:
                self._loop.call_at(time.monotonic() + outcome.cut.seconds, self._restore)

    def _later(self, relay: Relay, lane: Lane, frames: tuple[bytes, ...]) -> Callable[[], None]:
        def send() -> None:
            if self._relay is relay:  # Else it was on a connection that is gone.
                relay.send(self._loop, lane, frames)

        return send

    def _cut(self) -> None:
        if self._relay is not None:
            relay, self._relay = self._relay, None
            relay.close(self._loop)
            self._plan.forget_held()

    def _restore(self) -> None:
        if self._relay is None:
            self._relay = Relay(self._front, self._back)
            self._relay.watch(self._loop, self._on_message)

    def _end(self) -> None:
        try:
            self._cut()
        finally:
            self._loop.stop()
            self._loop.close()

    # -- in the test's --------------------------------------------------------------------------

    def _add(self, rule: Rule) -> Rule:
        check_open(self._closed, "this FaultProxy")
        with self._changed:
            self._plan.rules.append(rule)
        return rule

    def _call(self, action: Callable[[], None]) -> None:
        """Have the loop do something, and wait until it has; raise what that raised."""
        check_open(self._closed, "this FaultProxy")
        done: Future[None] = Future()

        def run() -> None:
            with self._changed:
                self._calls.discard(done)
            try:
                action()
            except Exception as error:  # noqa: BLE001 - raised in the test
                done.set_exception(error)
            else:
                done.set_result(None)

        with self._changed:
            self._check_failure()
            self._calls.add(done)
        self._loop.post(run)
        done.result(_CALL_SECONDS)

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise self._told() from self._failure

    def _told(self) -> ProxyFailed:
        return ProxyFailed(
            f"the proxy on {self._front} has ended by itself and passes nothing on any more: "
            f"{self._failure!r}"
        )
