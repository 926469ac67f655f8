"""Endpoints: two addresses of one port, and the errors of invalid ones."""

from __future__ import annotations

import os
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from zmqruntime.transport import Endpoint, EndpointError, TransportMode
from zmqruntime.transport.endpoint import ipc_path_limit

IPC, TCP = TransportMode.IPC, TransportMode.TCP

needs_short_paths = pytest.mark.skipif(os.name == "nt", reason="no socket files there")


def test_ipc_endpoint_is_two_socket_files_named_by_app_and_port() -> None:
    endpoint = Endpoint(7777, IPC, directory=Path("/run/lab"), app_name="lab")
    assert endpoint.data_address == f"ipc://{Path('/run/lab/lab-7777.sock')}"
    assert endpoint.control_address == f"ipc://{Path('/run/lab/lab-8777.sock')}"


def test_tcp_endpoint_is_two_ports_of_the_loopback_interface() -> None:
    endpoint = Endpoint(7777, TCP, control_port_offset=5)
    assert endpoint.data_address == "tcp://127.0.0.1:7777"
    assert endpoint.control_address == "tcp://127.0.0.1:7782"


def test_ipv6_host_is_put_in_brackets() -> None:
    endpoint = Endpoint(7777, TCP, host="::1")
    assert endpoint.data_address == "tcp://[::1]:7777"
    assert endpoint.is_ipv6


@pytest.mark.parametrize("port", [1, 64535])
def test_every_port_with_a_valid_control_port_is_valid(port: int) -> None:
    assert Endpoint(port, TCP).control_port == port + 1000


@pytest.mark.parametrize(
    ("port", "offset", "named"),
    [(0, 1000, "port 0"), (-1, 1000, "port -1"), (65536, -1000, "port 65536")],
)
def test_error_names_a_port_out_of_range(port: int, offset: int, named: str) -> None:
    with pytest.raises(EndpointError, match=rf"^{named} is out of range: choose .* 1 to 65535"):
        Endpoint(port, TCP, control_port_offset=offset)


@pytest.mark.parametrize(("port", "offset"), [(64536, 1000), (500, -500), (500, -1000)])
def test_error_names_a_control_port_out_of_range_with_its_offset(port: int, offset: int) -> None:
    with pytest.raises(
        EndpointError, match=rf"control port {port + offset} .*_offset {offset} added"
    ):
        Endpoint(port, TCP, control_port_offset=offset)


def test_both_channels_cannot_share_a_port() -> None:
    with pytest.raises(EndpointError, match="control_port_offset must not be 0"):
        Endpoint(7777, TCP, control_port_offset=0)


@pytest.mark.parametrize("app_name", ["lab/app", "../app", "", "lab/"])
def test_app_name_of_another_directory_is_refused(app_name: str) -> None:
    with pytest.raises(EndpointError, match=r"app_name .* file name"):
        Endpoint(7777, IPC, app_name=app_name)


@needs_short_paths
def test_socket_path_is_limited_to_the_length_of_the_system() -> None:
    limit = ipc_path_limit()
    file_name = "/zmqruntime-7777.sock"
    longest = Path("/" + "d" * (limit - len(file_name) - 1))
    assert len(str(Endpoint(7777, IPC, directory=longest).data_path)) == limit
    too_long = Path(f"{longest}d")
    with pytest.raises(EndpointError) as caught:
        Endpoint(7777, IPC, directory=too_long)
    message = str(caught.value)
    assert f"{too_long}{file_name} is {limit + 1} bytes long" in message
    assert f"takes {limit}: set ZMQConfig(runtime_dir=...) to a shorter directory" in message


@needs_short_paths
def test_longer_control_path_counts_too() -> None:
    file_name = "/zmqruntime-9999.sock"
    directory = Path("/" + "d" * (ipc_path_limit() - len(file_name) - 1))
    with pytest.raises(EndpointError, match=r"zmqruntime-10999\.sock"):
        Endpoint(9999, IPC, directory=directory)


@needs_short_paths
def test_length_of_a_path_is_counted_in_bytes() -> None:
    umlauts = "ü" * (ipc_path_limit() // 2)
    with pytest.raises(EndpointError, match="bytes long"):
        Endpoint(7777, IPC, directory=Path("/", umlauts))
    undecodable = os.fsdecode(b"/\xff\xfe")
    Endpoint(7777, IPC, directory=Path(undecodable))


def test_tcp_endpoint_has_no_limit_of_paths() -> None:
    assert Endpoint(7777, TCP, directory=Path("/" + "d" * 500)).data_address


@pytest.mark.parametrize(("platform", "limit"), [("linux", 107), ("darwin", 103)])
def test_path_limit_depends_on_the_platform(platform: str, limit: int) -> None:
    assert ipc_path_limit(platform) == limit
    assert sys.platform != platform or ipc_path_limit() == limit


@pytest.mark.parametrize(
    ("mode", "host", "local"),
    [
        (IPC, "anything", True),
        (TCP, "127.0.0.1", True),
        (TCP, "127.3.2.1", True),
        (TCP, "::1", True),
        (TCP, "localhost", True),
        (TCP, "0.0.0.0", False),
        (TCP, "*", False),
        (TCP, "192.168.1.7", False),
        (TCP, "lab-server", False),
    ],
)
def test_loopback_endpoint_is_local(mode: TransportMode, host: str, local: bool) -> None:
    assert Endpoint(7777, mode, host=host).is_local is local


def test_text_of_an_endpoint_has_port_and_address() -> None:
    assert str(Endpoint(7777, TCP)) == "port 7777 (tcp://127.0.0.1:8777)"


def test_endpoint_is_a_value() -> None:
    assert Endpoint(7777, TCP) == Endpoint(7777, TCP)
    with pytest.raises(FrozenInstanceError):
        Endpoint(7777, TCP).port = 1  # type: ignore[misc]
