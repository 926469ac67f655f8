"""The pytest plugin: fixtures that cost nothing until a test asks for one.

pytest loads this in every run, so that everything is imported inside the fixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zmqruntime.testing import ClientFactory, ServerFactory, TaskEnvironment
    from zmqruntime.transport import ZMQConfig

__all__ = ["execution_client", "execution_server", "task_environment", "zmq_config"]


@pytest.fixture
def zmq_config(tmp_path: Path) -> Iterator[ZMQConfig]:
    """A configuration of this test's own: a private, short runtime directory and a port."""
    from zmqruntime.testing.endpoint import isolated_config

    with isolated_config(log_dir=tmp_path / "zmqruntime-log") as config:
        yield config


@pytest.fixture
def execution_server(zmq_config: ZMQConfig) -> Iterator[ServerFactory]:
    """Start servers in this process: ``execution_server(MyServer, max_queued=3)``."""
    from zmqruntime.testing.errors import LeftRunning
    from zmqruntime.testing.servers import ServerFactory

    factory = ServerFactory(zmq_config)
    yield factory
    try:
        factory.close()
    except LeftRunning as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def execution_client(
    zmq_config: ZMQConfig, execution_server: ServerFactory
) -> Iterator[ClientFactory]:
    """Connect clients: ``execution_client(server, progress_callback=events.append)``."""
    # It asks for the servers, used or not, so that clients leave before their servers end.
    from zmqruntime.testing.clients import ClientFactory
    from zmqruntime.testing.errors import LeftRunning

    factory = ClientFactory(zmq_config)
    yield factory
    try:
        factory.close()
    except LeftRunning as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def task_environment() -> type[TaskEnvironment]:
    """Run tasks with no server: ``task_environment(MyServer()).run({"tiles": []})``."""
    from zmqruntime.testing.task_environment import TaskEnvironment

    return TaskEnvironment
