"""Taking a server's two addresses, and only when nobody else has them."""

from __future__ import annotations

import itertools
import socket
import stat
import struct
import sys
from pathlib import Path

import filelock
import psutil
import zmq

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import AddressInUse, EndpointError
from zmqruntime.transport.runtime_dir import make_private_dir

__all__ = ["BoundSockets", "configure_tcp", "has_listener", "read_event", "watch"]

_LINGER_MS = 1000
# How many replies may wait for a peer that asks and does not read, before they are dropped.
_MAX_UNREAD_REPLIES = 100_000
_HEARTBEAT_MS = 5000
_MAX_SUBSCRIPTION_BYTES = 1024

# The event, and a value that belongs to it (zmq_socket_monitor(3)).
_EVENT = struct.Struct("=hi")
_monitor_numbers = itertools.count(1)


class BoundSockets:
    """The control and data sockets of one server, bound, and the lock that makes ipc safe.

    Raises:
        AddressInUse: something else serves there; the message names it where that is known.
        EndpointError: the directory or path cannot be used.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ):
        self.endpoint = endpoint
        self._locks: list[filelock.BaseFileLock] = []
        self._paths: list[Path] = []
        self.control: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.data: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.control.linger = self.data.linger = _LINGER_MS
        self.control.maxmsgsize = config.max_message_bytes
        self.control.sndhwm = _MAX_UNREAD_REPLIES
        self.control.router_mandatory = True  # A reply that cannot be sent is told, not lost.
        self.data.maxmsgsize = _MAX_SUBSCRIPTION_BYTES
        self.data.xpub_verboser = True  # Tells of equal subscriptions, and the end of each, too.
        self.data.sndhwm = config.data_high_water_mark
        try:
            if endpoint.transport_mode is TransportMode.IPC:
                self._take_paths()
            else:
                configure_tcp(self.control, endpoint)
                configure_tcp(self.data, endpoint)
            self._bind(self.data, endpoint.data_address, endpoint.port)
            self._bind(self.control, endpoint.control_address, endpoint.control_port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unbind both, remove the socket files, and let others have the addresses."""
        self.control.close()
        self.data.close()
        for path in self._paths:  # libzmq leaves them.
            path.unlink(missing_ok=True)
        for lock in self._locks:
            lock.release()

    def _take_paths(self) -> None:
        # libzmq removes whatever lies at an ipc path before it binds, a live server's socket
        # too. So a lock says who has a port, and its path is used only when nobody listens.
        endpoint = self.endpoint
        make_private_dir(endpoint.directory)
        for path, lock_path, port in zip(
            (endpoint.data_path, endpoint.control_path),
            endpoint.serve_lock_paths,
            (endpoint.port, endpoint.control_port),
            strict=True,
        ):
            lock = filelock.FileLock(lock_path, thread_local=False)
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                raise _in_use(endpoint, port) from None
            self._locks.append(lock)
            if has_listener(path):
                raise _in_use(endpoint, port)
            self._paths.append(path)

    def _bind(self, sock: zmq.Socket[bytes], address: str, port: int) -> None:
        try:
            sock.bind(address)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise _in_use(self.endpoint, port) from None
            raise EndpointError(f"{address} cannot be bound: {error}") from None


def watch(sock: zmq.Socket[bytes], monitor: zmq.Socket[bytes], events: int) -> None:
    """Let ``monitor``, a PAIR that is its opener's to close, hear of ``events`` of ``sock``."""
    address = f"inproc://zmqruntime-monitor-{next(_monitor_numbers)}"
    sock.monitor(address, events)
    monitor.connect(address)


def read_event(monitor: zmq.Socket[bytes]) -> int | None:
    """Return the next event that a monitor has heard of, if there is one."""
    # What `zmq.utils.monitor` does, which imports all of asyncio.
    try:
        number: int = _EVENT.unpack_from(monitor.recv_multipart(zmq.NOBLOCK)[0])[0]
    except zmq.Again:
        return None
    return number


def configure_tcp(sock: zmq.Socket[bytes], endpoint: Endpoint) -> None:
    """Let a TCP socket notice a peer that is gone without a word (ZMTP heartbeats)."""
    if endpoint.transport_mode is TransportMode.TCP:
        sock.ipv6 = endpoint.is_ipv6
        sock.heartbeat_ivl = _HEARTBEAT_MS
        sock.heartbeat_timeout = 3 * _HEARTBEAT_MS


def has_listener(path: Path) -> bool:
    """Whether a process listens on the socket file ``path``.

    Raises:
        EndpointError: something other than a socket is there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise EndpointError(f"{path} is in the way and is no socket: move it, or set runtime_dir")
    if sys.platform == "win32":  # `resolve_endpoint` gives no ipc endpoint there.
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True  # Somebody listens, and is too busy to take one more connection.
        except OSError as error:
            raise EndpointError(f"{path} cannot be looked at: {error}") from None
    return True


def _in_use(endpoint: Endpoint, port: int) -> AddressInUse:
    holder = _find_holder(endpoint, port)
    return AddressInUse(
        f"port {port} ({endpoint.transport_mode}) is held by {holder or 'another process'}: "
        "stop it, or choose another port"
    )


def _find_holder(endpoint: Endpoint, port: int) -> str | None:
    """Name the process that listens, as far as the system tells this user."""
    is_ipc = endpoint.transport_mode is TransportMode.IPC
    path = str(endpoint.data_path if port == endpoint.port else endpoint.control_path)
    try:
        for connection in psutil.net_connections("unix" if is_ipc else "tcp"):
            if is_ipc:
                found = str(connection.laddr) == path
            else:
                found = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if found and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f"process {connection.pid} ({name})"
    except psutil.Error:
        return None  # Not ours to know; the address is in use all the same.
    return None
