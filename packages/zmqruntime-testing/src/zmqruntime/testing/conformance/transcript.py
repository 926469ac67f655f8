"""The transcript of a run: every request with its reply, and every event."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

__all__ = [
    "MAX_KEPT",
    "Event",
    "Exchange",
    "Message",
    "Transcript",
    "Violation",
    "decode_strictly",
    "shorten",
]

_MAX_SHOWN = 400

MAX_KEPT = 4096
"""Number of bytes of a frame that are kept for the report."""


class Violation(AssertionError):
    """The server violates a requirement of the protocol.

    Args:
        what: the violation, for the report.
        number: the requirement; None for those that the check names.
        shown: the messages that show it; None for the latest ones.
    """

    def __init__(self, what: str, number: str | None = None, shown: list[str] | None = None):
        super().__init__(what)
        self.number = number
        self.shown = shown


class Message(dict[str, Any]):
    """A JSON object that was received from the server."""

    def __missing__(self, key: str) -> NoReturn:
        raise Violation(f"the field {key!r} is missing")


def decode_strictly(frame: bytes) -> Any:
    """Return the JSON value (RFC 8259) in a frame; its objects are `Message`.

    Raises:
        ValueError: the frame is not valid JSON.
    """

    def reject(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(frame.decode("utf-8"), parse_constant=reject, object_hook=Message)


@dataclass(eq=False)
class Exchange:
    """One request and its reply."""

    sent: bytes
    """The body of the request, cut to `MAX_KEPT`."""
    request_id: str | None
    reply_frames: list[bytes] | None = None
    reply: Message = field(default_factory=Message)
    seconds: float = 0.0

    def check_seconds(self, least: float, most: float) -> None:
        """Check the time until the reply, in seconds.

        Raises:
            Violation: it was not between ``least`` and ``most``.
        """
        if not least <= self.seconds <= most:
            what = f"reply after {self.seconds:.2f} s, expected after {least:g} to {most:g} s"
            raise Violation(what, shown=self.lines())

    def lines(self) -> list[str]:
        """Return the lines for the report."""
        received = "nothing" if self.reply_frames is None else _show(*self.reply_frames)
        return [f"sent      {_show(self.sent)}", f"received  {received}"]


@dataclass(eq=False)
class Event:
    """One event, as received by one subscriber."""

    subscriber: int
    """The id of the connection that received it."""
    frames: list[bytes]
    body: Message

    @property
    def topic(self) -> bytes:
        """The topic frame."""
        return self.frames[0]

    def lines(self) -> list[str]:
        """Return the lines for the report."""
        return [f"event     {_show(*self.frames)}"]


class Transcript:
    """Requests and events, in the order in which they were sent or received."""

    def __init__(self) -> None:
        self.entries: list[Exchange | Event] = []
        self.surplus: list[tuple[str, list[str]]] = []
        """Duplicate or unsolicited replies: the name of the peer, and the lines for the report."""

    @property
    def exchanges(self) -> list[Exchange]:
        """The requests with a reply."""
        return [e for e in self.entries if isinstance(e, Exchange) and e.reply_frames is not None]

    @property
    def events(self) -> list[Event]:
        """The events, once per subscriber."""
        return [e for e in self.entries if isinstance(e, Event)]

    def surplus_of(self, name: str) -> list[list[str]]:
        """Return the surplus replies of one peer."""
        return [lines for owner, lines in self.surplus if owner == name]

    def last_lines(self, start: int, most: int = 6) -> list[str]:
        """Return the lines of the last entries from ``start`` on."""
        recent = self.entries[start:][-most:]
        return [line for entry in recent for line in entry.lines()]


def shorten(text: str) -> str:
    """Return a text cut to a readable length."""
    if len(text) <= _MAX_SHOWN:
        return text
    return f"{text[:_MAX_SHOWN]}..."


def _show(*frames: bytes) -> str:
    return " + ".join(shorten(_text(frame[:MAX_KEPT])) for frame in frames)


def _text(frame: bytes) -> str:
    text = frame.decode(errors="replace")
    return text if text.isprintable() and text else repr(frame)
