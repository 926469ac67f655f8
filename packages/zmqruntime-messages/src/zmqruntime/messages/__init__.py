"""The message contract of zmqruntime: every message as a frozen, typed value.

This package is all that a peer needs to speak the protocol: it imports neither ZeroMQ nor
any other part of the project. A name is loaded when it is first asked for: a server's and a
worker's start are waited for, and neither needs all of them.
"""

import importlib
import sys as _sys
from typing import TYPE_CHECKING

# An unrelated distribution named ``zmqruntime`` ships a regular package that takes over the
# namespace these packages share; what follows would break in ways nobody could explain.
if getattr(_sys.modules["zmqruntime"], "__file__", None) is not None:
    raise ImportError(
        "zmqruntime-messages cannot be used beside the unrelated distribution 'zmqruntime': "
        f"{_sys.modules['zmqruntime'].__file__} hides the namespace that the zmqruntime-* "
        "packages share. Run 'pip uninstall zmqruntime', then reinstall the zmqruntime-* packages."
    )

from zmqruntime.messages._version import __version__

if TYPE_CHECKING:
    from zmqruntime.messages.base import (
        MAX_ALSO,
        MAX_ATTEMPTS,
        MAX_BACKOFF_SECONDS,
        MAX_LIMIT,
        MAX_LOG_TAIL_BYTES,
        MAX_PRIORITY,
        MAX_REQUEST_BYTES,
        MAX_REQUEST_ID,
        MAX_WAIT_SECONDS,
        PROTOCOL_VERSION,
        ClientId,
        ExecutionId,
        Labels,
        Limit,
        Timestamp,
    )
    from zmqruntime.messages.decoding import (
        decode_errors,
        decode_event,
        decode_events,
        decode_json,
        decode_reply,
        decode_request,
        make_error_reply,
    )
    from zmqruntime.messages.encoding import (
        PreparedRequest,
        encode,
        encode_json,
        encode_with_id,
        prepare,
    )
    from zmqruntime.messages.errors import (
        DecodeError,
        ErrorCode,
        FieldFault,
        MessageError,
        ProtocolVersionError,
        ZMQRuntimeError,
    )
    from zmqruntime.messages.escaping import (
        printable,
    )
    from zmqruntime.messages.events import (
        ARRAYS_MARK,
        SEQUENCE_GAP,
        Event,
        ProgressEvent,
        StateEvent,
        make_topic,
        make_topic_prefix,
    )
    from zmqruntime.messages.execute_request import (
        ExecuteHead,
        ExecuteRequest,
        UnparsedExecute,
    )
    from zmqruntime.messages.failures import (
        MAX_RESULT_REPR,
        ErrorKind,
        ExecutionErrorInfo,
    )
    from zmqruntime.messages.json_value import (
        MAX_NESTING,
        JsonObject,
        JsonValue,
    )
    from zmqruntime.messages.long_requests import (
        find_body_fault,
        split_request,
    )
    from zmqruntime.messages.records import (
        AttemptInfo,
        ExecutionRecord,
        QueuedExecutionInfo,
        RunningExecutionInfo,
    )
    from zmqruntime.messages.replies import (
        AcceptedReply,
        ExecutionStatusSnapshot,
        KeptEventsReply,
        LogReply,
        Reply,
    )
    from zmqruntime.messages.requests import (
        CancelRequest,
        EventsRequest,
        Incoming,
        LogTailRequest,
        Outgoing,
        PingRequest,
        RegisterProgressRequest,
        Request,
        ShutdownRequest,
        StatusRequest,
        UnregisterProgressRequest,
    )
    from zmqruntime.messages.schema import (
        make_schemas,
    )
    from zmqruntime.messages.server_replies import (
        ApplicationInfo,
        ErrorDetail,
        ErrorReply,
        OkReply,
        PongReply,
        ProcessInfo,
        ShutdownAckReply,
        WorkerInfo,
    )
    from zmqruntime.messages.status import (
        ExecutionStatus,
        ProgressScope,
        ShutdownMode,
    )

__all__ = [
    "ARRAYS_MARK",
    "MAX_ALSO",
    "MAX_ATTEMPTS",
    "MAX_BACKOFF_SECONDS",
    "MAX_LIMIT",
    "MAX_LOG_TAIL_BYTES",
    "MAX_NESTING",
    "MAX_PRIORITY",
    "MAX_REQUEST_BYTES",
    "MAX_REQUEST_ID",
    "MAX_RESULT_REPR",
    "MAX_WAIT_SECONDS",
    "PROTOCOL_VERSION",
    "SEQUENCE_GAP",
    "AcceptedReply",
    "ApplicationInfo",
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
    "ExecuteHead",
    "ExecuteRequest",
    "ExecutionErrorInfo",
    "ExecutionId",
    "ExecutionRecord",
    "ExecutionStatus",
    "ExecutionStatusSnapshot",
    "FieldFault",
    "Incoming",
    "JsonObject",
    "JsonValue",
    "KeptEventsReply",
    "Labels",
    "Limit",
    "LogReply",
    "LogTailRequest",
    "MessageError",
    "OkReply",
    "Outgoing",
    "PingRequest",
    "PongReply",
    "PreparedRequest",
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
    "UnparsedExecute",
    "UnregisterProgressRequest",
    "WorkerInfo",
    "ZMQRuntimeError",
    "__version__",
    "decode_errors",
    "decode_event",
    "decode_events",
    "decode_json",
    "decode_reply",
    "decode_request",
    "encode",
    "encode_json",
    "encode_with_id",
    "find_body_fault",
    "make_error_reply",
    "make_schemas",
    "make_topic",
    "make_topic_prefix",
    "prepare",
    "printable",
    "split_request",
]

_HOMES = {
    "ARRAYS_MARK": "events",
    "MAX_ALSO": "base",
    "MAX_ATTEMPTS": "base",
    "MAX_BACKOFF_SECONDS": "base",
    "MAX_LIMIT": "base",
    "MAX_LOG_TAIL_BYTES": "base",
    "MAX_NESTING": "json_value",
    "MAX_PRIORITY": "base",
    "MAX_REQUEST_BYTES": "base",
    "MAX_REQUEST_ID": "base",
    "MAX_RESULT_REPR": "failures",
    "MAX_WAIT_SECONDS": "base",
    "PROTOCOL_VERSION": "base",
    "SEQUENCE_GAP": "events",
    "AcceptedReply": "replies",
    "ApplicationInfo": "server_replies",
    "AttemptInfo": "records",
    "CancelRequest": "requests",
    "ClientId": "base",
    "DecodeError": "errors",
    "ErrorCode": "errors",
    "ErrorDetail": "server_replies",
    "ErrorKind": "failures",
    "ErrorReply": "server_replies",
    "Event": "events",
    "EventsRequest": "requests",
    "ExecuteHead": "execute_request",
    "ExecuteRequest": "execute_request",
    "ExecutionErrorInfo": "failures",
    "ExecutionId": "base",
    "ExecutionRecord": "records",
    "ExecutionStatus": "status",
    "ExecutionStatusSnapshot": "replies",
    "FieldFault": "errors",
    "Incoming": "requests",
    "JsonObject": "json_value",
    "JsonValue": "json_value",
    "KeptEventsReply": "replies",
    "Labels": "base",
    "Limit": "base",
    "LogReply": "replies",
    "LogTailRequest": "requests",
    "MessageError": "errors",
    "OkReply": "server_replies",
    "Outgoing": "requests",
    "PingRequest": "requests",
    "PongReply": "server_replies",
    "PreparedRequest": "encoding",
    "ProcessInfo": "server_replies",
    "ProgressEvent": "events",
    "ProgressScope": "status",
    "ProtocolVersionError": "errors",
    "QueuedExecutionInfo": "records",
    "RegisterProgressRequest": "requests",
    "Reply": "replies",
    "Request": "requests",
    "RunningExecutionInfo": "records",
    "ShutdownAckReply": "server_replies",
    "ShutdownMode": "status",
    "ShutdownRequest": "requests",
    "StateEvent": "events",
    "StatusRequest": "requests",
    "Timestamp": "base",
    "UnparsedExecute": "execute_request",
    "UnregisterProgressRequest": "requests",
    "WorkerInfo": "server_replies",
    "ZMQRuntimeError": "errors",
    "decode_event": "decoding",
    "decode_events": "decoding",
    "decode_json": "decoding",
    "decode_reply": "decoding",
    "decode_request": "decoding",
    "encode": "encoding",
    "encode_json": "encoding",
    "encode_with_id": "encoding",
    "decode_errors": "decoding",
    "find_body_fault": "long_requests",
    "make_error_reply": "decoding",
    "make_schemas": "schema",
    "make_topic": "events",
    "make_topic_prefix": "events",
    "prepare": "encoding",
    "printable": "escaping",
    "split_request": "long_requests",
}

if not TYPE_CHECKING:  # To a type checker, any name would do.

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
