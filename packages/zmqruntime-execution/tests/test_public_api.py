"""Public and low-level names of the package, and what importing it loads."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from zmqruntime import execution
from zmqruntime.execution import lowlevel
from zmqruntime.messages import ZMQRuntimeError

_NAMES = [
    "BatchHooks",
    "BatchResult",
    "BatchSubmitWaitEngine",
    "CommitFailed",
    "Conflict",
    "ExecuteRequest",
    "Execution",
    "ExecutionCancelled",
    "ExecutionClient",
    "ExecutionContext",
    "ExecutionError",
    "ExecutionFailed",
    "ExecutionHandle",
    "ExecutionServer",
    "ExecutionServerLauncher",
    "ExecutionStatusPoller",
    "ExecutionWaiter",
    "HistoryLimits",
    "IllegalTransition",
    "InMemoryLifecycleEngine",
    "JournalError",
    "JournalInUse",
    "JournalLifecycleEngine",
    "JournalUnavailable",
    "JournalUnusable",
    "LifecycleEngine",
    "ProgressCallback",
    "ProgressReport",
    "ProgressReported",
    "ProgressReporter",
    "ProgressStreamSubscriber",
    "QueueFull",
    "QueuePage",
    "QueuePolicy",
    "RecordClient",
    "RequestRejected",
    "RestartPolicy",
    "ResultDropped",
    "RetryPolicy",
    "RunnerEvent",
    "RunnerHost",
    "ShuttingDown",
    "TaskCancelled",
    "TaskRaised",
    "TaskReturned",
    "TaskRunner",
    "TaskStopped",
    "UnknownExecution",
    "UnpicklableServer",
    "WaitPolicy",
    "WaitTimeout",
    "WorkerExited",
    "WorkerFailed",
    "WorkerReady",
    "to_json_value",
]

_LOWLEVEL_NAMES = [
    "Dispatcher",
    "ExecutionEvent",
    "ExecutionSession",
    "Interrupt",
    "ReportLink",
    "Scheduler",
    "StateChange",
    "Transport",
    "WorkerProcessRunner",
    "compose_event",
    "compose_messages",
    "run_task",
]


def test_public_names_are_these() -> None:
    # Removing one breaks applications.
    assert execution.__all__ == ["__version__", *_NAMES]


def test_lowlevel_names_are_these_and_not_public() -> None:
    assert lowlevel.__all__ == _LOWLEVEL_NAMES
    assert not {*_LOWLEVEL_NAMES} & {*_NAMES}


@pytest.mark.parametrize("module", [execution, lowlevel])
def test_lazy_names_are_those_that_type_checkers_see(module: ModuleType) -> None:
    tree = ast.parse(Path(module.__file__ or "").read_text())
    imported = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and "zmqruntime" in node.module
        for alias in node.names
    }
    assert set(imported) == set(module.__all__)
    for name, source in imported.items():
        assert getattr(module, name) is getattr(importlib.import_module(source), name)


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ExecutionServent'"):
        _ = execution.ExecutionServent  # type: ignore[attr-defined]


def test_every_error_is_an_execution_error() -> None:
    public = [getattr(execution, name) for name in _NAMES]
    errors = [e for e in public if isinstance(e, type) and issubclass(e, BaseException)]
    others = {error for error in errors if not issubclass(error, execution.ExecutionError)}
    assert others == {execution.TaskCancelled}
    assert issubclass(execution.ExecutionError, ZMQRuntimeError)


def test_server_lost_is_not_an_execution_error() -> None:
    from zmqruntime.transport import ServerLost

    assert not issubclass(ServerLost, execution.ExecutionError)


def test_import_loads_neither_the_command_line_nor_testing() -> None:
    code = "import sys; from zmqruntime.execution import *; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert not {"typer", "rich", "pytest"} & set(loaded)
    ours = {name.split(".")[1] for name in loaded if name.startswith("zmqruntime.")}
    assert ours == {"messages", "transport", "execution"}
    assert not [name for name in loaded if name.split(".")[2:3] == ["cli"]]


def test_zmqruntime_is_a_namespace_package() -> None:
    assert not (Path(execution.__path__[0]).parent / "__init__.py").exists()


def test_package_has_a_typing_marker() -> None:
    assert (Path(execution.__path__[0]) / "py.typed").exists()
