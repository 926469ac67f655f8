"""The format of log records, and the log file of a server."""

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
    """Formats records so that their content cannot forge further records.

    A record is one line. Control characters and line breaks in its message are escaped by
    `printable`; the lines of a traceback follow, escaped and indented. Records are shortened in
    their middle to 32,000 characters.

    Args:
        fmt: as in `logging.Formatter`.
        datefmt: as in `logging.Formatter`.
        multiline: whether to keep the line breaks of a message, with indented further lines.
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
        # Not `record.exc_text`, which another formatter may have set.
        if record.exc_info:
            parts.append(_indent(self.formatException(record.exc_info)))
        elif record.exc_text:
            parts.append(_indent(record.exc_text))
        if record.stack_info:
            parts.append(_indent(self.formatStack(record.stack_info)))
        return _CONTINUED.join(parts)


class LogFile(logging.FileHandler):
    """A handler of the logger ``zmqruntime``; sets its level to INFO if it has none.

    Only its owner can read the file. It is rotated when it exceeds ``max_bytes``.

    Args:
        path: the file, appended to.
        max_bytes: the size above which it is rotated.
        backups: the number of older files.

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
        """Whether stdout or stderr of this process is the file, as in a launched server."""
        return any(map(self._is_this_file, _STANDARD_STREAMS))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, then rotate the file if it is too long. Raises nothing."""
        super().emit(record)
        try:
            self._rotate_if_long()
        except Exception:  # noqa: BLE001 - as in each handler of logging, which reports it on stderr
            self.handleError(record)

    def rotate_if_long(self) -> None:
        """Rotate the file if it is too long, also by output of other processes."""
        self.acquire()
        try:
            self._rotate_if_long()
        finally:
            self.release()

    def close(self) -> None:
        """Remove the handler, and restore the level of the logger."""
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
                # It was removed or renamed: open a new one.
                self.stream = self._open()
                stream.close()
        except (OSError, EndpointError) as error:
            # Before the warning, which is a record itself.
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
        # On Windows the offset of an inherited handle is beyond the new end.
        for descriptor in filter(self._is_this_file, _STANDARD_STREAMS):
            os.lseek(descriptor, 0, os.SEEK_END)

    def _is_this_file(self, descriptor: int) -> bool:
        try:
            return self.stream is not None and os.path.sameopenfile(
                descriptor, self.stream.fileno()
            )
        except OSError:
            return False  # No such stream, as in a process without a console.

    def _others(self) -> list[Self]:
        return [h for h in _logger.handlers if isinstance(h, type(self)) and h is not self]


def _indent(text: str) -> str:
    return printable(_shorten(text), newline=_CONTINUED)


def _shorten(text: str) -> str:
    if len(text) <= _MAX_CHARACTERS:
        return text
    half = _MAX_CHARACTERS // 2
    return f"{text[:half]}... ({len(text) - 2 * half:,} characters left out) ...{text[-half:]}"
