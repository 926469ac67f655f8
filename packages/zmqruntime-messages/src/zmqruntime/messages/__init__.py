"""Messages of the zmqruntime protocol: requests, replies and events as frozen pydantic models.

All that a peer needs to speak the protocol: no ZeroMQ, and no other package of the project. Names
are loaded lazily. What only the sibling packages need is in `zmqruntime.messages.lowlevel`.
"""

import sys as _sys
from typing import TYPE_CHECKING

# The regular package of an unrelated distribution named ``zmqruntime`` hides the namespace that
# these packages share; every import of a sibling would fail with a misleading error.
if getattr(_sys.modules["zmqruntime"], "__file__", None) is not None:
    raise ImportError(
        "zmqruntime-messages cannot be used beside the unrelated distribution 'zmqruntime': "
        f"{_sys.modules['zmqruntime'].__file__} hides the namespace that the zmqruntime-* "
        "packages share. Run 'pip uninstall zmqruntime', then reinstall the zmqruntime-* packages."
    )

from zmqruntime.messages._lazy import attach as _attach
from zmqruntime.messages._version import __version__ as __version__

# The public names are the `__all__` of these submodules; `_NAMES` has them without an import.
if TYPE_CHECKING:
    from zmqruntime.messages.base import *  # noqa: F403
    from zmqruntime.messages.decoding import *  # noqa: F403
    from zmqruntime.messages.encoding import *  # noqa: F403
    from zmqruntime.messages.errors import *  # noqa: F403
    from zmqruntime.messages.escaping import *  # noqa: F403
    from zmqruntime.messages.events import *  # noqa: F403
    from zmqruntime.messages.execute_request import *  # noqa: F403
    from zmqruntime.messages.failures import *  # noqa: F403
    from zmqruntime.messages.json_value import *  # noqa: F403
    from zmqruntime.messages.records import *  # noqa: F403
    from zmqruntime.messages.replies import *  # noqa: F403
    from zmqruntime.messages.requests import *  # noqa: F403
    from zmqruntime.messages.schema import *  # noqa: F403
    from zmqruntime.messages.server_replies import *  # noqa: F403
    from zmqruntime.messages.status import *  # noqa: F403

else:
    _NAMES = {
        "base": (
            "MAX_ALSO",
            "MAX_ATTEMPTS",
            "MAX_BACKOFF_SECONDS",
            "MAX_LIMIT",
            "MAX_LOG_TAIL_BYTES",
            "MAX_PRIORITY",
            "MAX_REQUEST_BYTES",
            "MAX_REQUEST_ID",
            "MAX_WAIT_SECONDS",
            "PROTOCOL_VERSION",
            "ClientId",
            "ExecutionId",
            "Labels",
            "Limit",
            "Timestamp",
        ),
        "status": ("ExecutionStatus", "ProgressScope", "ShutdownMode"),
        "errors": (
            "DecodeError",
            "ErrorCode",
            "FieldFault",
            "MessageError",
            "ProtocolVersionError",
            "ZMQRuntimeError",
        ),
        "json_value": ("MAX_NESTING", "JsonObject", "JsonValue"),
        "requests": (
            "CancelRequest",
            "EventsRequest",
            "Incoming",
            "LogTailRequest",
            "PingRequest",
            "RegisterProgressRequest",
            "Request",
            "ShutdownRequest",
            "StatusRequest",
            "UnregisterProgressRequest",
        ),
        "execute_request": ("ExecuteHead", "ExecuteRequest", "UnparsedExecute"),
        "replies": (
            "AcceptedReply",
            "ExecutionStatusSnapshot",
            "KeptEventsReply",
            "LogReply",
            "Reply",
        ),
        "server_replies": (
            "ApplicationInfo",
            "ErrorDetail",
            "ErrorReply",
            "OkReply",
            "PongReply",
            "ProcessInfo",
            "ShutdownAckReply",
            "WorkerInfo",
        ),
        "records": (
            "AttemptInfo",
            "ExecutionRecord",
            "QueuedExecutionInfo",
            "RunningExecutionInfo",
        ),
        "failures": ("MAX_RESULT_REPR", "ErrorKind", "ExecutionErrorInfo"),
        "events": (
            "ARRAYS_MARK",
            "SEQUENCE_GAP",
            "Event",
            "ProgressEvent",
            "StateEvent",
            "make_topic",
            "make_topic_prefix",
        ),
        "encoding": ("encode",),
        "decoding": (
            "decode_event",
            "decode_events",
            "decode_reply",
            "decode_request",
            "make_error_reply",
        ),
        "schema": ("make_schemas",),
        "escaping": ("printable",),
    }
    __getattr__, __dir__, __all__ = _attach(
        __name__, {f"{__name__}.{module}": names for module, names in _NAMES.items()}
    )
    __all__ += ["__version__"]
