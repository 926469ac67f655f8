"""What can go wrong between two processes.

ZMQRuntimeError
    TransportError
        EndpointError          an address that cannot be used: too long, not private, no port
            AddressInUse       something else holds it
            UnsafePath         another user could write there (also a PermissionError)
        ConnectionFailed       no server could be reached
            LaunchFailed       one was started and did not come up
            ServerMismatch     it is not the one that the launcher would start
        RequestTimeout         the server did not answer in time (also a TimeoutError)
        ServerLost             the server that was connected to is gone
        NotConnected           the client is not connected, or no longer
        MessageTooLarge        longer than the peer takes
        TooManyOpenFiles       this process has as many open as it may
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
    """The port or path is held by something else, which is left alone."""


class UnsafePath(EndpointError, PermissionError):
    """A file or directory that another user has put there, or could; it was left as it is.

    The message names the path, what is wrong with it and the remedy.
    """


class ConnectionFailed(TransportError):
    """No server could be reached at the endpoint."""


class LaunchFailed(ConnectionFailed):
    """A server was started and ended, or did not get ready.

    ``exit_code`` is negative for a signal, as in `subprocess`, and None when the process
    still ran; ``log_tail`` is the end of what it wrote.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, log_tail: str = "") -> None:
        super().__init__(f"{message}\n{log_tail}" if log_tail else message)
        self.exit_code = exit_code
        self.log_tail = log_tail


class ServerMismatch(ConnectionFailed):
    """The server at the endpoint is not the one that the client's launcher would start.

    ``expected`` is what the launcher would start, ``found`` what the server says that it runs.
    """

    def __init__(
        self, message: str, *, expected: ExpectedApplication, found: ApplicationInfo
    ) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class RequestTimeout(TransportError, TimeoutError):
    """The server did not answer within the caller's time; the request may have been done."""


class ServerLost(TransportError):
    """The server that this client was connected to is gone.

    What happened to its executions is not known: this never means that one was cancelled.
    ``exit_code`` is known when this process launched the server.
    """

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotConnected(TransportError):
    """The client was not connected, or was disconnected while it waited."""


class MessageTooLarge(TransportError):
    """The message is longer than the server takes; nothing was sent."""


class TooManyOpenFiles(TransportError):
    """This process has as many files or sockets open as it may; the message names the limit.

    Each call that waits for its reply has a connection of its own, of four files.
    """
