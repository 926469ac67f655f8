"""Restores the socket and lock files of a running server after their removal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.limited_log import LimitedLog
from zmqruntime.transport.loop import Loop

__all__ = ["FileCheck"]

_DELAY_SECONDS = 1.0


class FileCheck:
    """Checks the files a second after activity, so that an idle server does not wake up.

    No system notifies portably of a removed file.

    Args:
        loop: the server's.
        endpoint: the server's, for the log.
        restore: restores the files; raises EndpointError or OSError if it cannot.
        log: takes the errors.
    """

    def __init__(
        self, loop: Loop, endpoint: Endpoint, restore: Callable[[], None], log: LimitedLog
    ) -> None:
        self.scheduled = False
        """Whether a check is due; to be read before `schedule`, which schedules one more."""
        self._loop = loop
        self._endpoint = endpoint
        self._restore = restore
        self._log = log

    def schedule(self) -> None:
        """Check the files in a second. To be called when the server does something."""
        self.scheduled = True
        self._loop.call_at(time.monotonic() + _DELAY_SECONDS, self._check)

    def _check(self) -> None:
        self.scheduled = False
        try:
            self._restore()
        except (EndpointError, OSError) as error:
            self._log.log(
                logging.ERROR,
                "lost files",
                "new clients cannot reach %s: its files were removed and cannot be restored: %s",
                self._endpoint,
                error,
            )
