"""The server under test: its addresses, and the settings of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from zmqruntime.messages import ShutdownMode, ZMQRuntimeError

__all__ = ["Settings", "Target", "TargetError"]

_OFFSET = 1000

# The parts before, of and after the port.
_TCP = re.compile(r"(tcp://(?:\[[^\]]+\]|[^:/\s]+):)(\d+)()")
_IPC = re.compile(r"(ipc://.+-)(\d+)(\.sock)")


class TargetError(ZMQRuntimeError):
    """An address is invalid; the message shows the format."""


@dataclass(frozen=True, slots=True)
class Target:
    """The addresses of one server."""

    data: str
    """The data address, for events."""
    control: str
    """The control address, for requests."""

    @classmethod
    def parse(cls, data: str, control: str | None = None) -> Self:
        """Return the target with this data address.

        Args:
            data: such as ``tcp://127.0.0.1:7777`` or ``ipc:///run/user/1000/x/app-7777.sock``.
            control: None for the port 1000 higher.

        Raises:
            TargetError: an address is invalid, or the control address cannot be derived.
        """
        if control is not None:
            if not all(address.startswith(("tcp://", "ipc://")) for address in (data, control)):
                raise TargetError(
                    f"invalid address {data} or {control}: use tcp:// or ipc:// addresses"
                )
            return cls(data, control)
        for form in (_TCP, _IPC):
            if parts := form.fullmatch(data):
                return cls(data, f"{parts[1]}{int(parts[2]) + _OFFSET}{parts[3]}")
        raise TargetError(
            f"invalid data address {data!r}: use a form such as tcp://127.0.0.1:7777 or "
            "ipc:///directory/app-7777.sock, or pass --control as well"
        )

    @property
    def is_ipc(self) -> bool:
        """Whether the transport is ipc."""
        return self.data.startswith("ipc://")

    @property
    def ports(self) -> tuple[int | None, int | None]:
        """The data port and the control port; None where an address has no port."""
        data, control = (
            int(parts[2]) if (parts := _TCP.fullmatch(a) or _IPC.fullmatch(a)) else None
            for a in (self.data, self.control)
        )
        return data, control


@dataclass(frozen=True, slots=True)
class Settings:
    """The server under test, and its limits."""

    target: Target
    patience: float = 10.0
    """Timeout of each reply and event, in seconds."""
    slots: int = 1
    """Number of tasks that the server runs in parallel."""
    ending: ShutdownMode | None = None
    """The mode of the final shutdown; None for no shutdown."""
    max_queued: int | None = None
    """Queue limit of the server; None if unknown."""
    history_limit: int | None = None
    """Number of read records that the server keeps; None if unknown."""
