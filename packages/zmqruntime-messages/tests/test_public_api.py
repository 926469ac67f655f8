"""Public names, lazy loading, and the shared namespace."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from types import ModuleType

import pytest

from zmqruntime import messages
from zmqruntime.messages import lowlevel

LAZY = "zmqruntime.messages._lazy"
PUBLIC: list[str] = vars(messages)["__all__"]  # Type checkers see the names, not the list.
LOWLEVEL: list[str] = vars(lowlevel)["__all__"]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_public_names_are_these() -> None:
    # Removing one is a breaking change: list it in the changelog.
    assert sorted(PUBLIC) == [
        "ARRAYS_MARK",
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
        "MessageError",
        "OkReply",
        "PROTOCOL_VERSION",
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
        "SEQUENCE_GAP",
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
        "decode_event",
        "decode_events",
        "decode_reply",
        "decode_request",
        "encode",
        "make_error_reply",
        "make_schemas",
        "make_topic",
        "make_topic_prefix",
        "printable",
    ]


def test_lowlevel_names_are_these() -> None:
    assert sorted(LOWLEVEL) == [
        "Outgoing",
        "PreparedRequest",
        "decode_errors",
        "decode_json",
        "encode_json",
        "encode_with_id",
        "find_body_fault",
        "prepare",
        "split_request",
    ]


@pytest.mark.parametrize(
    ("module", "names"), [(messages, PUBLIC), (lowlevel, LOWLEVEL)], ids=["messages", "lowlevel"]
)
def test_names_for_type_checkers_are_those_at_runtime(module: ModuleType, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module in (None, "typing", LAZY):
            continue
        home = importlib.import_module(node.module)
        for alias in node.names:
            seen |= dict.fromkeys(home.__all__ if alias.name == "*" else [alias.name], node.module)

    assert set(seen) == set(names)
    for name, home_name in seen.items():
        assert getattr(module, name) is getattr(importlib.import_module(home_name), name)


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        messages.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_dir_lists_every_public_name_without_loading_a_model() -> None:
    done = run_python("import sys, zmqruntime.messages as m; print(*dir(m), *sys.modules)")
    assert set(PUBLIC) <= set(done.stdout.split())
    assert "pydantic" not in done.stdout.split()


def test_worker_names_load_no_other_request_and_no_reply() -> None:
    names = "ExecuteRequest, ExecutionErrorInfo, encode"
    done = run_python(f"import sys; from zmqruntime.messages import {names}; print(*sys.modules)")
    loaded = set(done.stdout.split())
    assert not {f"zmqruntime.messages.{name}" for name in ("requests", "replies")} & loaded


def test_message_errors_share_one_root() -> None:
    assert issubclass(messages.DecodeError, messages.MessageError)
    assert issubclass(messages.ProtocolVersionError, messages.MessageError)
    assert issubclass(messages.MessageError, messages.ZMQRuntimeError)
    assert not issubclass(messages.ProtocolVersionError, messages.DecodeError)


def test_import_loads_no_socket_library_and_no_sibling_package() -> None:
    done = run_python("import sys, zmqruntime.messages; print(*sys.modules, sep='\\n')")
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("zmqruntime.")}
    assert ours == {"messages"}
    assert not {"zmq", "psutil", "filelock", "platformdirs"} & set(loaded)


def test_import_beside_a_regular_package_zmqruntime_raises(
    tmp_path: Path,
) -> None:
    intruder = tmp_path / "zmqruntime" / "__init__.py"
    copytree(messages.__path__[0], intruder.parent / "messages")
    intruder.write_text("")
    done = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import zmqruntime.messages"
    )
    sentence = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert sentence.startswith("ImportError: zmqruntime-messages cannot be used beside")
    assert str(intruder) in sentence
    assert "pip uninstall zmqruntime" in sentence


def test_import_from_the_same_copy_without_the_regular_package_succeeds(tmp_path: Path) -> None:
    copytree(messages.__path__[0], tmp_path / "zmqruntime" / "messages")
    done = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import zmqruntime.messages as m;"
        " print(m.__file__)"
    )
    assert done.stdout.startswith(str(tmp_path)), done.stderr


def test_namespace_has_no_regular_package() -> None:
    assert not (Path(messages.__path__[0]).parent / "__init__.py").exists()


def test_package_is_marked_as_typed() -> None:
    assert (Path(messages.__path__[0]) / "py.typed").exists()
