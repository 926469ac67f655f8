"""A client with a launcher compares the running server with the one that it would launch."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transport_peers import OpenServer

from zmqruntime.messages import ApplicationInfo
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    ExpectedApplication,
    LaunchedServer,
    MismatchPolicy,
    ServerLauncher,
    ServerLost,
    ServerMismatch,
    ServerMismatchWarning,
    WorkSummary,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.application import Difference, find_differences, name_class
from zmqruntime.transport.lowlevel import compute_origin_digest

FOUND = ApplicationInfo(
    class_path="lab:Lab", version="1", code_digest="c", arguments_digest=None, origin_digest="o"
)
SAME = ExpectedApplication("lab:Lab", "1", None, "c")


class Launched(LaunchedServer):
    """A server in this process, in the role of a launched one."""

    def __init__(self, server: ZMQServer) -> None:
        self.server = server

    def exit_code(self) -> int | None:
        return None if self.server.running else 0

    def wait(self, timeout: float) -> int | None:
        return self.exit_code()

    def kill(self) -> None:
        self.server.stop()

    def log_tail(self) -> str:
        return ""


class Launcher(ServerLauncher):
    """A launcher with an expected application, for servers in this process."""

    def __init__(self, expected: ExpectedApplication | None) -> None:
        self.expected = expected
        self.launched: list[ZMQServer] = []

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        server = ZMQServer(config=config)
        server.start()
        self.launched.append(server)
        return Launched(server)

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        return self.expected


class Lab(OpenServer):
    """A server with a given application and workload."""

    application: ApplicationInfo | None = FOUND
    work = WorkSummary()

    def describe_application(self) -> ApplicationInfo | None:
        return self.application

    def make_session(self) -> Any:
        session = super().make_session()
        session.describe_work = lambda limit: self.work  # type: ignore[method-assign]
        return session


@pytest.fixture
def lab(config: ZMQConfig) -> Iterator[Lab]:
    with Lab(config=config) as server:
        yield server


DIFFERENCES = {
    "other:Lab": (ExpectedApplication("other:Lab", "2", "a", "d"), (Difference.CLASS,)),
    "nothing": (SAME, ()),
    "no version": (ExpectedApplication("lab:Lab", "", None, "c"), ()),
    "another version": (ExpectedApplication("lab:Lab", "2", None, "c"), (Difference.VERSION,)),
    "no code": (ExpectedApplication("lab:Lab", "1", None, None), ()),
    "other code": (ExpectedApplication("lab:Lab", "1", None, "d"), (Difference.CODE,)),
    "same origin": (ExpectedApplication("lab:Lab", "1", None, "c", "o"), ()),
    "another origin": (ExpectedApplication("lab:Lab", "2", "a", "d", "p"), (Difference.ORIGIN,)),
    "arguments": (ExpectedApplication("lab:Lab", "1", "a", "c"), (Difference.ARGUMENTS,)),
    "all": (
        ExpectedApplication("lab:Lab", "2", "a", "d"),
        (Difference.VERSION, Difference.CODE, Difference.ARGUMENTS),
    ),
}


@pytest.mark.parametrize(("expected", "differences"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences_are_named(
    expected: ExpectedApplication, differences: tuple[Difference, ...]
) -> None:
    assert find_differences(expected, FOUND) == differences


def test_server_of_another_class_is_refused_with_a_remedy(lab: Lab) -> None:
    client = ZMQClient(config=lab.config, launcher=Launcher(ExpectedApplication("other:Other")))
    with pytest.raises(ServerMismatch) as caught:
        client.connect()
    sentence = str(caught.value)
    assert f"(process {os.getpid()}) runs lab:Lab, and this client's launcher" in sentence
    assert f"starts other:Other; stop it ('zmqruntime stop --port {lab.port}')" in sentence
    assert caught.value.found == FOUND
    assert isinstance(caught.value, ConnectionFailed)
    assert not client.connected


def test_class_from_another_directory_is_refused_by_default(lab: Lab) -> None:
    client = ZMQClient(config=lab.config, launcher=Launcher(DIFFERENCES["another origin"][0]))
    with pytest.raises(ServerMismatch, match="runs lab:Lab from another directory than this"):
        client.connect()
    assert lab.running


@pytest.mark.parametrize("case", ["another version", "other code", "arguments", "all"])
def test_lesser_differences_are_warned_of_once(lab: Lab, case: str) -> None:
    client = ZMQClient(config=lab.config, launcher=Launcher(DIFFERENCES[case][0]))
    with pytest.warns(
        ServerMismatchWarning, match="runs lab:Lab .* on_mismatch='restart'"
    ) as warned:
        client.connect()
    assert [warning.filename for warning in warned] == [__file__]
    client.disconnect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.connect()
    client.disconnect()


@pytest.mark.parametrize("case", ["other:Lab", "another origin", "arguments"])
def test_policy_applies_to_every_difference(lab: Lab, case: str) -> None:
    launcher = Launcher(DIFFERENCES[case][0])
    with pytest.raises(ServerMismatch):
        ZMQClient(config=lab.config, launcher=launcher, on_mismatch="refuse").connect()
    client = ZMQClient(config=lab.config, launcher=launcher, on_mismatch="warn")
    with pytest.warns(ServerMismatchWarning):
        client.connect()
    client.disconnect()
    assert not launcher.launched


@pytest.mark.parametrize("case", ["other:Lab", "another origin", "arguments"])
def test_idle_server_is_replaced_by_the_restart_policy(lab: Lab, case: str) -> None:
    launcher = Launcher(DIFFERENCES[case][0])
    client = ZMQClient(
        config=lab.config, launcher=launcher, on_mismatch=MismatchPolicy.RESTART, persistent=False
    )
    with client:
        assert not lab.running
        assert launcher.launched[0].running
        assert client.ping().application != FOUND
    launcher.launched[0].stop()


@pytest.mark.parametrize("work", [WorkSummary(running_count=1), WorkSummary(queued_count=2)])
def test_busy_server_is_not_replaced(lab: Lab, work: WorkSummary) -> None:
    lab.work = work
    client = ZMQClient(
        config=lab.config, launcher=Launcher(ExpectedApplication("o:O")), on_mismatch="restart"
    )
    with pytest.raises(
        ServerMismatch, match=r"cannot be restarted while it runs . and queues ."
    ) as caught:
        client.connect()
    assert str(caught.value).endswith("or set on_mismatch='warn'")
    assert lab.running


@pytest.mark.parametrize(
    ("expected", "application"), [(SAME, FOUND), (None, FOUND), (ExpectedApplication("o:O"), None)]
)
def test_server_without_a_known_difference_is_attached_to(
    config: ZMQConfig, expected: ExpectedApplication | None, application: ApplicationInfo | None
) -> None:
    server = Lab(config=config)
    server.application = application
    client = ZMQClient(config=config, launcher=Launcher(expected), on_mismatch="refuse")
    with server, client:
        assert client.ping().application == application


def test_wrong_server_is_refused_before_it_is_ready(lab: Lab) -> None:
    type(lab.session).ready = property(lambda _: False)  # type: ignore[method-assign, assignment]
    try:
        client = ZMQClient(config=lab.config, launcher=Launcher(ExpectedApplication("o:O")))
        with pytest.raises(ServerMismatch):
            client.connect(1000)
    finally:
        type(lab.session).ready = property(lambda self: not self.stopping)  # type: ignore[method-assign, assignment]


def test_client_without_a_launcher_accepts_any_server(lab: Lab) -> None:
    with ZMQClient(config=lab.config, on_mismatch="refuse") as client:
        assert client.ping().application == FOUND


def test_launcher_without_expect_accepts_any_server(lab: Lab) -> None:
    class Plain:
        def launch(self, *_: object, **__: object) -> LaunchedServer:
            raise AssertionError("there is a server")

    with ZMQClient(config=lab.config, launcher=Plain()) as client:  # type: ignore[arg-type]
        assert client.ping().application == FOUND


def test_unknown_policy_is_refused(config: ZMQConfig) -> None:
    with pytest.raises(ValueError, match="on_mismatch is 'ignore': it has to be one of 'refuse'"):
        ZMQClient(config=config, on_mismatch="ignore")  # type: ignore[arg-type]


def test_pong_has_the_class_version_and_code_of_the_server(config: ZMQConfig) -> None:
    class Versioned(ZMQServer):
        application_version = "2.1"

    with Versioned(config=config), ZMQClient(config=config) as client:
        application = client.ping().application
    assert application is not None
    assert application.class_path == f"{__name__}:{Versioned.__qualname__}"
    assert (application.version, application.arguments_digest) == ("2.1", None)
    assert application.code_digest
    assert application.origin_digest == compute_origin_digest(Path(__file__))


def test_version_that_is_not_a_string_is_refused_at_the_start(config: ZMQConfig) -> None:
    server = ZMQServer(config=config)
    server.application_version = 2  # type: ignore[assignment]
    with pytest.raises(TypeError, match="application_version has to be of type str, not 2"):
        server.start()


def test_class_of_the_main_script_is_named_after_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    main = type("Main", (), {"__spec__": None, "__file__": "/somewhere/lab.py"})
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert name_class(type("Lab", (), {"__module__": "__main__"})) == "lab:Lab"


def test_server_found_by_a_reconnect_is_compared(config: ZMQConfig) -> None:
    client = ZMQClient(config=config, launcher=Launcher(SAME))
    with Lab(config=config):
        client.connect()
    other = Lab(config=config)
    other.application = ApplicationInfo(class_path="other:Other")
    with other, pytest.raises(ServerLost, match="other:Other"):
        client.reconnect(1)
    client.disconnect()


@pytest.mark.parametrize("mode", ["now", "drain"])
def test_shutdown_mode_can_be_a_string(lab: Lab, mode: Any) -> None:
    with ZMQClient(config=lab.config) as client:
        client.shutdown_server(mode)
    assert lab.session.finished.wait(60)
