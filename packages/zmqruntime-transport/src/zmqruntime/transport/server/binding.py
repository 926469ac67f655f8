"""Taking a server's two addresses, and only when nobody else has them."""

from __future__ import annotations

from pathlib import Path

import psutil
import zmq

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import AddressInUse, EndpointError
from zmqruntime.transport.process.file_limit import count_reserved, read_file_limit
from zmqruntime.transport.process.held_paths import HeldPaths, PathInUse
from zmqruntime.transport.server.accepted_sockets import end_accepted
from zmqruntime.transport.server.zap import ZAP_DOMAIN
from zmqruntime.transport.socket_options import configure_tcp

__all__ = ["BoundSockets", "count_read_ahead"]

_LINGER_MS = 1000
# How many replies may wait for a peer that asks and does not read, before they are dropped.
_MAX_UNREAD_REPLIES = 100_000
# How many bytes of requests libzmq may read ahead for one peer while the loop is busy. It counts
# messages (ZMQ_RCVHWM), so each of them is taken to be as long as it may be; with too few of them
# a peer that sends many small ones has to wait for each of its turns.
_MAX_READ_AHEAD_BYTES = 256 * 1024 * 1024
_READ_AHEAD_MESSAGES = (16, 1000)
# How many connections may wait to be accepted; libzmq's default is 100 (ZMQ_BACKLOG). The system
# takes less where it allows less: net.core.somaxconn (Linux), kern.ipc.somaxconn (macOS).
_BACKLOG = 4096
# What waits may be accepted at once, before the newest connections are ended again.
_BACKLOG_PART = 4
_MAX_SUBSCRIPTION_BYTES = 1024
# So few that libzmq receives subscriptions no faster than the loop reads them: its queue behind
# this has no bound, and 100,000 of one peer were in it before the peer could be disconnected.
_UNREAD_SUBSCRIPTIONS = 4


class BoundSockets:
    """The control and data sockets of one server, bound, and the lock that makes ipc safe.

    The context has a ZAP handler (`ZapHandler`) already: without one nothing can connect.

    Raises:
        AddressInUse: something else serves there; the message names it where that is known.
        EndpointError: the directory or path cannot be used.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ):
        self.endpoint = endpoint
        self._held: HeldPaths | None = None
        self.control: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.data: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.control.linger = self.data.linger = _LINGER_MS
        self.control.backlog = self.data.backlog = _choose_backlog()
        self.control.maxmsgsize = config.max_message_bytes
        self.control.rcvhwm = count_read_ahead(config.max_message_bytes)
        self.control.sndhwm = _MAX_UNREAD_REPLIES
        self.control.router_mandatory = True  # A reply that cannot be sent is told, not lost.
        self.data.maxmsgsize = _MAX_SUBSCRIPTION_BYTES
        self.data.xpub_verboser = True  # Tells of equal subscriptions, and the end of each, too.
        self.data.sndhwm = config.data_high_water_mark
        self.data.rcvhwm = _UNREAD_SUBSCRIPTIONS
        for sock in (self.control, self.data):
            # Else a peer that sends no ZMTP 3 greeting is taken for one of ZMTP 1.0, and the body
            # of an HTTP request for messages. Enforced, it holds without a handler as well.
            sock.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        try:
            if endpoint.transport_mode is TransportMode.IPC:
                self._held = HeldPaths(endpoint)
                self._bind_paths(self._held)
            else:
                for sock in (self.control, self.data):
                    configure_tcp(sock, endpoint)
                self._bind(self.data, endpoint.data_address, endpoint.port)
                self._bind(self.control, endpoint.control_address, endpoint.control_port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unbind both, remove the socket files, and let others have the addresses."""
        self.control.close()
        self.data.close()
        if self._held is not None:
            self._held.release()

    def end_data_connection(self, descriptor: int) -> bool:
        """Shut a connection of the data socket down, by its descriptor; False: it has ended."""
        is_ipc = self.endpoint.transport_mode is TransportMode.IPC
        local = str(self.endpoint.data_path) if is_ipc else self.endpoint.port
        return end_accepted(descriptor, local)

    def restore(self) -> bool:
        """Make the socket and lock files anew, if one of them was removed; say if one was.

        Raises:
            AddressInUse: another server has taken the address meanwhile.
            EndpointError: the directory cannot be made, or used.
        """
        if self._held is None or self._held.are_there():
            return False
        self._bind_paths(self._held)
        return True

    def _bind_paths(self, held: HeldPaths) -> None:
        """Bind what is not bound. A socket that was, by a name that is gone, stays so as well."""
        # It is not unbound: libzmq would remove the file a moment later, perhaps the new one.
        endpoint = self.endpoint
        try:
            to_bind = held.take()
        except PathInUse as error:
            raise _in_use(endpoint, error.port) from None
        if endpoint.data_path in to_bind:
            self._bind(self.data, endpoint.data_address, endpoint.port)
            held.note(endpoint.data_path)
        if endpoint.control_path in to_bind:
            self._bind(self.control, endpoint.control_address, endpoint.control_port)
            held.note(endpoint.control_path)

    def _bind(self, sock: zmq.Socket[bytes], address: str, port: int) -> None:
        try:
            sock.bind(address)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise _in_use(self.endpoint, port) from None
            raise EndpointError(f"{address} cannot be bound: {error}") from None
        if self.endpoint.transport_mode is TransportMode.IPC:
            try:  # libzmq has made its file with the mode that the umask left.
                Path(address.removeprefix("ipc://")).chmod(0o600)
            except OSError as error:
                raise EndpointError(f"{address} cannot be made private: {error}") from None


def count_read_ahead(max_message_bytes: int) -> int:
    """Return how many requests of one peer may wait in libzmq, unread."""
    fewest, most = _READ_AHEAD_MESSAGES
    return max(fewest, min(most, _MAX_READ_AHEAD_BYTES // max_message_bytes))


def _choose_backlog() -> int:
    limit = read_file_limit()
    return _BACKLOG if limit is None else min(_BACKLOG, count_reserved(limit) // _BACKLOG_PART)


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
