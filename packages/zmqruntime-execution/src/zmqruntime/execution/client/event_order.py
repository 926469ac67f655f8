"""Events as a subscriber passes them on: each once, in order, and with those that were missed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence

from zmqruntime.execution.client.gap_detection import Doubts, Sequences
from zmqruntime.execution.client.replay import MissedEvents
from zmqruntime.messages import ProgressEvent, StateEvent

__all__ = ["EventOrder"]

_log = logging.getLogger("zmqruntime.client")

_Event = ProgressEvent | StateEvent


class EventOrder:
    """Brings events into order, asks for what is missing, and counts what nobody has any more.

    One thread alone brings events; any may `expect` an execution.

    Args:
        kept: knows what was missed.
    """

    def __init__(self, kept: MissedEvents) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._sequences = Sequences()
        self._doubts = Doubts()
        self.missed = 0
        """How many events never came, as far as that is known."""

    def expect(self, execution_id: str) -> None:
        """Take note of an execution that is only about to be submitted: its first event comes."""
        with self._lock:
            self._sequences.expect(execution_id)

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last `fill_up` left a hole that may still be filled by what is on its way."""
        return bool(self._doubts)

    def arrange(self, events: Iterable[_Event]) -> list[_Event]:
        """Return those that were not seen before, each behind what was missed before it."""
        rest = iter(events)
        arranged: list[_Event] = []
        while True:
            with self._lock:
                for event in rest:
                    if not self._sequences.follows(event):
                        break
                    arranged.append(event)
                else:
                    return arranged
            arranged += self._take(event)  # Without the lock: it may ask the server.

    def fill_up(self, *, after_cut: bool) -> Iterator[list[_Event]]:
        """Ask for what was missed of every execution that goes on, the end of it included.

        Args:
            after_cut: whether the connection was cut since the last time, so that nothing is on
                its way any more.

        Yields:
            What was missed of one of them, in order.

        Raises:
            ZMQRuntimeError: the server did not answer.
        """
        with self._lock:
            watched = self._sequences.unfinished()
        last = dict(watched)
        for execution_id, answer in self._kept.ask_many(watched):
            if answer is None:
                with self._lock:
                    self._sequences.forget(execution_id)
                continue
            with self._lock:
                self._sequences.no_more_than(execution_id, answer.last_sequence)
            events: Sequence[_Event] = answer.events
            if not after_cut:
                events = self._doubts.sift(execution_id, last[execution_id], events)
            yield list(self._in_order(events))
        self._doubts.end_look()

    def _take(self, event: _Event) -> Iterator[_Event]:
        """Yield an event, if it was not seen before, behind those that were missed before it."""
        with self._lock:
            last = self._sequences.gap_before(event)
        if last is not None:
            kept = self._kept.ask(event.execution_id, last)
            # What is behind it comes by itself.
            yield from self._in_order(e for e in kept if e.sequence < event.sequence)
        yield from self._in_order([event])

    def _in_order(self, events: Iterable[_Event]) -> Iterator[_Event]:
        """Yield those of one execution that were not seen before, and count what is not there."""
        for event in events:
            with self._lock:
                step = self._sequences.take(event)
            if step is None:
                continue
            if step.restarted:
                _log.info(
                    "the events of execution %s were cut by a restart of its server: how many "
                    "were lost is not known",
                    event.execution_id,
                    extra={"execution_id": event.execution_id},
                )
            elif step.missed:
                self.missed += step.missed
                _log.info(
                    "%d events of execution %s were lost",
                    step.missed,
                    event.execution_id,
                    extra={"execution_id": event.execution_id},
                )
            yield event
