"""Rate limit for log lines that a peer can cause: one of each kind, then a count.

The first line of a kind is written, and a further one after a second, then two, four, up to a
minute, with the number of omitted ones. A minute without a line of the kind resets the pause.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["LimitedLog", "Omitted", "Repeats"]

_FIRST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0
_MAX_KINDS: Final = 256


class Omitted(NamedTuple):
    """The omitted lines of one kind."""

    lines: int
    since: float
    """The time of the last written one, by the caller's clock."""


@dataclass(slots=True)
class _Kind:
    written_at: float
    seen_at: float
    pause: float = _FIRST_SECONDS
    count: int = 0


class Repeats:
    """Decides which log lines are written. Pure: the time, in seconds, is an argument."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}

    def take(self, kind: Hashable, now: float) -> Omitted | None:
        """Return the omitted lines before this one; None: omit this one, too."""
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= _MAX_KINDS:
                del self._kinds[next(iter(self._kinds))]
            self._kinds[kind] = _Kind(now, now)
            return Omitted(0, now)
        was_quiet = now >= known.seen_at + _LONGEST_SECONDS
        known.seen_at = now
        if now < known.written_at + known.pause:
            known.count += 1
            return None
        omitted = Omitted(known.count, known.written_at)
        known.pause = _FIRST_SECONDS if was_quiet else min(2 * known.pause, _LONGEST_SECONDS)
        known.written_at, known.count = now, 0
        return omitted

    def take_rest(self) -> dict[Hashable, Omitted]:
        """Return the omitted lines after the last one of each kind, and reset."""
        kinds, self._kinds = self._kinds, {}
        return {kind: Omitted(k.count, k.written_at) for kind, k in kinds.items() if k.count}


class LimitedLog:
    """Writes to a logger the lines that `Repeats` admits. For one thread at a time.

    Args:
        logger: takes the lines.
        clock: returns the monotonic time in seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._repeats = Repeats()
        self._references: dict[Hashable, str] = {}

    def log(
        self, level: int, kind: Hashable, message: str, *args: object, exc_info: bool = False
    ) -> bool:
        """Write a line, unless its kind is paused.

        Args:
            level: the level, as in `logging`.
            kind: the kind of the line: one of few values, none chosen by a peer.
            message: the format, as in `logging`.
            args: its arguments.
            exc_info: whether to append the traceback of the current exception.

        Returns:
            whether it was written.
        """
        omitted = self._repeats.take(kind, self._clock())
        if omitted is None:
            return False
        if omitted.lines:
            message, args = f"{message} (%s more since %s)", (*args, *self._describe(omitted))
        self._logger.log(level, message, *args, exc_info=exc_info)
        return True

    def warning(self, kind: Hashable, message: str, *args: object) -> bool:
        """Write a warning; see `log`."""
        return self.log(logging.WARNING, kind, message, *args)

    def failure(self, message: str) -> str:
        """Log the current exception as an error, with its traceback.

        Returns:
            a random reference that is in the log line, or, if this one is omitted, in the last
            line of the same exception type and place.
        """
        kind = _describe_exception_place()
        reference = secrets.token_hex(4)
        if self.log(logging.ERROR, kind, f"{message} [{reference}]", exc_info=True):
            if len(self._references) >= _MAX_KINDS:
                self._references.clear()
            self._references[kind] = reference
        return self._references.get(kind, reference)

    def close(self) -> None:
        """Write the number of lines of each kind that are omitted since the last one."""
        for kind, omitted in self._repeats.take_rest().items():
            self._logger.warning("%s: %s more since %s", kind, *self._describe(omitted))

    def _describe(self, omitted: Omitted) -> tuple[str, str]:
        since = time.localtime(time.time() - (self._clock() - omitted.since))
        return f"{omitted.lines:,}", time.strftime("%H:%M:%S", since)


def _describe_exception_place() -> str:
    """Return the type of the current exception, and the line that raised it."""
    kind, _, traceback = sys.exc_info()
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    name = "" if kind is None else kind.__name__
    return (
        name
        if traceback is None
        else (f"{name} at {traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}")
    )
