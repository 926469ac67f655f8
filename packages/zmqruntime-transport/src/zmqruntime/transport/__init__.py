"""Servers on a data and a control socket, and clients that attach to one or launch it.

Each name is imported when it is first used, so that a worker process, whose start is waited for,
loads only what it needs.
"""

import importlib
from typing import TYPE_CHECKING

from zmqruntime.transport._version import __version__ as __version__

if TYPE_CHECKING:
    from zmqruntime.transport.application import ExpectedApplication as ExpectedApplication
    from zmqruntime.transport.client.client import ZMQClient as ZMQClient
    from zmqruntime.transport.client.mismatch import MismatchPolicy as MismatchPolicy
    from zmqruntime.transport.client.mismatch import ServerMismatchWarning as ServerMismatchWarning
    from zmqruntime.transport.client.subscriber import Subscriber as Subscriber
    from zmqruntime.transport.config import TransportMode as TransportMode
    from zmqruntime.transport.config import ZMQConfig as ZMQConfig
    from zmqruntime.transport.endpoint import Endpoint as Endpoint
    from zmqruntime.transport.envelope import Caller as Caller
    from zmqruntime.transport.errors import AddressInUse as AddressInUse
    from zmqruntime.transport.errors import ConnectionFailed as ConnectionFailed
    from zmqruntime.transport.errors import EndpointError as EndpointError
    from zmqruntime.transport.errors import LaunchFailed as LaunchFailed
    from zmqruntime.transport.errors import MessageTooLarge as MessageTooLarge
    from zmqruntime.transport.errors import NotConnected as NotConnected
    from zmqruntime.transport.errors import RequestTimeout as RequestTimeout
    from zmqruntime.transport.errors import ServerLost as ServerLost
    from zmqruntime.transport.errors import ServerMismatch as ServerMismatch
    from zmqruntime.transport.errors import TooManyOpenFiles as TooManyOpenFiles
    from zmqruntime.transport.errors import TransportError as TransportError
    from zmqruntime.transport.errors import UnsafePath as UnsafePath
    from zmqruntime.transport.loop import Loop as Loop
    from zmqruntime.transport.loop import Timer as Timer
    from zmqruntime.transport.process.identity import ProcessIdentity as ProcessIdentity
    from zmqruntime.transport.process.launcher import LaunchedServer as LaunchedServer
    from zmqruntime.transport.process.launcher import ServerLauncher as ServerLauncher
    from zmqruntime.transport.process.launcher import SubprocessLauncher as SubprocessLauncher
    from zmqruntime.transport.process.logfile import RecordFormatter as RecordFormatter
    from zmqruntime.transport.process.server_arguments import ServerArguments as ServerArguments
    from zmqruntime.transport.process.server_arguments import ServerOptions as ServerOptions
    from zmqruntime.transport.server.pongs import WorkSummary as WorkSummary
    from zmqruntime.transport.server.server import ZMQServer as ZMQServer
    from zmqruntime.transport.server.session import ServerSession as ServerSession

# The names of each module; the imports above repeat them for type checkers.
_HOMES = {
    "application": ("ExpectedApplication",),
    "client.client": ("ZMQClient",),
    "client.mismatch": ("MismatchPolicy", "ServerMismatchWarning"),
    "client.subscriber": ("Subscriber",),
    "config": ("TransportMode", "ZMQConfig"),
    "endpoint": ("Endpoint",),
    "envelope": ("Caller",),
    "errors": (
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
    ),
    "loop": ("Loop", "Timer"),
    "process.identity": ("ProcessIdentity",),
    "process.launcher": ("LaunchedServer", "ServerLauncher", "SubprocessLauncher"),
    "process.logfile": ("RecordFormatter",),
    "process.server_arguments": ("ServerArguments", "ServerOptions"),
    "server.pongs": ("WorkSummary",),
    "server.server": ("ZMQServer",),
    "server.session": ("ServerSession",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(["__version__", *_MODULES])


if not TYPE_CHECKING:  # Else a type checker would accept every name.

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"zmqruntime.transport.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
