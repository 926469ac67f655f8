"""Sockets and processes: a server that answers, and a client that finds or starts it."""

from zmqruntime.transport._version import __version__
from zmqruntime.transport.arguments import (
    ServerArguments,
)
from zmqruntime.transport.client import (
    ZMQClient,
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
    TransportError,
)
from zmqruntime.transport.frames import drain, send_frames
from zmqruntime.transport.launcher import (
    LaunchedServer,
    ServerLauncher,
    SubprocessLauncher,
)
from zmqruntime.transport.loop import (
    Loop,
    Timer,
)
from zmqruntime.transport.process import (
    ProcessIdentity,
    describe_exit,
    kill_process_tree,
)
from zmqruntime.transport.runtime_dir import (
    default_log_dir,
    make_private_dir,
)
from zmqruntime.transport.server import (
    ZMQServer,
)
from zmqruntime.transport.session import (
    ServerSession,
)
from zmqruntime.transport.subscriber import (
    Subscriber,
)

__all__ = [
    "AddressInUse",
    "Caller",
    "ConnectionFailed",
    "Deadline",
    "Endpoint",
    "EndpointError",
    "LaunchFailed",
    "LaunchedServer",
    "Loop",
    "MessageTooLarge",
    "NotConnected",
    "ProcessIdentity",
    "RequestTimeout",
    "ServerArguments",
    "ServerLauncher",
    "ServerLost",
    "ServerSession",
    "SubprocessLauncher",
    "Subscriber",
    "Timer",
    "TransportError",
    "TransportMode",
    "ZMQClient",
    "ZMQConfig",
    "ZMQServer",
    "__version__",
    "default_log_dir",
    "describe_exit",
    "drain",
    "kill_process_tree",
    "make_private_dir",
    "send_frames",
]
