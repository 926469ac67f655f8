"""What the package promises to those who import it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from shutil import copytree

import pytest

from zmqruntime import messages

SOURCES = sorted(Path(messages.__path__[0]).glob("*.py"))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_public_names_are_these() -> None:
    # A name taken from here breaks somebody's code: it is a change for the changelog.
    assert sorted(messages.__all__) == [
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
        "Outgoing",
        "PROTOCOL_VERSION",
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


def test_nothing_public_is_left_out_of_the_list() -> None:
    homes = ast.parse(Path(messages.__file__ or "").read_text("utf-8"))
    imported = {
        alias.name: node.module
        for node in ast.walk(homes)
        if isinstance(node, ast.ImportFrom) and node.module and "zmqruntime" in node.module
        for alias in node.names
    }
    assert set(imported) == set(messages.__all__)
    # What type checkers see is what there is.
    for name, module in imported.items():
        assert getattr(messages, name) is getattr(importlib.import_module(module), name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        messages.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_a_name_can_be_completed_before_it_is_loaded() -> None:
    done = run_python("import sys, zmqruntime.messages as m; print(*dir(m), *sys.modules)")
    assert set(messages.__all__) <= set(done.stdout.split())
    assert "pydantic" not in done.stdout.split()


def test_a_worker_loads_the_request_that_it_runs_and_no_other() -> None:
    names = "ExecuteRequest, ExecutionErrorInfo, encode, encode_json"
    done = run_python(f"import sys; from zmqruntime.messages import {names}; print(*sys.modules)")
    loaded = set(done.stdout.split())
    assert not {f"zmqruntime.messages.{name}" for name in ("requests", "replies")} & loaded


def documented_assignments() -> set[str]:
    """Return the names that the package assigns and describes in a string right below."""
    names = set()
    trees = [ast.parse(source.read_text("utf-8")) for source in SOURCES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    blocks = [getattr(node, name, None) for node in nodes for name in ("body", "orelse")]
    for block in blocks:
        for pair in pairwise(block if isinstance(block, list) else []):
            match pair:
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str())),
                ):
                    names.add(name)
    return names


@pytest.mark.parametrize("name", sorted(set(messages.__all__) - {"__version__"}))
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(messages, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
        assert len(value.__doc__) > 20
    else:
        assert name in documented_assignments()


def test_the_errors_are_one_family() -> None:
    assert issubclass(messages.DecodeError, messages.MessageError)
    assert issubclass(messages.ProtocolVersionError, messages.MessageError)
    assert issubclass(messages.MessageError, messages.ZMQRuntimeError)
    assert not issubclass(messages.ProtocolVersionError, messages.DecodeError)


def test_importing_it_imports_no_socket_library_and_nothing_above_it() -> None:
    done = run_python("import sys, zmqruntime.messages; print(*sys.modules, sep='\\n')")
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("zmqruntime.")}
    assert ours == {"messages"}
    assert not {"zmq", "psutil", "filelock", "platformdirs"} & set(loaded)


def test_it_refuses_to_share_its_namespace_with_a_package_that_takes_it_over(
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


def test_the_same_package_without_the_intruder_can_be_imported(tmp_path: Path) -> None:
    copytree(messages.__path__[0], tmp_path / "zmqruntime" / "messages")
    done = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import zmqruntime.messages as m;"
        " print(m.__file__)"
    )
    assert done.stdout.startswith(str(tmp_path)), done.stderr


def test_there_is_no_regular_package_in_the_namespace() -> None:
    assert not (Path(messages.__path__[0]).parent / "__init__.py").exists()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_source_knows_no_application(source: Path) -> None:
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", source.read_text("utf-8"))}
    assert not words & {"plate", "plates", "well", "wells", "pipeline", "pipelines", "viewer"}


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert (Path(messages.__path__[0]) / "py.typed").exists()
