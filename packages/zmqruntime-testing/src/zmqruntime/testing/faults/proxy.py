"""`FaultProxy`: an unreliable proxy between clients and a server."""

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

_TOLERABLE_FAULTS = (Fault.DROP, Fault.DELAY, Fault.DUPLICATE, Fault.REORDER)
_DEFAULT_LANES = (Lane.REQUESTS, Lane.REPLIES, Lane.EVENTS)
_CALL_SECONDS = 10.0


class FaultProxy:
    """Proxy for both channels of a server that injects faults into messages.

    Clients connect to ``endpoint`` instead of the server's. Messages that match no rule are
    forwarded unchanged and in order. ``nth`` counts from the call that adds the rule, and counts
    only messages with the given top-level fields: ``proxy.drop(Lane.REPLIES, type="accepted")``.
    A rule applies to one message, and at most one rule applies to a message: of two matching rules
    the older applies, and the other applies to the next match. `check` is called at the end of a
    ``with`` statement.

    Args:
        server: an object with an endpoint and a configuration.

    Raises:
        AddressInUse: every port that was tried is in use.
        TypeError: ``server`` is an in-memory fake, which sends no messages.
    """

    def __init__(self, server: HasEndpoint) -> None:
        if not hasattr(server, "endpoint"):
            raise TypeError(
                f"a FaultProxy needs a server with an endpoint, which {type(server).__name__} does "
                "not have: create the fake without in_memory=True"
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
        """The endpoint that clients connect to."""
        return self._front

    @property
    def config(self) -> ZMQConfig:
        """The configuration that the server shares with its clients."""
        return self._config

    # -- rules --------------------------------------------------------------------------

    def drop(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Drop a message."""
        return self._add(Rule(Fault.DROP, Lane(lane), nth, fields))

    def delay(self, lane: Lane | str, seconds: float, nth: int = 1, **fields: Any) -> Rule:
        """Forward a message later; the following ones are not delayed."""
        return self._add(Rule(Fault.DELAY, Lane(lane), nth, fields, seconds))

    def duplicate(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Forward a message twice."""
        return self._add(Rule(Fault.DUPLICATE, Lane(lane), nth, fields))

    def reorder(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Forward a message after the next one of its lane."""
        return self._add(Rule(Fault.REORDER, Lane(lane), nth, fields))

    def truncate(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Forward only the first half of a message."""
        return self._add(Rule(Fault.TRUNCATE, Lane(lane), nth, fields))

    def garble(self, lane: Lane | str, nth: int = 1, **fields: Any) -> Rule:
        """Forward a message with one byte corrupted."""
        return self._add(Rule(Fault.GARBLE, Lane(lane), nth, fields))

    def cut_at(
        self, lane: Lane | str, nth: int = 1, *, restore_after: float | None = None, **fields: Any
    ) -> Rule:
        """Drop a message, and cut every connection; see `cut`.

        Args:
            lane: the lane of the message.
            nth: the number of the message among those with these fields.
            restore_after: seconds until clients can connect again; None for `restore`.
            fields: top-level fields of the message.
        """
        return self._add(Rule(Fault.CUT, Lane(lane), nth, fields, restore_after))

    # -- connections ----------------------------------------------------------------------------

    def cut(self) -> None:
        """Close every connection, and refuse new ones until `restore`."""
        self._call(self._cut)

    def restore(self) -> None:
        """Accept connections again."""
        self._call(self._restore)

    def misbehave(
        self,
        rate: float = 0.05,
        *,
        seed: int | None = None,
        faults: Sequence[Fault | str] = _TOLERABLE_FAULTS,
        lanes: Sequence[Lane | str] = _DEFAULT_LANES,
        max_delay: float = 0.2,
    ) -> int:
        """Inject random faults from now on, and return the seed.

        The seed is printed, so that pytest shows it when a test fails. The same seed injects the
        same faults into the same messages of a lane. A rate of 0 ends it.

        Args:
            rate: the share of messages with a fault, 0 to 1.
            seed: None for a random one.
            faults: the faults to choose from; by default those that a client must tolerate.
            lanes: the lanes with faults.
            max_delay: upper limit of a delay, in seconds.
        """
        seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        print(f"FaultProxy: to reproduce these faults, call misbehave({rate:g}, seed={seed})")
        kinds, places = tuple(map(Fault, faults)), tuple(map(Lane, lanes))
        misbehaviour = Misbehaviour(seed, rate, kinds, places, max_delay)
        self._call(lambda: self._plan.misbehave(misbehaviour))
        return seed

    # -- the end --------------------------------------------------------------------------------

    def await_faults(self, timeout: float = 10.0) -> None:
        """Wait until every rule so far has fired.

        Raises:
            ProxyFailed: as `check` does.
            RuleNeverFired: a rule has not fired within ``timeout`` seconds.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._plan.unfired(), timeout)
        self.check()

    def check(self) -> None:
        """Check that every rule has fired. The fixture and ``with`` do so at the end.

        Raises:
            ProxyFailed: the proxy thread has failed; names the cause.
            RuleNeverFired: lists each rule with the messages that passed.
        """
        self._check_failure()
        with self._changed:
            if unfired := self._plan.unfired():
                raise RuleNeverFired("\n".join(unfired))

    def stop(self, timeout: float = 1.5) -> bool:
        """Close every connection and stop the thread; return whether it stopped within ``timeout``.

        Args:
            timeout: seconds.

        Raises:
            ProxyFailed: the proxy thread has failed; names the cause.
        """
        self._request_stop()
        self._thread.join(timeout)
        self._check_failure()
        return not self._thread.is_alive()

    def _request_stop(self) -> None:
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
                    call.set_exception(self._make_error())
                self._calls.clear()
                self._changed.notify_all()
            self._end()

    def _on_message(self, relay: Relay, lane: Lane, frames: list[bytes]) -> None:
        for message in split_events(lane, frames):
            if self._relay is relay:  # A rule may have cut the connections.
                self._forward(relay, lane, message)

    def _forward(self, relay: Relay, lane: Lane, frames: Sequence[bytes]) -> None:
        with self._changed:
            outcome = self._plan.take(lane, frames)
            self._changed.notify_all()
        for delivery in outcome.deliveries:
            if delivery.after:
                due = time.monotonic() + delivery.after
                self._loop.call_at(due, self._delayed_send(relay, lane, delivery.frames))
            else:
                relay.send(self._loop, lane, delivery.frames)
        if outcome.cut is not None:
            self._cut()
            if outcome.cut.seconds is not None:
                self._loop.call_at(time.monotonic() + outcome.cut.seconds, self._restore)

    def _delayed_send(
        self, relay: Relay, lane: Lane, frames: tuple[bytes, ...]
    ) -> Callable[[], None]:
        def send() -> None:
            if self._relay is relay:  # Otherwise its connection has been cut.
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

    # -- in the test's thread ---------------------------------------------------------------------

    def _add(self, rule: Rule) -> Rule:
        check_open(self._closed, "this FaultProxy")
        with self._changed:
            self._plan.rules.append(rule)
        return rule

    def _call(self, action: Callable[[], None]) -> None:
        """Run ``action`` in the loop's thread, wait for it, and raise its exception."""
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
            raise self._make_error() from self._failure

    def _make_error(self) -> ProxyFailed:
        what = f"the proxy on {self._front} has failed and forwards no messages"
        return ProxyFailed(f"{what}: {self._failure!r}")
