"""Binds the two sockets of a server, if no other process serves at their addresses."""

from __future__ import annotations

from pathlib import Path

import psutil
import zmq

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import AddressInUse, EndpointError
from zmqruntime.transport.process.file_limit import count_reserved, read_file_limit
from zmqruntime.transport.process.ipc_files import IpcFiles, PathInUse
from zmqruntime.transport.server.accepted_sockets import end_accepted
from zmqruntime.transport.server.zap import ZAP_DOMAIN
from zmqruntime.transport.socket_options import configure_tcp

__all__ = ["BoundSockets", "count_read_ahead"]

_LINGER_MS = 1000
# Unread replies of one peer, by number (ZMQ_SNDHWM); further ones are dropped.
_MAX_UNREAD_REPLIES = 100_000
# Bytes of requests that libzmq reads ahead for one peer while the loop is busy. It counts messages
# (ZMQ_RCVHWM), so each is assumed to have the maximum length. The lower bound lets a peer send many
# small ones without a pause.
_MAX_READ_AHEAD_BYTES = 256 * 1024 * 1024
_READ_AHEAD_MESSAGES = (16, 1000)
# Connections in the queue of a listening socket (ZMQ_BACKLOG, 100 by default). The system may allow
# less: net.core.somaxconn (Linux), kern.ipc.somaxconn (macOS).
_BACKLOG = 4096
# The backlog may be accepted in one burst, before any of its connections can be ended.
_BACKLOG_PART = 4
_MAX_SUBSCRIPTION_BYTES = 1024
# So few that libzmq receives subscriptions no faster than the loop reads them: the queue behind
# this one is unbounded, and one peer can fill it with 100,000 before it can be disconnected.
_UNREAD_SUBSCRIPTIONS = 4


class BoundSockets:
    """The bound control and data sockets of one server, with the files of its ipc addresses.

    The context needs a `ZapHandler` before: without one no peer can connect.

    Raises:
        AddressInUse: another process serves there; the message names it if it is known.
        EndpointError: a directory or path cannot be used.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ):
        self.endpoint = endpoint
        self._files: IpcFiles | None = None
        self.control: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.data: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self.control.linger = self.data.linger = _LINGER_MS
        self.control.backlog = self.data.backlog = _choose_backlog()
        self.control.maxmsgsize = config.max_message_bytes
        self.control.rcvhwm = count_read_ahead(config.max_message_bytes)
        self.control.sndhwm = _MAX_UNREAD_REPLIES
        self.control.router_mandatory = True  # Raise for a reply that cannot be sent.
        self.data.maxmsgsize = _MAX_SUBSCRIPTION_BYTES
        self.data.xpub_verboser = True  # Report also equal subscriptions, and the end of each.
        self.data.sndhwm = config.data_high_water_mark
        self.data.rcvhwm = _UNREAD_SUBSCRIPTIONS
        for sock in (self.control, self.data):
            # Without a ZAP domain, a peer without a ZMTP 3 greeting counts as one of ZMTP 1.0, and
            # the body of an HTTP request as messages. Enforced: also without a handler.
            sock.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
            sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        try:
            if endpoint.transport_mode is TransportMode.IPC:
                self._files = IpcFiles(endpoint)
                self._bind_paths(self._files)
            else:
                for sock in (self.control, self.data):
                    configure_tcp(sock, endpoint)
                self._bind(self.data, endpoint.data_address, endpoint.port)
                self._bind(self.control, endpoint.control_address, endpoint.control_port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close both sockets, remove their files, and release the locks."""
        self.control.close()
        self.data.close()
        if self._files is not None:
            self._files.release()

    def end_data_connection(self, descriptor: int) -> bool:
        """Shut down a connection of the data socket, by its descriptor; False: it has ended."""
        is_ipc = self.endpoint.transport_mode is TransportMode.IPC
        local = str(self.endpoint.data_path) if is_ipc else self.endpoint.port
        return end_accepted(descriptor, local)

    def restore(self) -> bool:
        """Restore the socket and lock files; return whether any was removed.

        Raises:
            AddressInUse: another server has taken the address meanwhile.
            EndpointError: the directory cannot be made or used.
        """
        if self._files is None or self._files.are_intact():
            return False
        self._bind_paths(self._files)
        return True

    def _bind_paths(self, files: IpcFiles) -> None:
        """Bind the sockets whose files are missing."""
        # The removed address stays bound: to unbind it, libzmq would remove the new file.
        endpoint = self.endpoint
        try:
            to_bind = files.acquire()
        except PathInUse as error:
            raise _in_use(endpoint, error.port) from None
        if endpoint.data_path in to_bind:
            self._bind(self.data, endpoint.data_address, endpoint.port)
            files.record(endpoint.data_path)
        if endpoint.control_path in to_bind:
            self._bind(self.control, endpoint.control_address, endpoint.control_port)
            files.record(endpoint.control_path)

    def _bind(self, sock: zmq.Socket[bytes], address: str, port: int) -> None:
        try:
            sock.bind(address)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise _in_use(self.endpoint, port) from None
            raise EndpointError(f"{address} cannot be bound: {error}") from None
        if self.endpoint.transport_mode is TransportMode.IPC:
            try:  # libzmq creates the file with the mode of the umask.
                Path(address.removeprefix("ipc://")).chmod(0o600)
            except OSError as error:
                raise EndpointError(f"{address} cannot be made private: {error}") from None


def count_read_ahead(max_message_bytes: int) -> int:
    """Return how many requests libzmq reads ahead for one peer."""
    lower, upper = _READ_AHEAD_MESSAGES
    return max(lower, min(upper, _MAX_READ_AHEAD_BYTES // max_message_bytes))


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
    """Return the process that listens, if the system shows it to this user."""
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
        return None  # The system does not show it to this user.
    return None
