"""How a server and its clients find and treat each other; both sides use equal values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zmqruntime.transport.validation import check_directory, check_file_name, check_number

__all__ = ["MAX_PORT", "MIN_MESSAGE_BYTES", "TransportMode", "ZMQConfig"]

MIN_MESSAGE_BYTES = 128 * 1024
"""What the protocol's own messages have to fit into, beside a little of the application's."""

MAX_PORT = 65535
# libzmq counts in 64 bits; a client reads it in a pong, and not every JSON reader takes more than
# these exactly (RFC 8259, section 6).
_MAX_MESSAGE_BYTES = 2**53 - 1
# libzmq counts in 32 bits, and a subscriber keeps five times as many.
_MAX_HIGH_WATER_MARK = (2**31 - 1) // 5
# Sooner than that no reply can be expected, and each try is a socket of its own.
_MIN_RETRY_INTERVAL = 0.001


class TransportMode(StrEnum):
    """What carries the messages: a socket file of this machine, or TCP."""

    IPC = "ipc"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZMQConfig:
    """The settings of one application's servers and clients. Times are in seconds.

    Raises:
        TypeError: a setting is of another kind.
        ValueError: a setting is out of its range, or no name of a file or directory.
    """

    default_port: int = 7777
    control_port_offset: int = 1000
    """The control port is the data port plus this."""
    app_name: str = "zmqruntime"
    """The first part of every file name; an application sets its own."""
    runtime_dir: Path | None = None
    """Where socket and lock files live; None: the platform's, per user. A string will do."""
    log_dir: Path | None = None
    """Where launched servers write their logs; None: the platform's. A string will do."""
    max_message_bytes: int = 16 * 1024 * 1024
    """How long one message may be, so a request with its task, or a reply with a result. The
    server drops the connection of a peer that sends a longer one."""
    connect_timeout: float = 30.0
    """How long to wait for a server to answer, or to start and get ready."""
    request_timeout: float = 10.0
    """How long a request may take, all its tries together, when the caller sets no time."""
    reconnect_timeout: float = 60.0
    """How long who waits without a deadline of its own waits for a lost server to be back."""
    retry_interval: float = 2.5
    """How long one try waits for its reply before it is repeated on a fresh socket."""
    registration_timeout: float = 2.0
    """How long a server waits to see the subscription that a client registers."""
    data_high_water_mark: int = 20_000
    """How many messages with events may wait in the server for one slow subscriber, before further
    ones are dropped; on the subscriber's own side five times as many. A message has one event, or
    up to 8 of a task that reports fast, when all subscribers take that. 0: however many, as long
    as there is memory."""
    max_unread_bytes: int = 256 * 1024 * 1024
    """How much of its replies a server keeps for peers that have not read them, of all peers. One
    peer may leave a quarter of it unread, and one message; events of 16 KiB and more a quarter."""

    def __post_init__(self) -> None:
        max_offset = MAX_PORT - 1
        check_number("default_port", self.default_port, ge=1, le=MAX_PORT, whole=True)
        check_number(
            "control_port_offset",
            self.control_port_offset,
            ge=-max_offset,
            le=max_offset,
            whole=True,
        )
        check_file_name("app_name", self.app_name)
        for name in ("runtime_dir", "log_dir"):
            object.__setattr__(self, name, check_directory(name, getattr(self, name)))
        check_number(
            "max_message_bytes",
            self.max_message_bytes,
            ge=MIN_MESSAGE_BYTES,
            le=_MAX_MESSAGE_BYTES,
            whole=True,
        )
        for name in (
            "connect_timeout",
            "request_timeout",
            "reconnect_timeout",
            "registration_timeout",
        ):
            check_number(name, getattr(self, name), gt=0)
        check_number("retry_interval", self.retry_interval, ge=_MIN_RETRY_INTERVAL)
        check_number(
            "data_high_water_mark",
            self.data_high_water_mark,
            ge=0,
            le=_MAX_HIGH_WATER_MARK,
            whole=True,
        )
        check_number("max_unread_bytes", self.max_unread_bytes, ge=MIN_MESSAGE_BYTES, whole=True)
