"""The message contract of zmqruntime: every message as a frozen, typed value.

This package is all that a peer needs to speak the protocol: it imports neither ZeroMQ nor
any other part of the project.
"""

import sys as _sys

# An unrelated distribution named ``zmqruntime`` ships a regular package that takes over the
# namespace these packages share; what follows would break in ways nobody could explain.
if getattr(_sys.modules["zmqruntime"], "__file__", None) is not None:
    raise ImportError(
        "zmqruntime-messages cannot be used beside the unrelated distribution 'zmqruntime': "
        f"{_sys.modules['zmqruntime'].__file__} hides the namespace that the zmqruntime-* "
        "packages share. Run 'pip uninstall zmqruntime', then reinstall the zmqruntime-* packages."
    )

from zmqruntime.messages._version import __version__
from zmqruntime.messages.base import (
    MAX_ATTEMPTS,
    MAX_BACKOFF_SECONDS,
    MAX_LIMIT,
    MAX_LOG_TAIL_BYTES,
    MAX_PRIORITY,
    MAX_WAIT_SECONDS,
    PROTOCOL_VERSION,
    ClientId,
    ExecutionId,
    Labels,
    Limit,
    Timestamp,
)
from zmqruntime.messages.codec import (
    decode_event,
    decode_json,
    decode_reply,
    decode_request,
    encode,
    encode_json,
    encode_with_id,
    explain,
    make_error_reply,
)
from zmqruntime.messages.errors import (
    DecodeError,
    ErrorCode,
    FieldFault,
    MessageError,
    ProtocolVersionError,
    ZMQRuntimeError,
)
from zmqruntime.messages.events import (
    Event,
    ProgressEvent,
    StateEvent,
    make_topic,
    make_topic_prefix,
)
from zmqruntime.messages.failures import (
    ErrorKind,
    ExecutionErrorInfo,
)
from zmqruntime.messages.json_value import MAX_NESTING, JsonObject, JsonValue
from zmqruntime.messages.records import (
    AttemptInfo,
    ExecutionRecord,
    ProcessInfo,
    QueuedExecutionInfo,
    RunningExecutionInfo,
    WorkerInfo,
)
from zmqruntime.messages.requests import (
    CancelRequest,
    EventsRequest,
    ExecuteRequest,
    LogTailRequest,
    PingRequest,
    RegisterProgressRequest,
    Request,
    ShutdownRequest,
    StatusRequest,
    UnregisterProgressRequest,
)
from zmqruntime.messages.responses import (
    AcceptedReply,
    ErrorDetail,
    ErrorReply,
    ExecutionStatusSnapshot,
    KeptEventsReply,
    LogReply,
    OkReply,
    PongReply,
    Reply,
    ShutdownAckReply,
)
from zmqruntime.messages.schema import (
    make_schemas,
)
from zmqruntime.messages.status import (
    ExecutionStatus,
    ProgressScope,
    ShutdownMode,
)

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_BACKOFF_SECONDS",
    "MAX_LIMIT",
    "MAX_LOG_TAIL_BYTES",
    "MAX_NESTING",
    "MAX_PRIORITY",
    "MAX_WAIT_SECONDS",
    "PROTOCOL_VERSION",
    "AcceptedReply",
    "AttemptInfo",
    "CancelRequest",
    "ClientId",
    "DecodeError",
    "ErrorCode",
    "ErrorDetail",
    "ErrorKind",
    "ErrorReply",
    "Event",
    "EventsRequest",
    "ExecuteRequest",
    "ExecutionErrorInfo",
    "ExecutionId",
    "ExecutionRecord",
    "ExecutionStatus",
    "ExecutionStatusSnapshot",
    "FieldFault",
    "JsonObject",
    "JsonValue",
    "KeptEventsReply",
    "Labels",
    "Limit",
    "LogReply",
    "LogTailRequest",
    "MessageError",
    "OkReply",
    "PingRequest",
    "PongReply",
    "ProcessInfo",
    "ProgressEvent",
    "ProgressScope",
    "ProtocolVersionError",
    "QueuedExecutionInfo",
    "RegisterProgressRequest",
    "Reply",
    "Request",
    "RunningExecutionInfo",
    "ShutdownAckReply",
    "ShutdownMode",
    "ShutdownRequest",
    "StateEvent",
    "StatusRequest",
    "Timestamp",
    "UnregisterProgressRequest",
    "WorkerInfo",
    "ZMQRuntimeError",
    "__version__",
    "decode_event",
    "decode_json",
    "decode_reply",
    "decode_request",
    "encode",
    "encode_json",
    "encode_with_id",
    "explain",
    "make_error_reply",
    "make_schemas",
    "make_topic",
    "make_topic_prefix",
]
