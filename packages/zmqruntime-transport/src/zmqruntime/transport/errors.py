"""The errors of transport.

ZMQRuntimeError
    TransportError
        EndpointError          an address is invalid or cannot be used
            AddressInUse       another process holds it
            UnsafePath         another user could write there (also a PermissionError)
        ConnectionFailed       no server was reached
            LaunchFailed       a launched server ended, or did not get ready
            ServerMismatch     it is not the server that the launcher would start
        RequestTimeout         no reply within the timeout (also a TimeoutError)
        ServerLost             the connected server has ended
        NotConnected           the client is not connected, or was disconnected
        MessageTooLarge        the message is longer than the server accepts
        TooManyOpenFiles       the process is at its limit of open files
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqruntime.messages import ZMQRuntimeError

if TYPE_CHECKING:
    from zmqruntime.messages import ApplicationInfo
    from zmqruntime.transport.application import ExpectedApplication

__all__ = [
    "AddressInUse",
    "ConnectionFailed",
    "EndpointError",
    "LaunchFailed",
    "MessageTooLarge",
    "NotConnected",
    "RequestTimeout",
    "ServerLost",
    "ServerMismatch",
    "TooManyOpenFiles",
    "TransportError",
    "UnsafePath",
]


class TransportError(ZMQRuntimeError):
    """A peer could not be reached, or was lost."""


class EndpointError(TransportError):
    """An endpoint that cannot be used; the message names the path or port and the remedy."""


class AddressInUse(EndpointError):
    """Another process holds the port or path; it is not ended."""


class UnsafePath(EndpointError, PermissionError):
    """A file or directory that another user has created or could replace; it was not changed.

    The message names the path, what is wrong with it and the remedy.
    """


class ConnectionFailed(TransportError):
    """No server was reached at the endpoint."""


class LaunchFailed(ConnectionFailed):
    """A launched server ended, or did not get ready.

    ``exit_code`` is negative for a signal, as in `subprocess`, and None while the process runs;
    ``log_tail`` is the end of its log.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, log_tail: str = "") -> None:
        super().__init__(f"{message}\n{log_tail}" if log_tail else message)
        self.exit_code = exit_code
        self.log_tail = log_tail


class ServerMismatch(ConnectionFailed):
    """The server at the endpoint is not the one that the client's launcher would start.

    ``expected`` is the launcher's application, ``found`` the one of the server's pong.
    """

    def __init__(
        self, message: str, *, expected: ExpectedApplication, found: ApplicationInfo
    ) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class RequestTimeout(TransportError, TimeoutError):
    """No reply arrived within the timeout; the request may have been performed."""


class ServerLost(TransportError):
    """The server that this client was connected to has ended.

    The state of its executions is unknown; none was cancelled. ``exit_code`` is known if this
    process launched the server.
    """

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotConnected(TransportError):
    """The client was not connected, or was disconnected while it waited."""


class MessageTooLarge(TransportError):
    """The message is longer than the server accepts; it was not sent."""


class TooManyOpenFiles(TransportError):
    """This process is at its limit of open files or sockets; the message names it.

    Each call that waits for its reply has a connection of its own, of four files.
    """
