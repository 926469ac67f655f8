"""The standard tasks of servers and fakes."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.execution import ExecuteRequest, ExecutionFailed
from zmqruntime.messages import ErrorKind
from zmqruntime.testing import (
    ClientFactory,
    FakeServerFactory,
    RecordedProgress,
    Script,
    TaskEnvironment,
    conformance,
    contracts,
)
from zmqruntime.testing.standard_tasks import StandardServer, standard_script


@pytest.mark.parametrize(
    ("task", "script"),
    [
        ({"do": "echo", "value": [1]}, Script().complete([1])),
        ({"do": "fail", "message": "no"}, Script().fail("no")),
        ({"do": "spin"}, Script().never_end()),
        ({"do": "count", "events": 0}, Script().complete(0)),
        ({"do": "count", "events": 2}, Script().progress(1, 2).progress(2, 2).complete(2)),
    ],
)
def test_standard_tasks_have_scripts(task: Any, script: Script) -> None:
    assert standard_script(ExecuteRequest(task=task, client_id="c")) == script


def test_unknown_task_fails_with_the_list_of_tasks() -> None:
    (step,) = standard_script(ExecuteRequest(task={"do": "dance"}, client_id="c")).steps
    assert "echo" in str(step)
    assert ErrorKind.EXCEPTION in str(step)


@pytest.mark.parametrize(
    "task",
    [
        {"do": "echo", "value": {"ä": [1, None]}},
        {"do": "fail", "message": "no disk"},
        {"do": "count", "events": 3},
        {"do": "dance"},
        {"do": "count", "events": "three"},
    ],
    ids=str,
)
def test_fake_and_server_run_the_standard_tasks_alike(
    task: Any,
    fake_execution_server: FakeServerFactory,
    execution_client: ClientFactory,
    recorded_progress: RecordedProgress,
) -> None:
    environment = TaskEnvironment(StandardServer())
    fake = fake_execution_server(in_memory=True)
    fake.always(standard_script)
    client = execution_client(fake, progress_callback=recorded_progress)

    def what_comes_of(run: Any) -> Any:
        try:
            return run(task)
        except (RuntimeError, ValueError) as error:
            return type(error).__name__, str(error)
        except ExecutionFailed as failed:
            info = failed.record.error
            return info and (info.type, info.message)

    assert what_comes_of(client.execute) == what_comes_of(environment.run)
    seen, expected = recorded_progress.progress, environment.progress
    assert [(e.phase, e.completed, e.total) for e in seen] == [
        (e.phase, e.completed, e.total) for e in expected
    ]


def test_standard_server_is_one_class() -> None:
    assert contracts.StandardServer is StandardServer
    assert conformance.StandardServer is StandardServer
