"""Turns received events into a sequence without duplicates, with replays filling its gaps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence

from zmqruntime.execution.client.gap_detection import GapDetector, UnconfirmedGaps
from zmqruntime.execution.client.replay import EventReplay
from zmqruntime.messages import ProgressEvent, StateEvent

__all__ = ["EventOrder"]

_log = logging.getLogger("zmqruntime.client")

_Event = ProgressEvent | StateEvent


class EventOrder:
    """Drops duplicates, replays missed events in their place, and counts those that are lost.

    One thread passes events; any thread may call `expect`.

    Args:
        replay: fetches events that the server has kept.
    """

    def __init__(self, replay: EventReplay) -> None:
        self._replay = replay
        self._lock = threading.Lock()
        self._detector = GapDetector()
        self._unconfirmed = UnconfirmedGaps()
        self.missed = 0
        """The known number of lost events."""

    def expect(self, execution_id: str) -> None:
        """Watch an execution from its first event; call this before it is submitted."""
        with self._lock:
            self._detector.expect(execution_id)

    @property
    def has_unconfirmed_gaps(self) -> bool:
        """Whether the last `replay_missed` left a gap that events in transit may fill."""
        return bool(self._unconfirmed)

    def arrange(self, events: Iterable[_Event]) -> list[_Event]:
        """Return the new ones of these events, each behind those that were missed before it."""
        rest = iter(events)
        arranged: list[_Event] = []
        while True:
            with self._lock:
                for event in rest:
                    if not self._detector.accept_next(event):
                        break
                    arranged.append(event)
                else:
                    return arranged
            arranged += self._accept(event)  # Unlocked: a replay blocks.

    def replay_missed(self, *, after_reconnect: bool) -> Iterator[list[_Event]]:
        """Replay the missed events of every unfinished execution, terminal ones included.

        Args:
            after_reconnect: whether the connection was lost since the last call, so that no
                event of the old one is in transit.

        Yields:
            The missed events of one execution, in order.

        Raises:
            ZMQRuntimeError: the server did not reply.
        """
        with self._lock:
            unfinished = self._detector.list_unfinished()
        last = dict(unfinished)
        for execution_id, reply in self._replay.fetch_many(unfinished):
            if reply is None:
                with self._lock:
                    self._detector.forget(execution_id)
                continue
            with self._lock:
                self._detector.lower_last(execution_id, reply.last_sequence)
            events: Sequence[_Event] = reply.events
            if not after_reconnect:
                events = self._unconfirmed.drop_unconfirmed(
                    execution_id, last[execution_id], events
                )
            yield list(self._accept_new(events))
        self._unconfirmed.end_pass()

    def _accept(self, event: _Event) -> Iterator[_Event]:
        """Yield an event, unless it is a duplicate, behind those that were missed before it."""
        with self._lock:
            last = self._detector.find_gap(event)
        if last is not None:
            kept = self._replay.fetch(event.execution_id, last)
            # Later ones are in transit.
            yield from self._accept_new(e for e in kept if e.sequence < event.sequence)
        yield from self._accept_new([event])

    def _accept_new(self, events: Iterable[_Event]) -> Iterator[_Event]:
        """Yield the new ones of these events; log and count the gaps before them."""
        for event in events:
            with self._lock:
                gap = self._detector.accept(event)
            if gap is None:
                continue
            if gap.restarted:
                _log.info(
                    "events of execution %s lost in a restart of its server: number unknown",
                    event.execution_id,
                    extra={"execution_id": event.execution_id},
                )
            elif gap.missed:
                self.missed += gap.missed
                _log.info(
                    "%d events of execution %s lost",
                    gap.missed,
                    event.execution_id,
                    extra={"execution_id": event.execution_id},
                )
            yield event
