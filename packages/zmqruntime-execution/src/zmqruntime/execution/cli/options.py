"""The options of each command, as data: for both parsers and the reference page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from zmqruntime.transport import ZMQConfig
from zmqruntime.transport.lowlevel import CONNECTION_OPTIONS, SERVER_OPTIONS, CommandOption

__all__ = ["CONNECTION_OPTIONS", "PING_OPTIONS", "SERVE_OPTIONS", "STOP_OPTIONS"]

SERVE_OPTIONS: Final = (
    *SERVER_OPTIONS,
    CommandOption(
        flag="--journal",
        type=Path,
        metavar="FILE",
        default_text="that of the class",
        help="A journal, in which executions outlive the server.",
    ),
    CommandOption(
        flag="--durable", type=bool, default=False, help="Keep a journal in the data directory."
    ),
    CommandOption(
        flag="--no-journal",
        type=bool,
        default=False,
        help="Keep no journal, even if the class names one.",
    ),
)

PING_OPTIONS: Final = (
    *CONNECTION_OPTIONS,
    CommandOption(flag="--json", type=bool, default=False, help="Print the pong as one JSON line."),
    CommandOption(
        flag="--timeout",
        type=float,
        metavar="SECONDS",
        default=ZMQConfig().request_timeout,
        min_value=0,
        help="How long to wait for the reply of a server that listens.",
    ),
)

STOP_OPTIONS: Final = (
    *CONNECTION_OPTIONS,
    CommandOption(
        flag="--now", type=bool, default=False, help="Interrupt running executions as well."
    ),
    CommandOption(
        flag="--timeout",
        type=float,
        metavar="SECONDS",
        default_text="no limit",
        min_value=0,
        help="How long to wait for the server's exit; it stops also after that.",
    ),
)
