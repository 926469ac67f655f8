"""The fixtures in somebody else's test run."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

pytest_plugins = ["pytester"]

APPLICATION = (Path(__file__).parent / "sample_apps.py").read_text("utf-8")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose application is in ``sample_apps``, tested where tests are found."""
    pytester.makepyfile(sample_apps=APPLICATION)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # In a process of its own, as a developer does; whatever it would leave, it could not hide.
    return project.runpytest_subprocess("-p", "no:cacheprovider", *arguments, timeout=120)


def test_a_project_that_does_not_use_it_pays_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("zmqruntime")
            assert not {"zmq", "pydantic", "psutil", "zmqruntime.messages"} & set(sys.modules)
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_its_fixtures_can_be_looked_up(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("--fixtures").stdout.str()
    for name in ("zmq_config", "execution_server", "execution_client", "task_environment"):
        assert re.search(rf"^{name} -- .*\n    \w", shown, re.MULTILINE), name


def test_servers_clients_and_tasks_in_a_first_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_stitcher="""
        from sample_apps import Stitcher

        def test_over_the_wire(execution_server, execution_client):
            client = execution_client(execution_server(Stitcher))
            assert client.execute({"tiles": [1, 2]}) == {"stitched": 2, "config": None}

        def test_by_itself(task_environment):
            environment = task_environment(Stitcher())
            assert environment.run({"tiles": [1]}) == {"stitched": 1, "config": None}
            assert environment.progress[0].percent == 100
        """
    )
    run(project).assert_outcomes(passed=2)


def test_clients_leave_before_their_servers_end(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_order(execution_client, execution_server): pass")
    shown = pytester.runpytest_inprocess("--setup-show").stdout.str()
    assert re.search(r"(?s)TEARDOWN F execution_client.*TEARDOWN F execution_server", shown)


def test_a_task_that_would_run_for_ever_does_not_hold_up_the_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_sleeper="""
        from sample_apps import Sleeper

        def test_submits_and_forgets(execution_server, execution_client):
            client = execution_client(execution_server(Sleeper, cancel_grace_seconds=1000))
            handle = client.submit_execution({"deaf": True})
            next(handle.progress())
        """
    )
    started = time.monotonic()
    run(project).assert_outcomes(passed=1)
    assert time.monotonic() - started < 20


def test_what_a_task_leaves_behind_ends_with_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_leaver="""
        from sample_apps import Leaver

        def test_leaves_a_process(execution_server, execution_client):
            print("left", execution_client(execution_server(Leaver)).execute({}))
        """
    )
    result = run(project, "-rP")
    result.assert_outcomes(passed=1)
    found = re.search(r"left (\d+)", result.stdout.str())
    assert found
    pid = int(found[1])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_run_with_a_stuck_server_ends_and_says_where_it_is_stuck(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_mute="""
        import pytest
        from sample_apps import Mute
        from zmqruntime.testing import servers

        @pytest.fixture(autouse=True)
        def hurry(monkeypatch):
            monkeypatch.setattr(
                servers.ServerFactory.__init__,
                "__kwdefaults__",
                {"stop_seconds": 0.1, "force_seconds": 0.1},
            )

        def test_is_mute(execution_server, zmq_config):
            from zmqruntime.transport import ZMQClient
            Mute.let_go.set()
            server = execution_server(Mute)
            with ZMQClient(server.port, config=zmq_config):
                Mute.let_go.clear()
        """
    )
    result = run(project)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Mute on * did not end; its thread *", "*self.let_go.wait()"])


def test_a_directory_goes_with_its_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        seen = []

        def test_one(zmq_config):
            seen.append(zmq_config)

        def test_other(zmq_config):
            assert not seen[0].runtime_dir.exists()
            assert zmq_config.runtime_dir != seen[0].runtime_dir
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_an_application_may_have_its_own_configuration(project: pytest.Pytester) -> None:
    project.makepyfile(
        conftest="""
        import dataclasses
        import pytest

        @pytest.fixture
        def zmq_config(zmq_config):
            return dataclasses.replace(zmq_config, app_name="stitcher")
        """,
        test_it="""
        from sample_apps import Stitcher

        def test_name(execution_server, execution_client):
            server = execution_server(Stitcher)
            assert server.endpoint.app_name == "stitcher"
            assert execution_client(server).ping().ready
        """,
    )
    run(project).assert_outcomes(passed=1)


def test_tests_side_by_side_do_not_meet(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    project.makepyfile(
        test_many="""
        import pytest
        from sample_apps import Stitcher
        from zmqruntime.transport import TransportMode

        @pytest.mark.parametrize("mode", list(TransportMode) * 3)
        def test_one(execution_server, execution_client, mode):
            client = execution_client(execution_server(Stitcher, transport_mode=mode))
            assert client.execute({"tiles": []}) == {"stitched": 0, "config": None}
        """
    )
    run(project, "-n", "3").assert_outcomes(passed=6)


def test_a_fixture_of_another_scope_is_a_with_statement(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_module="""
        import pytest
        from sample_apps import Stitcher
        from zmqruntime.testing import ClientFactory, ServerFactory, isolated_config

        @pytest.fixture(scope="module")
        def client():
            with isolated_config() as config, ServerFactory(config) as servers:
                with ClientFactory(config) as clients:
                    yield clients(servers(Stitcher))

        @pytest.mark.parametrize("n", range(3))
        def test_uses(client, n):
            assert client.execute({"tiles": [0] * n}) == {"stitched": n, "config": None}
        """
    )
    run(project).assert_outcomes(passed=3)
