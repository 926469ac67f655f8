"""The state directory of sockets, and their restoration after a removal."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest
from transport_peers import PATIENCE_SECONDS, OpenServer

from zmqruntime.transport import (
    AddressInUse,
    ConnectionFailed,
    TransportMode,
    ZMQClient,
    ZMQConfig,
)
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.process.default_dirs import default_runtime_dir
from zmqruntime.transport.process.state_dir import find_state_dir, is_unsuitable

ipc = pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(socket, "AF_UNIX"), reason="needs socket files"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="the directories of Linux")


# -- the directory --------------------------------------------------------------------------


@linux
def test_sockets_live_in_the_state_directory(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(runtime_dir / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir / "session"))
    assert default_runtime_dir("lab") == runtime_dir / "state" / "lab" / "run"


@linux
@pytest.mark.parametrize("name", ["x" * 90, "deep/" * 20])
def test_state_directory_whose_path_is_too_long_for_a_socket_is_not_used(
    name: str, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(runtime_dir / name))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir))
    assert find_state_dir("lab") is None
    assert default_runtime_dir("lab") == runtime_dir / "lab"


@linux
def test_state_directory_that_other_users_can_write_is_not_used(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(runtime_dir / "state"))
    (runtime_dir / "state").mkdir()
    (runtime_dir / "state").chmod(0o777)
    assert find_state_dir("lab") is None


@linux
def test_state_directory_that_cannot_be_written_is_not_used(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(runtime_dir))
    assert find_state_dir("lab") is not None
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert find_state_dir("lab") is None


@linux
def test_user_without_a_home_has_no_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_state_path", refuse)
    assert find_state_dir("lab") is None


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_other_platforms_have_no_state_directory(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert find_state_dir("lab") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows numbers no devices")
@pytest.mark.parametrize(
    ("kind", "unfit"),
    [
        ("ext4", False),
        ("btrfs", False),
        ("overlay", False),
        ("nfs4", True),
        ("cifs", True),
        ("fuse.sshfs", True),
        ("fuseblk", True),
    ],
)
def test_file_system_of_a_directory_is_that_of_its_device(kind: str, unfit: bool) -> None:
    mounts = [
        b"22 1 0:21 / /proc rw shared:5 - proc proc rw",
        b"36 35 98:0 /lab /home/lab rw,noatime master:1 - %s host:/home rw" % kind.encode(),
        b"",
    ]
    assert is_unsuitable(os.makedev(98, 0), mounts) is unfit
    assert not is_unsuitable(os.makedev(98, 1), mounts)


# -- removed under a running server -----------------------------------------------------------


def await_server(config: ZMQConfig) -> None:
    """Return when a new client can connect."""
    deadline = Deadline.after(PATIENCE_SECONDS)
    while True:
        try:
            with ZMQClient(config=config):
                return
        except ConnectionFailed:
            assert not deadline.expired
            threading.Event().wait(0.05)


@ipc
def test_removed_directory_is_restored_by_an_active_server(
    server: OpenServer, config: ZMQConfig, caplog: pytest.LogCaptureFixture
) -> None:
    directory = server.endpoint.directory
    with ZMQClient(config=config) as client:
        for _ in range(2):
            shutil.rmtree(directory)
            client.ping()  # The connection stays open, and a request schedules the check.
            await_server(config)
        assert directory.stat().st_mode & 0o777 == 0o700
        assert server.endpoint.control_path.stat().st_mode & 0o777 == 0o600
        assert "were removed, and are restored" in caplog.text
    with pytest.raises(AddressInUse):
        OpenServer(config=config).start()  # The lock is held again.
    server.stop()
    assert [path for path in directory.iterdir() if path.suffix == ".sock"] == []


@ipc
@pytest.mark.parametrize("name", ["data_path", "control_path"])
def test_removed_socket_file_is_restored(name: str, server: OpenServer, config: ZMQConfig) -> None:
    path: Path = getattr(server.endpoint, name)
    with ZMQClient(config=config) as client:
        path.unlink()
        client.ping()
        deadline = Deadline.after(PATIENCE_SECONDS)
        while not path.is_socket():
            assert not deadline.expired
            threading.Event().wait(0.05)
    await_server(config)


@ipc
def test_server_whose_address_was_taken_does_not_replace_the_other(
    server: OpenServer, config: ZMQConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with ZMQClient(config=config) as client:
        shutil.rmtree(server.endpoint.directory)
        with OpenServer(config=config) as other:
            deadline = Deadline.after(PATIENCE_SECONDS)
            while "new clients cannot reach" not in caplog.text:
                client.ping()
                assert not deadline.expired
                threading.Event().wait(0.05)
            server.stop()
            assert other.endpoint.control_path.is_socket()  # Not removed.
            await_server(config)


@ipc
def test_idle_server_does_not_check_its_files(server: OpenServer, config: ZMQConfig) -> None:
    session = server.server_session
    assert session is not None
    with ZMQClient(config=config, transport_mode=TransportMode.IPC) as client:
        client.ping()
    deadline = Deadline.after(PATIENCE_SECONDS)
    while session.file_check.scheduled:
        assert not deadline.expired
        threading.Event().wait(0.05)
    assert not session.loop._timers
