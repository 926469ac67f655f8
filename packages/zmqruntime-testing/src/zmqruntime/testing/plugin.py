"""The pytest plugin: fixtures for clients, servers, fakes and proxies.

pytest loads this module in every run, so imports are inside the fixtures.
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

_INCOMPLETE = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record whether a test failed or was skipped: its unused scripts and rules are ignored."""
    report = yield
    is_incomplete = report.failed or report.skipped
    item.stash[_INCOMPLETE] = item.stash.get(_INCOMPLETE, False) or is_incomplete
    return report


@pytest.fixture
def zmq_config(tmp_path: Path) -> Iterator[ZMQConfig]:
    """An isolated configuration: a private runtime directory and a random port."""
    from zmqruntime.testing.endpoint import isolated_config

    with isolated_config(tmp_path) as config:
        yield config


@pytest.fixture
def _zmqruntime_teardown() -> Iterator[Teardown]:
    """The shared time budget of the factories; its own teardown reports what is still running."""
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
    """Start servers that run scripts: ``fake_execution_server(in_memory=True)``."""
    from zmqruntime.testing.fake.fake_factory import FakeServerFactory

    factory = FakeServerFactory(zmq_config, teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close(check=not _is_incomplete(request))


@pytest.fixture
def fault_proxy(
    request: pytest.FixtureRequest,
    execution_server: ServerFactory,
    fake_execution_server: FakeServerFactory,
    _zmqruntime_teardown: Teardown,
) -> Iterator[Callable[..., FaultProxy]]:
    """Put a proxy in front of a server, to inject faults: ``fault_proxy(server)``."""
    # Depends on the server fixtures, so that proxies are closed before servers.
    from zmqruntime.testing.faults.proxy_factory import FaultProxyFactory

    factory = FaultProxyFactory(teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close(check=not _is_incomplete(request))


@pytest.fixture
def execution_client(
    zmq_config: ZMQConfig,
    fault_proxy: Callable[..., FaultProxy],
    _zmqruntime_teardown: Teardown,
) -> Iterator[ClientFactory]:
    """Connect clients: ``execution_client(server, progress_callback=events.append)``."""
    # Depends on the proxy and server fixtures, so that clients are disconnected first.
    from zmqruntime.testing.clients import ClientFactory

    factory = ClientFactory(zmq_config, teardown=_zmqruntime_teardown)
    yield factory
    with _report_as_failures():
        factory.close()


@pytest.fixture
def recorded_progress() -> Iterator[RecordedProgress]:
    """Record events: ``execution_client(server, progress_callback=recorded_progress)``."""
    from zmqruntime.testing.recorded_progress import RecordedProgress

    recorded = RecordedProgress()
    yield recorded
    recorded.close()


@pytest.fixture
def task_environment() -> type[TaskEnvironment]:
    """Run tasks without a server: ``task_environment(MyServer()).run({"tiles": []})``."""
    from zmqruntime.testing.task_environment import TaskEnvironment

    return TaskEnvironment


def _is_incomplete(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.stash.get(_INCOMPLETE, False))


@contextlib.contextmanager
def _report_as_failures() -> Iterator[None]:
    """Turn an error of this package into a test failure without a traceback."""
    from zmqruntime.messages import ZMQRuntimeError

    try:
        yield
    except ZMQRuntimeError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
