"""The endpoint of a server: two addresses that derive from one port."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from zmqruntime.transport.config import MAX_PORT, TransportMode
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.validation import check_file_name

__all__ = ["LOOPBACK", "Endpoint", "ipc_path_limit", "parse_address"]

LOOPBACK = "127.0.0.1"


def ipc_path_limit(platform: str = sys.platform) -> int:
    """Return the maximum length of a socket path in bytes (``sun_path`` without its NUL)."""
    return 103 if platform == "darwin" else 107


def parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host as an IP address; None: it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The addresses of one server: data on ``port``, control on ``port + offset``.

    Raises:
        EndpointError: a port is out of range, or a socket path is too long.
    """

    port: int
    transport_mode: TransportMode
    host: str = LOOPBACK
    control_port_offset: int = 1000
    directory: Path = Path()
    """The directory of socket files (ipc) and, for both transports, of lock files."""
    app_name: str = "zmqruntime"

    def __post_init__(self) -> None:
        for name, port in (("port", self.port), ("control port", self.control_port)):
            if not 0 < port <= MAX_PORT:
                raise EndpointError(
                    f"{name} {port} is out of range: choose a port from 1 to {MAX_PORT}, "
                    f"also with control_port_offset {self.control_port_offset} added"
                )
        if self.control_port_offset == 0:
            raise EndpointError("control_port_offset must not be 0: two channels, two ports")
        try:
            check_file_name("app_name", self.app_name)
        except ValueError as error:
            raise EndpointError(str(error)) from None
        if self.transport_mode is TransportMode.IPC:
            limit = ipc_path_limit()
            for path in (self.data_path, self.control_path):
                size = len(os.fsencode(path))
                if size > limit:
                    raise EndpointError(
                        f"the socket path {path} is {size} bytes long and this system takes "
                        f"{limit}: set ZMQConfig(runtime_dir=...) to a shorter directory, "
                        "or a shorter app_name"
                    )

    @property
    def control_port(self) -> int:
        """The port of the control channel."""
        return self.port + self.control_port_offset

    @property
    def data_path(self) -> Path:
        """The socket file of the data channel (ipc)."""
        return self.directory / f"{self.app_name}-{self.port}.sock"

    @property
    def control_path(self) -> Path:
        """The socket file of the control channel (ipc)."""
        return self.directory / f"{self.app_name}-{self.control_port}.sock"

    @property
    def serve_lock_paths(self) -> tuple[Path, Path]:
        """The locks, one for each port, that a server holds while it runs (ipc)."""
        ports = (self.port, self.control_port)
        first, second = (self.directory / f"{self.app_name}-{port}.serve.lock" for port in ports)
        return first, second

    @property
    def launch_lock_path(self) -> Path:
        """The lock that a client holds while it launches a server."""
        return self.directory / f"{self.app_name}-{self.port}.launch.lock"

    @property
    def data_address(self) -> str:
        """The address of the data socket."""
        return self._address(self.data_path, self.port)

    @property
    def control_address(self) -> str:
        """The address of the control socket."""
        return self._address(self.control_path, self.control_port)

    @property
    def is_local(self) -> bool:
        """Whether the server is surely on this machine, so that its pid is valid here."""
        if self.transport_mode is TransportMode.IPC or self.host == "localhost":
            return True
        address = parse_address(self.host)
        return address is not None and address.is_loopback

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    def _address(self, path: Path, port: int) -> str:
        if self.transport_mode is TransportMode.IPC:
            return f"ipc://{path}"
        return f"tcp://[{self.host}]:{port}" if self.is_ipv6 else f"tcp://{self.host}:{port}"

    def __str__(self) -> str:
        return f"port {self.port} ({self.control_address})"
