"""How log records are written: their format, and the file into which a server's records go."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Self

from zmqruntime.messages import printable
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.process.log_rotation import (
    MAX_LOG_FILE_BYTES,
    ROTATED_LOG_FILES,
    rotate_log_file,
)
from zmqruntime.transport.process.private_files import open_log

__all__ = ["LogFile", "RecordFormatter"]

_logger = logging.getLogger("zmqruntime")
_log = logging.getLogger("zmqruntime.server")

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CONTINUED = "\n    "
_MAX_CHARACTERS = 32_000
_STANDARD_STREAMS = (1, 2)


class RecordFormatter(logging.Formatter):
    """Formats records so that no text in them can forge another record.

    A record is one line. Control characters and line breaks in its message are escaped by
    `printable`; the lines of a traceback follow, escaped and indented. A record longer than 32,000
    characters is shortened in its middle.

    Args:
        fmt: as in `logging.Formatter`.
        datefmt: as in `logging.Formatter`.
        multiline: whether line breaks in a message stay, its further lines indented.
    """

    def __init__(
        self, fmt: str = _FORMAT, datefmt: str | None = None, *, multiline: bool = False
    ) -> None:
        super().__init__(fmt, datefmt)
        self._newline = _CONTINUED if multiline else None

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, and the lines of its traceback indented."""
        record.message = record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        parts = [printable(_shorten(self.formatMessage(record)), newline=self._newline)]
        # Not `record.exc_text`, in which another formatter may have left its own text.
        if record.exc_info:
            parts.append(_indentable(self.formatException(record.exc_info)))
        elif record.exc_text:
            parts.append(_indentable(record.exc_text))
        if record.stack_info:
            parts.append(_indentable(self.formatStack(record.stack_info)))
        return _CONTINUED.join(parts)


class LogFile(logging.FileHandler):
    """Takes what ``zmqruntime`` logs, from INFO on unless that logger has a level of its own.

    Only its owner can read the file. It is rotated when it gets longer than ``max_bytes``.

    Args:
        path: the file, appended to.
        max_bytes: from which size on it is rotated.
        backups: how many older files are kept beside it.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self,
        path: str,
        max_bytes: int = MAX_LOG_FILE_BYTES,
        backups: int = ROTATED_LOG_FILES,
    ) -> None:
        super().__init__(path, encoding="utf-8")
        self._path = Path(self.baseFilename)
        self._max_bytes = self._limit = max_bytes
        self._backups = backups
        self.setFormatter(RecordFormatter())
        others = self._others()
        self._level_before: int = others[0]._level_before if others else _logger.level
        if _logger.level == logging.NOTSET:
            _logger.setLevel(logging.INFO)
        _logger.addHandler(self)

    @property
    def takes_output(self) -> bool:
        """Whether this process's stdout or stderr lead into the file, as a launcher makes them."""
        return any(map(self._is_this_file, _STANDARD_STREAMS))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and rotate the file when that made it too long. Raises nothing."""
        super().emit(record)
        try:
            self._rotate_if_long()
        except Exception:  # noqa: BLE001 - as in each handler of logging, which reports it on stderr
            self.handleError(record)

    def rotate_if_long(self) -> None:
        """Rotate the file if it got longer than it may, by whatever was appended to it."""
        self.acquire()
        try:
            self._rotate_if_long()
        finally:
            self.release()

    def close(self) -> None:
        """Take no more records, and leave the logger as it was."""
        _logger.removeHandler(self)
        if not self._others():
            _logger.setLevel(self._level_before)
        super().close()

    def _open(self) -> io.TextIOWrapper:
        descriptor = open_log(Path(self.baseFilename))
        return io.TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding)

    def _rotate_if_long(self) -> None:
        stream = self.stream
        if stream is None or os.fstat(stream.fileno()).st_size <= self._limit:
            return
        self._limit = self._max_bytes
        try:
            if rotate_log_file(self._path, self._max_bytes, self._backups):
                self._seek_to_end()
            elif not self._is_at_path(stream):
                # It was removed or renamed: go on in a new one.
                self.stream = self._open()
                stream.close()
        except (OSError, EndpointError) as error:
            # Not again for each record: this warning is one.
            self._limit = os.fstat(stream.fileno()).st_size + self._max_bytes
            _log.warning(
                "cannot rotate the log file %s: %s; trying again when it is %d bytes long",
                self._path,
                error,
                self._limit,
            )

    def _is_at_path(self, stream: io.TextIOWrapper) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(stream.fileno()))
        except FileNotFoundError:
            return False

    def _seek_to_end(self) -> None:
        # Windows keeps an offset in an inherited handle, which is beyond the new end.
        for descriptor in filter(self._is_this_file, _STANDARD_STREAMS):
            os.lseek(descriptor, 0, os.SEEK_END)

    def _is_this_file(self, descriptor: int) -> bool:
        try:
            return self.stream is not None and os.path.sameopenfile(
                descriptor, self.stream.fileno()
            )
        except OSError:
            return False  # A process without a console has no such stream.

    def _others(self) -> list[Self]:
        return [h for h in _logger.handlers if isinstance(h, type(self)) and h is not self]


def _indentable(text: str) -> str:
    return printable(_shorten(text), newline=_CONTINUED)


def _shorten(text: str) -> str:
    if len(text) <= _MAX_CHARACTERS:
        return text
    half = _MAX_CHARACTERS // 2
    return f"{text[:half]}... ({len(text) - 2 * half:,} characters left out) ...{text[-half:]}"
