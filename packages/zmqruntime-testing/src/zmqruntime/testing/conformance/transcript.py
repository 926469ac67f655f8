"""What was said in one run of the checks: every request and its reply, every event."""

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
"""How much of a frame is kept to be shown."""


class Violation(AssertionError):
    """The server broke a sentence of the protocol.

    Args:
        what: what is wrong, for the person who has to mend it.
        number: the sentence; None for the one that the check at hand names.
        shown: what was sent and came back, when it was not the last that was.
    """

    def __init__(self, what: str, number: str | None = None, shown: list[str] | None = None):
        super().__init__(what)
        self.number = number
        self.shown = shown


class Message(dict[str, Any]):
    """A JSON object that came from the server."""

    def __missing__(self, key: str) -> NoReturn:
        raise Violation(f"the field {key!r} is missing")


def decode_strictly(frame: bytes) -> Any:
    """Return the JSON value (RFC 8259) in a frame; its objects are `Message`.

    Raises:
        ValueError: there is none.
    """

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is not JSON")

    return json.loads(frame.decode("utf-8"), parse_constant=refuse, object_hook=Message)


@dataclass(eq=False)
class Exchange:
    """One request, and what came back."""

    sent: bytes
    """Its frame, or the beginning of a very long one."""
    request_id: str | None
    reply_frames: list[bytes] | None = None
    reply: Message = field(default_factory=Message)
    seconds: float = 0.0

    def check_seconds(self, least: float, most: float) -> None:
        """Judge when the reply came.

        Raises:
            Violation: it was sooner or later than this, in seconds.
        """
        if not least <= self.seconds <= most:
            told = f"the reply came after {self.seconds:.2f} s, not within {least:g} to {most:g} s"
            raise Violation(told, shown=self.lines())

    def lines(self) -> list[str]:
        """Show it to a person."""
        came = "nothing" if self.reply_frames is None else _show(*self.reply_frames)
        return [f"sent      {_show(self.sent)}", f"received  {came}"]


@dataclass(eq=False)
class Event:
    """One message of the data channel, as one subscriber received it."""

    subscriber: int
    """Whose: a number for each wire."""
    frames: list[bytes]
    body: Message

    @property
    def topic(self) -> bytes:
        """The first frame."""
        return self.frames[0]

    def lines(self) -> list[str]:
        """Show it to a person."""
        return [f"event     {_show(*self.frames)}"]


class Transcript:
    """Everything that was said, in the order of its sending and arrival."""

    def __init__(self) -> None:
        self.entries: list[Exchange | Event] = []
        self.surplus: list[tuple[str, list[str]]] = []
        """Replies that nobody had asked for, or had got already: to whom, and what."""

    @property
    def exchanges(self) -> list[Exchange]:
        """The requests that have their reply."""
        return [e for e in self.entries if isinstance(e, Exchange) and e.reply_frames is not None]

    @property
    def events(self) -> list[Event]:
        """The events, once for each subscriber."""
        return [e for e in self.entries if isinstance(e, Event)]

    def surplus_of(self, name: str) -> list[list[str]]:
        """Return the surplus replies that one peer got."""
        return [lines for owner, lines in self.surplus if owner == name]

    def last_lines(self, start: int, most: int = 6) -> list[str]:
        """Show the last entries from ``start`` on."""
        recent = self.entries[start:][-most:]
        return [line for entry in recent for line in entry.lines()]


def shorten(text: str) -> str:
    """Return as much of a text as a person wants to read."""
    if len(text) <= _MAX_SHOWN:
        return text
    return f"{text[:_MAX_SHOWN]}..."


def _show(*frames: bytes) -> str:
    return " + ".join(shorten(_text(frame[:MAX_KEPT])) for frame in frames)


def _text(frame: bytes) -> str:
    text = frame.decode(errors="replace")
    return text if text.isprintable() and text else repr(frame)
