"""The file into which a server's log records go, beside wherever else they go."""

from __future__ import annotations

import logging
from typing import Self

__all__ = ["LogFile"]

_logger = logging.getLogger("zmqruntime")


class LogFile(logging.FileHandler):
    """Takes what ``zmqruntime`` logs, from INFO on unless that logger has a level of its own.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        others = self._others()
        self._level_before: int = others[0]._level_before if others else _logger.level
        if _logger.level == logging.NOTSET:
            _logger.setLevel(logging.INFO)
        _logger.addHandler(self)

    def close(self) -> None:
        """Take no more records, and leave the logger as it was."""
        _logger.removeHandler(self)
        if not self._others():
            _logger.setLevel(self._level_before)
        super().close()

    def _others(self) -> list[Self]:
        return [h for h in _logger.handlers if isinstance(h, type(self)) and h is not self]
