"""The settings of a server and its clients; both sides use equal values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zmqruntime.transport.validation import check_directory, check_file_name, check_number

__all__ = ["MAX_PORT", "MIN_MESSAGE_BYTES", "TransportMode", "ZMQConfig"]

MIN_MESSAGE_BYTES = 128 * 1024
"""The smallest ``max_message_bytes``: enough for the protocol's own messages."""

MAX_PORT = 65535
# Part of a pong: larger integers are not exact in every JSON reader (RFC 8259, section 6).
_MAX_MESSAGE_BYTES = 2**53 - 1
# libzmq counts in 32 bits, and a subscriber keeps five times as many.
_MAX_HIGH_WATER_MARK = (2**31 - 1) // 5
# No reply can be expected sooner, and each attempt opens a socket.
_MIN_RETRY_INTERVAL = 0.001


class TransportMode(StrEnum):
    """The transport: socket files of this machine, or TCP."""

    IPC = "ipc"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZMQConfig:
    """The settings of one application's servers and clients. Times are in seconds.

    Raises:
        TypeError: a setting is of another type.
        ValueError: a setting is out of range, or no name of a file or directory.
    """

    default_port: int = 7777
    control_port_offset: int = 1000
    """The control port is the data port plus this."""
    app_name: str = "zmqruntime"
    """The first part of every file name; set one for each application."""
    runtime_dir: Path | None = None
    """The directory of socket and lock files; None: the platform's, for each user."""
    log_dir: Path | None = None
    """The directory of the logs of launched servers; None: the platform's."""
    max_message_bytes: int = 16 * 1024 * 1024
    """The length of one message: of a request with its task, or a reply with its result. The server
    ends the connection of a peer that sends a longer one."""
    connect_timeout: float = 30.0
    """The timeout of `connect`: for a server to reply, or to start and get ready."""
    request_timeout: float = 10.0
    """The default timeout of a request, with all its attempts."""
    reconnect_timeout: float = 60.0
    """How long a wait without a timeout waits for a lost server to return."""
    retry_interval: float = 2.5
    """The timeout of one attempt; the next one uses a fresh socket."""
    registration_timeout: float = 2.0
    """How long a registration waits for its subscription in the server."""
    data_high_water_mark: int = 20_000
    """The messages with events that the server queues for one slow subscriber; further ones are
    dropped. The subscriber queues five times as many. A message has one event, or up to 8 of a
    task that reports fast if all subscribers accept arrays. 0: no bound."""
    max_unread_bytes: int = 256 * 1024 * 1024
    """The bytes of unread replies that a server keeps for all peers. The bounds of one peer, and of
    events of 16 KiB and more, are a quarter of it; one message may exceed them."""

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
