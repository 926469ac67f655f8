"""The pytest plugin: fixtures that cost nothing until a test asks for one.

pytest loads this in every run, so that everything is imported inside the fixtures.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from zmqruntime.testing import (
        ClientFactory,
        FakeServerFactory,
        FaultProxy,
        RecordedProgress,
        ServerFactory,
        TaskEnvironment,
    )
    from zmqruntime.testing.teardown import Teardown
    from zmqruntime.transport import ZMQConfig

__all__ = [
    "execution_client",
    "execution_server",
    "fake_execution_server",
    "fault_proxy",
    "recorded_progress",
    "task_environment",
    "zmq_config",
]

pytest.register_assert_rewrite("zmqruntime.testing.contracts")

_CUT_SHORT = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a test that did not come to its end: what it left undone is no complaint."""
    report = yield
    was_cut_short = report.failed or report.skipped
    item.stash[_CUT_SHORT] = item.stash.get(_CUT_SHORT, False) or was_cut_short
    return report


@pytest.fixture
def zmq_config(tmp_path: Path) -> Iterator[ZMQConfig]:
    """A configuration of this test's own: a private runtime directory and a port."""
    from zmqruntime.testing.endpoint import isolated_config

    with isolated_config(tmp_path) as config:
        yield config


@pytest.fixture
def _zmqruntime_teardown() -> Iterator[Teardown]:
    """The time in which all that a test started has to end; it looks at last for what has not."""
    from zmqruntime.testing.teardown import Teardown

    teardown = Teardown()
    yield teardown
    with _report_as_failures():
        teardown.close()


@pytest.fixture
def execution_server(
    zmq_config: ZMQConfig, _zmqruntime_teardown: Teardown
) -> Iterator[ServerFactory]:
    """Start servers in this process: ``execution_server(MyServer, max_queued=3)``."""
    from zmqruntime.testing.servers import ServerFactory

    factory = ServerFactory(zmq_config, teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close()


@pytest.fixture
def fake_execution_server(
    request: pytest.FixtureRequest, zmq_config: ZMQConfig, _zmqruntime_teardown: Teardown
) -> Iterator[FakeServerFactory]:
    """Start servers that do what the test says: ``fake_execution_server(in_memory=True)``."""
    from zmqruntime.testing.fake.fake_factory import FakeServerFactory

    factory = FakeServerFactory(zmq_config, teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close(check=not _was_cut_short(request))


@pytest.fixture
def fault_proxy(
    request: pytest.FixtureRequest,
    execution_server: ServerFactory,
    fake_execution_server: FakeServerFactory,
    _zmqruntime_teardown: Teardown,
) -> Iterator[Callable[..., FaultProxy]]:
    """Put a proxy before a server, to lose and spoil messages: ``fault_proxy(server)``."""
    # It asks for the servers, used or not, so that it leaves before they end.
    from zmqruntime.testing.faults.proxy_factory import FaultProxyFactory

    factory = FaultProxyFactory(teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close(check=not _was_cut_short(request))


@pytest.fixture
def execution_client(
    zmq_config: ZMQConfig,
    fault_proxy: Callable[..., FaultProxy],
    _zmqruntime_teardown: Teardown,
) -> Iterator[ClientFactory]:
    """Connect clients: ``execution_client(server, progress_callback=events.append)``."""
    # It asks for proxies, and by them for servers, so that clients leave before those end.
    from zmqruntime.testing.clients import ClientFactory

    factory = ClientFactory(zmq_config, teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close()


@pytest.fixture
def recorded_progress() -> Iterator[RecordedProgress]:
    """Keep events: ``execution_client(server, progress_callback=recorded_progress)``."""
    from zmqruntime.testing.recorded_progress import RecordedProgress

    recorded = RecordedProgress()
    yield recorded
    recorded.close()


@pytest.fixture
def task_environment() -> type[TaskEnvironment]:
    """Run tasks with no server: ``task_environment(MyServer()).run({"tiles": []})``."""
    from zmqruntime.testing.task_environment import TaskEnvironment

    return TaskEnvironment


def _was_cut_short(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.stash.get(_CUT_SHORT, False))


@contextlib.contextmanager
def _report_as_failures() -> Iterator[None]:
    """Let what this package complains of be the test's failure, without a traceback."""
    from zmqruntime.messages import ZMQRuntimeError

    try:
        yield
    except ZMQRuntimeError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
