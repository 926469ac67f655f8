"""Clients at the limit of open files: their errors, and what still works."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, OpenServer

from zmqruntime.transport import TooManyOpenFiles, ZMQClient, ZMQConfig
from zmqruntime.transport.process.open_files import naming_file_limit

needs_limit = pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_NOFILE")

# libzmq's default; each connection uses three.
_ZMQ_MAX_SOCKETS = 1023

_BEGIN = """
import os, resource, sys
from pathlib import Path
from zmqruntime.transport import TooManyOpenFiles, ZMQClient, ZMQConfig, ZMQServer
config = ZMQConfig(
    default_port=int(sys.argv[1]), control_port_offset=int(sys.argv[2]), runtime_dir=sys.argv[3]
)
def limit(soft, hard):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
def fill(left):
    opened = []
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for descriptor in opened[len(opened) - left:]:
            os.close(descriptor)
"""


def run(start_process: Callable[..., object], config: ZMQConfig, code: str) -> str:
    """Run code in its own process, and return its output."""
    process = start_process(
        "-c",
        _BEGIN + code,
        config.default_port,
        config.control_port_offset,
        config.runtime_dir,
    )
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)  # type: ignore[attr-defined]
    assert process.returncode == 0, errors  # type: ignore[attr-defined]
    return str(output).strip()


@needs_limit
def test_number_of_waiting_calls_exceeds_the_default_of_libzmq(
    server: OpenServer, config: ZMQConfig
) -> None:
    with ZMQClient(config=config) as client:
        pool = client._connected()._requester._pool
        channels = [pool.acquire() for _ in range(_ZMQ_MAX_SOCKETS // 3 + 20)]
        for channel in channels:
            pool.discard(channel)
        assert client.ping().ready


@needs_limit
def test_waiting_connection_uses_four_files(server: OpenServer, config: ZMQConfig) -> None:
    descriptors = Path("/dev/fd")
    with ZMQClient(config=config) as client:
        pool = client._connected()._requester._pool
        client.ping()
        before = len(list(descriptors.iterdir()))
        channels = [pool.acquire() for _ in range(20)]
        # The server is in this process, too, and has the other end of each.
        assert len(list(descriptors.iterdir())) - before <= 5 * 20
        for channel in channels:
            pool.discard(channel)


@needs_limit
def test_soft_limit_is_raised_when_a_client_needs_more_files(
    server: OpenServer, config: ZMQConfig, start_process: Callable[..., object]
) -> None:
    output = run(
        start_process,
        config,
        """
limit(100, 400)
with ZMQClient(config=config) as client:
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    pool = client._connected()._requester._pool
    channels = [pool.acquire() for _ in range(40)]
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], client.ping().ready)
""",
    )
    assert output.split() == ["100", "400", "True"]


@needs_limit
def test_client_at_its_hard_limit_raises_and_stays_usable(
    server: OpenServer, config: ZMQConfig, start_process: Callable[..., object]
) -> None:
    output = run(
        start_process,
        config,
        """
limit(150, 150)
with ZMQClient(config=config) as client:
    pool = client._connected()._requester._pool
    channels = []
    try:
        while True:
            channels.append(pool.acquire())
    except TooManyOpenFiles as error:
        print("may have 150 open" in str(error))
    for channel in channels[:2]:  # Room for a retry, whose files libzmq gives back a moment later.
        pool.discard(channel)
    for channel in channels[2:]:
        pool.release(channel)
    print(client.ping().ready)
""",
    )
    assert output.split() == ["True", "True"]


@needs_limit
@pytest.mark.parametrize("left", [0, 3, 10, 20])
@pytest.mark.parametrize(
    "act", ["ZMQClient(config=config).connect()", "ZMQServer(50, config=config).start()"]
)
def test_process_without_files_gets_an_error_and_is_not_aborted(
    left: int,
    act: str,
    server: OpenServer,
    config: ZMQConfig,
    start_process: Callable[..., object],
) -> None:
    output = run(
        start_process,
        config,
        f"""
import zmqruntime.transport.server.session, zmqruntime.transport.client.connection
limit(150, 150)
fill({left})
try:
    {act}
except TooManyOpenFiles as error:
    print("refused")
""",
    )
    assert output == "refused"


@needs_limit
def test_subscription_without_files_is_an_error(
    server: OpenServer, config: ZMQConfig, start_process: Callable[..., object]
) -> None:
    output = run(
        start_process,
        config,
        """
limit(150, 150)
with ZMQClient(config=config) as client:
    fill(5)
    try:
        client.subscribe([b""], print, print)
    except TooManyOpenFiles as error:
        print("refused", client.ping().ready)
""",
    )
    assert output == "refused True"


@pytest.mark.parametrize("error", [zmq.ZMQError(errno.EMFILE), OSError(errno.EMFILE, "x")])
def test_limit_of_sockets_or_files_is_too_many_open_files(error: Exception) -> None:
    with (
        pytest.raises(TooManyOpenFiles, match="no file is left for a test"),
        naming_file_limit("a test"),
    ):
        raise error
    other = PermissionError(errno.EACCES, "x")
    with pytest.raises(PermissionError), naming_file_limit("a test"):
        raise other
