"""What the package promises to those who import it."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from zmqruntime import execution
from zmqruntime.messages import ZMQRuntimeError

_NAMES = [
    "BatchHooks",
    "BatchResult",
    "BatchSubmitWaitEngine",
    "CommitFailed",
    "Conflict",
    "Dispatcher",
    "ExecuteRequest",
    "Execution",
    "ExecutionCancelled",
    "ExecutionClient",
    "ExecutionContext",
    "ExecutionError",
    "ExecutionEvent",
    "ExecutionFailed",
    "ExecutionHandle",
    "ExecutionServer",
    "ExecutionServerLauncher",
    "ExecutionSession",
    "ExecutionStatusPoller",
    "ExecutionWaiter",
    "HistoryLimits",
    "IllegalTransition",
    "InMemoryLifecycleEngine",
    "Interrupt",
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
    "ReportLink",
    "RequestRejected",
    "RestartPolicy",
    "ResultDropped",
    "RetryPolicy",
    "RunnerEvent",
    "RunnerHost",
    "Scheduler",
    "ShuttingDown",
    "StateChange",
    "TaskCancelled",
    "TaskRaised",
    "TaskReturned",
    "TaskRunner",
    "TaskStopped",
    "Transport",
    "UnknownExecution",
    "UnpicklableServer",
    "WaitPolicy",
    "WaitTimeout",
    "WorkerExited",
    "WorkerFailed",
    "WorkerProcessRunner",
    "WorkerReady",
    "__version__",
    "compose_event",
    "compose_messages",
    "run_task",
    "to_json_value",
]

_ALIASES = {"ExecutionEvent", "ProgressCallback", "RunnerEvent", "__version__"}


def test_the_public_names_are_these() -> None:
    # A name taken from here breaks somebody's code: it is a change for the changelog.
    assert sorted(execution.__all__) == _NAMES


def test_nothing_public_is_left_out_of_the_list() -> None:
    homes = ast.parse(Path(execution.__file__ or "").read_text())
    imported = {
        alias.name: node.module
        for node in ast.walk(homes)
        if isinstance(node, ast.ImportFrom) and node.module and "zmqruntime" in node.module
        for alias in node.names
    }
    assert set(imported) == set(_NAMES)
    # What type checkers see is what there is.
    for name, module in imported.items():
        assert getattr(execution, name) is getattr(importlib.import_module(module), name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ExecutionServent'"):
        _ = execution.ExecutionServent  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(set(_NAMES) - _ALIASES))
def test_every_public_name_is_documented(name: str) -> None:
    assert len(getattr(execution, name).__doc__ or "") > 20


def public_methods() -> list[str]:
    return [
        f"{owner}.{name}"
        for owner in sorted(set(_NAMES) - _ALIASES)
        if inspect.isclass(getattr(execution, owner))
        for name, member in vars(getattr(execution, owner)).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    ]


@pytest.mark.parametrize("path", public_methods())
def test_every_public_method_is_documented_where_it_is_declared(path: str) -> None:
    owner, name = path.split(".")
    assert inspect.getdoc(getattr(getattr(execution, owner), name))


@pytest.mark.parametrize(
    "name",
    [
        "Conflict",
        "ExecutionCancelled",
        "ExecutionFailed",
        "IllegalTransition",
        "QueueFull",
        "RequestRejected",
        "ShuttingDown",
        "UnknownExecution",
        "UnpicklableServer",
        "WaitTimeout",
        "WorkerFailed",
    ],
)
def test_the_errors_are_one_family(name: str) -> None:
    assert issubclass(getattr(execution, name), execution.ExecutionError)
    assert issubclass(execution.ExecutionError, ZMQRuntimeError)


def test_a_lost_server_is_no_cancelled_execution() -> None:
    from zmqruntime.transport import ServerLost

    assert not issubclass(ServerLost, execution.ExecutionError)


def test_importing_it_brings_neither_the_command_line_nor_the_tests_along() -> None:
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


def test_there_is_no_regular_package_in_the_namespace() -> None:
    assert not (Path(execution.__path__[0]).parent / "__init__.py").exists()


def test_type_checkers_are_told_that_it_is_typed() -> None:
    assert (Path(execution.__path__[0]) / "py.typed").exists()
