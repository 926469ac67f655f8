"""Shutdown of connections that libzmq has accepted, and of no other socket of the process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from zmqruntime.transport.server.accepted_sockets import end_accepted

unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets there")


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection: the peer's, and the accepted one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    with peer, accepted:
        yield peer, accepted


def is_open(peer: socket.socket, other: socket.socket) -> bool:
    other.send(b"x")
    return peer.recv(1) == b"x"


def test_connection_at_the_port_is_shut_down_and_not_closed(
    tcp: tuple[socket.socket, socket.socket],
) -> None:
    peer, accepted = tcp
    assert end_accepted(accepted.fileno(), accepted.getsockname()[1])
    assert peer.recv(1) == b""
    os.fstat(accepted.fileno())


@pytest.mark.parametrize("local", [1, "/run/other.sock"])
def test_connection_at_another_address_stays_open(
    tcp: tuple[socket.socket, socket.socket], local: int | str
) -> None:
    peer, accepted = tcp
    assert not end_accepted(accepted.fileno(), local)
    assert is_open(peer, accepted)


@unix
def test_connection_at_the_path_is_shut_down(runtime_dir: Path) -> None:
    path = str(runtime_dir / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.bind(path)
        listener.listen()
        peer.connect(path)
        accepted, _ = listener.accept()
        with accepted:
            assert not end_accepted(accepted.fileno(), path + "x")
            assert end_accepted(accepted.fileno(), path)
            assert peer.recv(1) == b""


@unix
@pytest.mark.parametrize("local", [8000, 0, "/run/s"])
def test_unix_socket_without_a_name_stays_open(local: int | str) -> None:
    """A socket pair, whose name is empty, may have the descriptor of an ended connection."""
    peer, other = socket.socketpair(socket.AF_UNIX)
    with peer, other:
        assert not end_accepted(other.fileno(), local)
        assert is_open(peer, other)


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux only")
@pytest.mark.parametrize("family", ["AF_NETLINK", "AF_UNIX"])
def test_socket_of_another_family_is_not_the_connection(family: str) -> None:
    with socket.socket(getattr(socket, family), socket.SOCK_DGRAM) as other:
        if family == "AF_UNIX":
            other.bind(f"\0zmqruntime-test-{os.getpid()}")
        assert not end_accepted(other.fileno(), ord("z"))


def test_descriptor_of_no_socket_is_no_connection(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        descriptor = file.fileno()
        assert not end_accepted(descriptor, 8000)
        os.fstat(descriptor)
    assert not end_accepted(descriptor, 8000)
