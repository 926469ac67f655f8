"""The fixtures in the test run of another project."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from zmqruntime.testing import plugin

pytest_plugins = ["pytester"]

APPLICATION = (Path(__file__).parent / "sample_apps.py").read_text("utf-8")


@pytest.fixture(autouse=True)
def without_asyncio(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest-asyncio warns if its loop scope is not set.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:asyncio")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose application is in ``sample_apps``, tested where tests are found."""
    pytester.makepyfile(sample_apps=APPLICATION)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # In a child process, so that leaked threads and processes are detected.
    return project.runpytest_subprocess("-p", "no:cacheprovider", *arguments, timeout=120)


def test_unused_plugin_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_what_is_loaded(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("zmqruntime")
            assert not {"zmq", "pydantic", "psutil", "zmqruntime.messages"} & set(sys.modules)
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_fixtures_are_listed_by_pytest(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("--fixtures").stdout.str()
    for name in plugin.__all__:
        assert re.search(rf"^{name} -- .*\n    \w", shown, re.MULTILINE), name


def test_first_test_with_server_client_and_task(project: pytest.Pytester) -> None:
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


def test_clients_disconnect_before_servers_stop(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_order(execution_client): pass")
    shown = pytester.runpytest_inprocess("--setup-show").stdout.str()
    ended = re.findall(r"TEARDOWN F (\w+)", shown)
    assert ended[:2] == ["execution_client", "fault_proxy"]
    assert {"execution_server", "fake_execution_server"} == set(ended[2:4])


def test_endless_task_does_not_block_the_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_sleeper="""
        from sample_apps import Sleeper

        def test_submits_and_forgets(execution_server, execution_client):
            client = execution_client(execution_server(Sleeper, cancel_grace_seconds=1000))
            handle = client.submit_execution({"deaf": True})
            next(handle.progress())
        """
    )
    run(project).assert_outcomes(
        passed=1
    )  # Within the timeout, which is shorter than the grace period.


def test_orphan_of_a_task_is_killed_with_the_test(project: pytest.Pytester) -> None:
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


def test_stuck_server_is_reported_with_its_stack(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        test_mute="""
        from sample_apps import Mute, get_stuck

        def test_is_mute(execution_server):
            get_stuck(execution_server(Mute))
        """
    )
    result = run(project)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Mute on * did not stop; its thread *", "*self.released.wait()"])


def test_runtime_directory_is_removed_with_its_test(pytester: pytest.Pytester) -> None:
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


def test_configuration_fixture_can_be_overridden(project: pytest.Pytester) -> None:
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


def test_parallel_tests_are_isolated(project: pytest.Pytester) -> None:
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


def test_factories_are_context_managers_for_other_scopes(project: pytest.Pytester) -> None:
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


FAKES = """
    import pytest
    from zmqruntime.testing import Lane, Script

    def test_unscripted(fake_execution_server, execution_client):
        client = execution_client(fake_execution_server(in_memory=True))
        with pytest.raises(Exception, match="has no script"):
            client.submit_execution({"tiles": 7})

    def test_never_asked(fake_execution_server):
        fake_execution_server(in_memory=True).plan(Script().complete(1))

    def test_never_fired(fake_execution_server, fault_proxy):
        fault_proxy(fake_execution_server()).drop(Lane.REPLIES, type="accepted")

    def test_failed_already(fake_execution_server, fault_proxy):
        fake = fake_execution_server()
        fake.plan(Script().complete(1))
        fault_proxy(fake).drop(Lane.REPLIES)
        assert False

    def test_skipped_already(fake_execution_server, fault_proxy):
        fake = fake_execution_server()
        fake.plan(Script().complete(1))
        fault_proxy(fake).drop(Lane.REPLIES)
        pytest.skip("not here")

    @pytest.mark.xfail(strict=True)
    def test_expected_to_fail(fake_execution_server):
        fake_execution_server(in_memory=True).plan(Script().complete(1))
        assert False
"""


def test_unused_scripts_and_rules_fail_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FAKES)
    result = run(pytester, "-rN")  # With CI set, pytest's summary repeats the errors.
    result.assert_outcomes(passed=3, errors=3, failed=1, skipped=1, xfailed=1)
    assert result.stdout.str().count("the fake has no script for the task") == 1
    result.stdout.fnmatch_lines_random(
        [
            "*the fake has no script for the task {'tiles': 7} *call fake.plan*",
            "unused scripts: 1 of 1; *find out why the request was not sent",
            "drop (replies, nth=1, type='accepted') never fired: 0 messages matched*",
        ]
    )


def test_use_after_the_test_is_rejected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from zmqruntime.messages import PingRequest
        from zmqruntime.testing import Script, UsedAfterTest

        kept = []

        def test_keeps(
            execution_server, execution_client, fake_execution_server, fault_proxy,
            recorded_progress,
        ):
            fake = fake_execution_server(in_memory=True)
            on_sockets = fake_execution_server()
            proxy = fault_proxy(on_sockets)
            kept[:] = [
                ("execution_server", lambda: execution_server(None)),
                ("execution_client", lambda: execution_client()),
                ("fake_execution_server", lambda: fake_execution_server()),
                ("fault_proxy", lambda: fault_proxy(on_sockets)),
                ("recorded_progress", lambda: recorded_progress.events),
                ("InMemoryExecutionServer", lambda: fake.plan(Script().complete())),
                ("InMemoryExecutionServer", lambda: fake.requests),
                ("InMemoryExecutionServer", lambda: fake.check()),
                ("FakeExecutionServer", lambda: on_sockets.always(Script().complete())),
                ("FakeExecutionServer", lambda: on_sockets.asked(PingRequest)),
                ("FakeExecutionServer", lambda: on_sockets.await_request(PingRequest)),
                ("FaultProxy", lambda: proxy.cut()),
            ]

        def test_uses_it():
            for what, use in kept:
                with pytest.raises(UsedAfterTest, match=what + ".* was used after its test"):
                    use()
        """
    )
    run(pytester).assert_outcomes(passed=2)


def test_seed_is_shown_for_a_failed_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_seed(fake_execution_server, fault_proxy):
            fault_proxy(fake_execution_server()).misbehave(0.5, seed=7)
            assert False
        """
    )
    run(pytester).stdout.fnmatch_lines(["FaultProxy: *call misbehave(0.5, seed=7)"])


def test_fixtures_work_with_asyncio(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytest_asyncio")
    monkeypatch.delenv("PYTEST_ADDOPTS")
    project.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    project.makepyfile(
        test_async="""
        import asyncio
        import pytest
        from sample_apps import Stitcher
        from zmqruntime.testing import Script

        @pytest.mark.parametrize("in_memory", [False, True])
        async def test_fake(fake_execution_server, execution_client, recorded_progress, in_memory):
            fake = fake_execution_server(in_memory=in_memory)
            fake.plan(Script().progress(1, 2).pause().complete("done"))
            client = execution_client(fake, progress_callback=recorded_progress)
            handle = await asyncio.to_thread(client.submit_execution, {})
            waiting = asyncio.create_task(asyncio.to_thread(handle.result, 30))
            await asyncio.to_thread(fake.step)
            assert await waiting == "done"
            await asyncio.to_thread(recorded_progress.until_end, handle.execution_id)

        async def test_server(execution_server, execution_client):
            client = execution_client(execution_server(Stitcher))
            result = await asyncio.to_thread(client.execute, {"tiles": [1]})
            assert result == {"stitched": 1, "config": None}

        async def test_task(task_environment):
            environment = task_environment(Stitcher())
            assert environment.run({"tiles": []}) == {"stitched": 0, "config": None}
        """
    )
    run(project).assert_outcomes(passed=4)


STATES = """
    import threading
    import pytest
    from sample_apps import Mute, Sleeper, Stitcher, get_stuck
    from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
    from zmqruntime.testing import Script

    class Clinging(ExecutionClient):
        def disconnect(self):
            threading.Event().wait()

    def sleeping(client):
        handle = client.submit_execution({"deaf": True})
        next(event for event in handle.progress() if event.type == "progress")
        return handle

    def test_deaf_task(execution_server, execution_client):
        sleeping(execution_client(execution_server(Sleeper, cancel_grace_seconds=1000)))

    def test_stuck_server(execution_server, execution_client):
        Mute.released.set()
        server = execution_server(Mute)
        execution_client(server, progress_callback=print)
        get_stuck(server)

    def test_owned_server(execution_client):
        launcher = ExecutionServerLauncher(Sleeper)
        sleeping(execution_client(launcher=launcher, persistent=False))

    def test_launched_server(execution_client):
        sleeping(execution_client(launcher=ExecutionServerLauncher(Sleeper)))

    def test_thread_that_waits(fake_execution_server, execution_client):
        fake = fake_execution_server()
        fake.plan(Script().never_end())
        handle = execution_client(fake, progress_callback=print).submit_execution({})

        def wait():
            with pytest.raises(Exception):
                handle.result()

        threading.Thread(target=wait).start()

    def test_paused_script(fake_execution_server, execution_client):
        fake = fake_execution_server(cancel_grace_seconds=1000)
        fake.plan(Script().pause().complete(), Script().never_end(deaf=True))
        client = execution_client(fake)
        client.submit_execution({})
        client.submit_execution({})

    def test_cut_proxy(fake_execution_server, fault_proxy, execution_client):
        proxy = fault_proxy(fake_execution_server())
        execution_client(proxy, progress_callback=print)
        proxy.cut()

    def test_dead_fake(fake_execution_server, execution_client):
        fake = fake_execution_server()
        fake.plan(Script().server_dies())
        execution_client(fake, progress_callback=print).submit_execution({})

    def test_many_things_are_stuck(
        execution_server, fake_execution_server, fault_proxy, execution_client
    ):
        fake = fake_execution_server()
        proxies = [fault_proxy(fake) for _ in range(3)]
        execution_client(proxies[0], make=Clinging)
        for proxy in proxies:
            proxy._loop.post(threading.Event().wait)
        for _ in range(2):
            Mute.released.set()
            server = execution_server(Mute)
            execution_client(server, progress_callback=print)
            get_stuck(server)
"""


def test_stuck_resources_share_one_time_budget(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(test_states=STATES)
    result = run(project, "--durations=0", "-vv")
    result.assert_outcomes(passed=9, errors=2)
    shown = result.stdout.str()
    assert shown.count("Mute on ") == 3
    assert "the proxy on " in shown
    assert shown.count(" did not disconnect") == 1
    seconds = {name: float(s) for s, name in re.findall(r"([\d.]+)s teardown +.*::(\w+)", shown)}
    assert len(seconds) == 9
    # In sequence, the stuck resources of the last test would take six times as long as one.
    assert seconds["test_many_things_are_stuck"] < 3 * seconds["test_stuck_server"], seconds
