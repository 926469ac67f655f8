"""Finds the objects of each kind in a transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zmqruntime.testing.conformance.transcript import Event, Exchange, Message, Transcript

__all__ = ["OBJECT_FINDERS", "Occurrence"]

Occurrence = tuple[Message, Exchange | Event]
"""An object, and the exchange or event that carried it."""


def _replies(transcript: Transcript, type: str) -> Iterator[Occurrence]:
    for exchange in transcript.exchanges:
        if exchange.reply.get("type") == type:
            yield exchange.reply, exchange


def _snapshots(transcript: Transcript, of_one: bool) -> Iterator[Occurrence]:
    for exchange in transcript.exchanges:
        named = b'"execution_id": "' in exchange.sent
        if exchange.reply.get("type") == "snapshot" and named == of_one:
            yield exchange.reply, exchange


def _oks(transcript: Transcript, *requests: bytes) -> Iterator[Occurrence]:
    for exchange in transcript.exchanges:
        is_match = any(b'"type": "%b"' % request in exchange.sent for request in requests)
        if exchange.reply.get("type") == "ok" and is_match:
            yield exchange.reply, exchange


def _records(transcript: Transcript) -> Iterator[Occurrence]:
    yield from _inside(_snapshots(transcript, of_one=True), "execution")


def _events(transcript: Transcript, *types: str) -> Iterator[Occurrence]:
    for event in transcript.events:
        if not types or event.body.get("type") in types:
            yield event.body, event


def _progress(transcript: Transcript) -> Iterator[Occurrence]:
    yield from _events(transcript, "progress")
    yield from _inside(_records(transcript), "progress")


def _causes(transcript: Transcript) -> Iterator[Occurrence]:
    yield from _inside(_records(transcript), "error")
    yield from _inside(_events(transcript, "state"), "error")


def _attempts(transcript: Transcript) -> Iterator[Occurrence]:
    for record, seen in _records(transcript):
        attempts = record.get("attempts")
        for attempt in attempts if isinstance(attempts, list) else []:
            if isinstance(attempt, Message):
                yield attempt, seen


def _listed(transcript: Transcript, name: str) -> Iterator[Occurrence]:
    for exchange in transcript.exchanges:
        entries = exchange.reply.get(name)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, Message):
                yield entry, exchange


def _inside(outer: Iterator[Occurrence], name: str) -> Iterator[Occurrence]:
    for message, seen in outer:
        if isinstance(inner := message.get(name), Message):
            yield inner, seen


OBJECT_FINDERS: dict[str, Callable[[Transcript], Iterator[Occurrence]]] = {
    "pong": lambda transcript: _replies(transcript, "pong"),
    "accepted": lambda transcript: _replies(transcript, "accepted"),
    "error": lambda transcript: _replies(transcript, "error"),
    "kept events": lambda transcript: _replies(transcript, "kept_events"),
    "log": lambda transcript: _replies(transcript, "log"),
    "snapshot of one": lambda transcript: _snapshots(transcript, of_one=True),
    "snapshot of all": lambda transcript: _snapshots(transcript, of_one=False),
    "ok to cancel": lambda transcript: _oks(transcript, b"cancel"),
    "ok to register": lambda transcript: _oks(
        transcript, b"register_progress", b"unregister_progress"
    ),
    "record": _records,
    "failed attempt": _attempts,
    "cause": _causes,
    "running": lambda transcript: _listed(transcript, "running_executions"),
    "queued": lambda transcript: _listed(transcript, "queued_executions"),
    "event": _events,
    "progress": _progress,
    "state": lambda transcript: _events(transcript, "state"),
}
"""Yields the objects of a kind with what carried them."""
