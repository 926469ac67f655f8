"""Sockets and processes: a server that answers, and a client that finds or starts it.

A name is loaded when it is first asked for: a worker, whose start is waited for, needs few.
"""

import importlib
from typing import TYPE_CHECKING

from zmqruntime.transport._version import __version__

if TYPE_CHECKING:
    from zmqruntime.transport.application import (
        ExpectedApplication,
        name_class,
    )
    from zmqruntime.transport.client.client import (
        ZMQClient,
    )
    from zmqruntime.transport.client.mismatch import (
        MismatchPolicy,
        ServerMismatchWarning,
    )
    from zmqruntime.transport.client.subscriber import (
        Subscriber,
    )
    from zmqruntime.transport.config import (
        TransportMode,
        ZMQConfig,
    )
    from zmqruntime.transport.deadline import (
        Deadline,
    )
    from zmqruntime.transport.endpoint import (
        Endpoint,
    )
    from zmqruntime.transport.envelope import (
        Caller,
    )
    from zmqruntime.transport.errors import (
        AddressInUse,
        ConnectionFailed,
        EndpointError,
        LaunchFailed,
        MessageTooLarge,
        NotConnected,
        RequestTimeout,
        ServerLost,
        ServerMismatch,
        TooManyOpenFiles,
        TransportError,
        UnsafePath,
    )
    from zmqruntime.transport.loop import (
        Loop,
        Timer,
    )
    from zmqruntime.transport.multipart import drain
    from zmqruntime.transport.process.identity import (
        ProcessIdentity,
        describe_exit,
    )
    from zmqruntime.transport.process.launcher import (
        LaunchedServer,
        ServerLauncher,
        SubprocessLauncher,
    )
    from zmqruntime.transport.process.logfile import (
        RecordFormatter,
    )
    from zmqruntime.transport.process.process_tree import kill_process_tree
    from zmqruntime.transport.process.runtime_dir import (
        default_log_dir,
        make_private_dir,
    )
    from zmqruntime.transport.process.server_arguments import (
        ServerArguments,
        ServerOptions,
    )
    from zmqruntime.transport.process.source_digest import (
        compute_origin_digest,
        compute_source_digest,
        find_source,
    )
    from zmqruntime.transport.server.pongs import WorkSummary
    from zmqruntime.transport.server.server import (
        ZMQServer,
    )
    from zmqruntime.transport.server.session import (
        ServerSession,
    )
    from zmqruntime.transport.validation import check_number, check_type, parse_choice

__all__ = [
    "AddressInUse",
    "Caller",
    "ConnectionFailed",
    "Deadline",
    "Endpoint",
    "EndpointError",
    "ExpectedApplication",
    "LaunchFailed",
    "LaunchedServer",
    "Loop",
    "MessageTooLarge",
    "MismatchPolicy",
    "NotConnected",
    "ProcessIdentity",
    "RecordFormatter",
    "RequestTimeout",
    "ServerArguments",
    "ServerLauncher",
    "ServerLost",
    "ServerMismatch",
    "ServerMismatchWarning",
    "ServerOptions",
    "ServerSession",
    "SubprocessLauncher",
    "Subscriber",
    "Timer",
    "TooManyOpenFiles",
    "TransportError",
    "TransportMode",
    "UnsafePath",
    "WorkSummary",
    "ZMQClient",
    "ZMQConfig",
    "ZMQServer",
    "__version__",
    "check_number",
    "check_type",
    "compute_origin_digest",
    "compute_source_digest",
    "default_log_dir",
    "describe_exit",
    "drain",
    "find_source",
    "kill_process_tree",
    "make_private_dir",
    "name_class",
    "parse_choice",
]

_HOMES = {
    "AddressInUse": "errors",
    "Caller": "envelope",
    "ConnectionFailed": "errors",
    "Deadline": "deadline",
    "Endpoint": "endpoint",
    "EndpointError": "errors",
    "ExpectedApplication": "application",
    "LaunchFailed": "errors",
    "LaunchedServer": "process.launcher",
    "Loop": "loop",
    "MessageTooLarge": "errors",
    "MismatchPolicy": "client.mismatch",
    "NotConnected": "errors",
    "ProcessIdentity": "process.identity",
    "RecordFormatter": "process.logfile",
    "RequestTimeout": "errors",
    "ServerArguments": "process.server_arguments",
    "ServerLauncher": "process.launcher",
    "ServerLost": "errors",
    "ServerMismatch": "errors",
    "ServerMismatchWarning": "client.mismatch",
    "ServerOptions": "process.server_arguments",
    "ServerSession": "server.session",
    "SubprocessLauncher": "process.launcher",
    "Subscriber": "client.subscriber",
    "Timer": "loop",
    "TooManyOpenFiles": "errors",
    "TransportError": "errors",
    "TransportMode": "config",
    "UnsafePath": "errors",
    "WorkSummary": "server.pongs",
    "ZMQClient": "client.client",
    "ZMQConfig": "config",
    "ZMQServer": "server.server",
    "check_type": "validation",
    "check_number": "validation",
    "parse_choice": "validation",
    "compute_origin_digest": "process.source_digest",
    "compute_source_digest": "process.source_digest",
    "default_log_dir": "process.runtime_dir",
    "describe_exit": "process.identity",
    "drain": "multipart",
    "find_source": "process.source_digest",
    "kill_process_tree": "process.process_tree",
    "make_private_dir": "process.runtime_dir",
    "name_class": "application",
}

if not TYPE_CHECKING:  # To a type checker, any name would do.

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
