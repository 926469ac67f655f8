"""Where the server under test is: two addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from zmqruntime.messages import ZMQRuntimeError

__all__ = ["Target", "TargetError"]

_OFFSET = 1000

# What stands before the port, the port, what stands behind it.
_TCP = re.compile(r"(tcp://(?:\[[^\]]+\]|[^:/\s]+):)(\d+)()")
_IPC = re.compile(r"(ipc://.+-)(\d+)(\.sock)")


class TargetError(ZMQRuntimeError):
    """An address is not one of a server; the message says how to write it."""


@dataclass(frozen=True, slots=True)
class Target:
    """The addresses of one server."""

    data: str
    """Where it publishes."""
    control: str
    """Where it answers."""

    @classmethod
    def parse(cls, data: str, control: str | None = None) -> Self:
        """Return the target with this data address.

        Args:
            data: such as ``tcp://127.0.0.1:7777`` or ``ipc:///run/user/1000/x/app-7777.sock``.
            control: None for the port 1000 higher.

        Raises:
            TargetError: an address is none, or the control address does not follow from it.
        """
        if control is not None:
            if not all(address.startswith(("tcp://", "ipc://")) for address in (data, control)):
                raise TargetError(f"{data} and {control}: an address begins with tcp:// or ipc://")
            return cls(data, control)
        for form in (_TCP, _IPC):
            if parts := form.fullmatch(data):
                return cls(data, f"{parts[1]}{int(parts[2]) + _OFFSET}{parts[3]}")
        raise TargetError(
            f"{data} is no data address such as tcp://127.0.0.1:7777 or "
            "ipc:///directory/app-7777.sock: correct it, or give --control as well"
        )

    @property
    def is_ipc(self) -> bool:
        """Whether the server is reached by a socket file of this machine."""
        return self.data.startswith("ipc://")

    @property
    def ports(self) -> tuple[int | None, int | None]:
        """The data port and the control port, as far as the addresses tell."""
        data, control = (
            int(parts[2]) if (parts := _TCP.fullmatch(a) or _IPC.fullmatch(a)) else None
            for a in (self.data, self.control)
        )
        return data, control
