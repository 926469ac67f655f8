"""Resolution of arguments and configuration to an endpoint."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from zmqruntime.transport import EndpointError, TransportMode, ZMQClient, ZMQConfig, ZMQServer
from zmqruntime.transport.process.default_dirs import default_log_dir, default_runtime_dir
from zmqruntime.transport.process.private_dirs import make_private_dir
from zmqruntime.transport.process.resolve import resolve_endpoint


def has_ipc(monkeypatch: pytest.MonkeyPatch, *, zeromq: bool, python: bool) -> None:
    monkeypatch.setattr(zmq, "has", lambda feature: zeromq)
    if not python:
        monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    elif not hasattr(socket, "AF_UNIX"):
        monkeypatch.setattr(socket, "AF_UNIX", 1, raising=False)


def test_client_and_server_have_the_same_default_endpoint() -> None:
    assert ZMQClient().endpoint == ZMQServer().endpoint
    assert ZMQServer().port == 7777
    assert ZMQServer().endpoint.control_port == 8777


def test_ipc_is_the_default_if_the_platform_has_it(
    monkeypatch: pytest.MonkeyPatch, config: ZMQConfig
) -> None:
    has_ipc(monkeypatch, zeromq=True, python=True)
    assert resolve_endpoint(None, None, None, config).transport_mode is TransportMode.IPC


@pytest.mark.parametrize(("zeromq", "python"), [(False, True), (True, False)])
def test_tcp_loopback_is_the_default_without_ipc(
    monkeypatch: pytest.MonkeyPatch, config: ZMQConfig, zeromq: bool, python: bool
) -> None:
    has_ipc(monkeypatch, zeromq=zeromq, python=python)
    endpoint = resolve_endpoint(None, None, None, config)
    assert (endpoint.transport_mode, endpoint.host) == (TransportMode.TCP, "127.0.0.1")
    with pytest.raises(EndpointError, match=r"no IPC: use TransportMode\.TCP"):
        resolve_endpoint(None, None, TransportMode.IPC, config)


def test_host_selects_tcp(config: ZMQConfig) -> None:
    endpoint = resolve_endpoint(None, "lab-server", None, config)
    assert (endpoint.transport_mode, endpoint.host) == (TransportMode.TCP, "lab-server")
    with pytest.raises(EndpointError, match="host 'lab-server' is for TCP"):
        resolve_endpoint(None, "lab-server", TransportMode.IPC, config)


@pytest.mark.parametrize("make", [ZMQClient, ZMQServer])
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"port": "7777"}, "port has to be a whole number, not '7777'"),
        ({"port": True}, "port has to be a whole number, not True"),
        ({"port": 7777.0}, "port has to be a whole number, not 7777.0"),
        ({"host": b"lab"}, "host has to be of type str, not b'lab'"),
        ({"transport_mode": 1}, "transport_mode has to be of type TransportMode or str, not 1"),
        ({"transport_mode": "udp"}, "transport_mode is 'udp': it has to be one of 'ipc', 'tcp'"),
        ({"config": {}}, "config has to be of type ZMQConfig, not {}"),
        ({"config": "x"}, "config has to be of type ZMQConfig, not 'x'"),
    ],
)
def test_argument_of_another_type_is_refused_by_name(
    make: Callable[..., object], arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**arguments)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("host", ["tcp://lab", "[::1]", "lab:7777", "127.0.0.1:7777", "lab/", ""])
def test_host_with_protocol_brackets_or_port_is_refused(host: str) -> None:
    with pytest.raises(EndpointError, match=f"^host {re.escape(repr(host))} has to be .* alone"):
        ZMQClient(host=host)


@pytest.mark.parametrize("host", ["lab-server", "::1", "fe80::1%eth0", "*", "10.0.0.7"])
def test_name_or_address_is_a_valid_host(host: str) -> None:
    assert ZMQClient(host=host).endpoint.host == host


def test_transport_mode_may_be_a_string(config: ZMQConfig) -> None:
    client = ZMQClient(transport_mode="tcp", config=config)
    assert client.endpoint.transport_mode is TransportMode.TCP


def test_launcher_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^launcher has to have a method launch\(\): 'x' has none"):
        ZMQClient(launcher="x")  # type: ignore[arg-type]


def test_log_file_may_be_a_path_or_a_string() -> None:
    with pytest.raises(TypeError, match=r"^log_file_path has to be of type str or Path, not 3$"):
        ZMQServer(log_file_path=3)  # type: ignore[arg-type]


def test_missing_arguments_come_from_the_configuration(runtime_dir: Path) -> None:
    config = ZMQConfig(
        default_port=5000, control_port_offset=7, app_name="lab", runtime_dir=runtime_dir
    )
    endpoint = resolve_endpoint(None, None, None, config)
    assert (endpoint.port, endpoint.control_port) == (5000, 5007)
    assert (endpoint.app_name, endpoint.directory) == ("lab", runtime_dir)


def test_port_zero_is_invalid_and_not_the_default(config: ZMQConfig) -> None:
    with pytest.raises(EndpointError, match="port 0 is out of range"):
        resolve_endpoint(0, None, None, config)


def test_runtime_directory_is_used_without_a_state_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.transport.process.default_dirs.find_state_dir", lambda _: None)
    assert ZMQServer().endpoint.directory == default_runtime_dir("zmqruntime")
    # Without one, platformdirs warns; the caller does not see that.
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert default_runtime_dir("zmqruntime").name == "zmqruntime"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG directories are Linux's")
def test_missing_runtime_directory_is_created(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.transport.process.default_dirs.find_state_dir", lambda _: None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir / "not" / "there"))
    first = default_runtime_dir("lab")
    make_private_dir(first)
    assert default_runtime_dir("lab") == first  # It is not used if others can enter it.


def test_log_directory_is_the_platform_s() -> None:
    assert "lab" in default_log_dir("lab").parts


def test_directories_of_a_profile_are_private_without_numeric_users(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid", raising=False)
    runtime_dir.chmod(0o777)
    make_private_dir(runtime_dir)
