"""Isolated configurations."""

from __future__ import annotations

import os
import random
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from zmqruntime.testing import isolated_config
from zmqruntime.testing.endpoint import candidate_ports
from zmqruntime.transport import Endpoint, TransportMode, ZMQConfig


def test_runtime_directory_is_private_and_removed() -> None:
    with isolated_config() as config:
        assert config.runtime_dir is not None
        (config.runtime_dir / "something").touch()
        if os.name == "posix":
            assert stat.S_IMODE(config.runtime_dir.stat().st_mode) == 0o700
    assert not config.runtime_dir.exists()


def test_configurations_are_distinct() -> None:
    with isolated_config() as one, isolated_config() as other:
        assert one.runtime_dir != other.runtime_dir


@pytest.mark.skipif(os.name != "posix", reason="ipc paths are limited on POSIX")
def test_socket_path_fits_in_deep_temporary_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with isolated_config() as config:
        assert config.runtime_dir is not None
        endpoint = Endpoint(64_535, TransportMode.IPC, directory=config.runtime_dir)
        assert len(os.fsencode(endpoint.control_path)) <= 80


@pytest.mark.skipif(os.name != "posix", reason="ipc paths are limited on POSIX")
@pytest.mark.parametrize(("length", "is_inside"), [(62, True), (63, False)])
def test_runtime_directory_is_in_the_test_directory_if_socket_paths_fit(
    length: int, is_inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        directory = Path(short) / ("d" * (length - len(short) - 1))
        directory.mkdir()
        with isolated_config(directory) as config:
            assert config.runtime_dir is not None
            assert (config.runtime_dir.parent == directory) is is_inside
            name = "a" * (38 - len("/-30000.sock"))
            Endpoint(29_000, TransportMode.IPC, name, directory=config.runtime_dir)
            assert config.log_dir == directory / "zmqruntime-log"
        assert not config.runtime_dir.exists()


def test_log_directory_is_in_the_test_directory(tmp_path: Path, zmq_config: ZMQConfig) -> None:
    assert zmq_config.log_dir is not None
    assert zmq_config.log_dir.parent == tmp_path


def test_candidate_ports_are_valid_with_the_offset() -> None:
    ports = list(candidate_ports())
    assert len(set(ports)) == len(ports) > 10
    assert all(port > 1024 and port + 1000 < 32_768 for port in ports)


def test_ports_are_independent_of_the_global_seed() -> None:
    # pytest-randomly seeds every run, and every worker of a run, with the same value.
    random.seed(1)
    some = list(candidate_ports())
    random.seed(1)
    assert list(candidate_ports()) != some


def test_candidate_ports_are_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", None)
    assert list(candidate_ports())
