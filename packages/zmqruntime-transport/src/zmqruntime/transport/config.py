"""How a server and its clients find and treat each other; both sides use equal values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["MIN_MESSAGE_BYTES", "TransportMode", "ZMQConfig"]

MIN_MESSAGE_BYTES = 128 * 1024
"""What the protocol's own messages have to fit into, beside a little of the application's."""


class TransportMode(StrEnum):
    """What carries the messages: a socket file of this machine, or TCP."""

    IPC = "ipc"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZMQConfig:
    """The settings of one application's servers and clients. Times are in seconds."""

    default_port: int = 7777
    control_port_offset: int = 1000
    """The control port is the data port plus this."""
    app_name: str = "zmqruntime"
    """The first part of every file name; an application sets its own."""
    runtime_dir: Path | None = None
    """Where socket and lock files live; None: the platform's, per user."""
    log_dir: Path | None = None
    """Where launched servers write their logs; None: the platform's, per user."""
    max_message_bytes: int = 64 * 1024 * 1024
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
    up to 8 of a task that reports fast, when all subscribers take that."""

    def __post_init__(self) -> None:
        if self.max_message_bytes < MIN_MESSAGE_BYTES:
            raise ValueError(
                f"max_message_bytes is {self.max_message_bytes:,}: it has to be at least "
                f"{MIN_MESSAGE_BYTES:,}"
            )
        for name in (
            "connect_timeout",
            "request_timeout",
            "reconnect_timeout",
            "retry_interval",
            "registration_timeout",
        ):
            if not (seconds := getattr(self, name)) > 0:
                raise ValueError(f"{name} is {seconds}: it has to be more than 0 seconds")
