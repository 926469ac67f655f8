"""The command line of a launched server says all that the server has to know."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.transport import (
    Endpoint,
    ProcessIdentity,
    ServerArguments,
    TransportMode,
    ZMQConfig,
)

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
paths = st.none() | words.map(Path)
seconds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
configs = st.builds(
    ZMQConfig,
    control_port_offset=st.integers(-60_000, 60_000).filter(bool),
    app_name=words.filter(lambda name: Path(name).name == name and name not in ("", "..")),
    runtime_dir=paths,
    log_dir=paths,
    max_message_bytes=st.integers(2**17, 2**40),
    registration_timeout=seconds.filter(bool),
    data_high_water_mark=st.integers(0, 2**28),
)
arguments = st.builds(
    ServerArguments,
    port=st.integers(1, 65_535),
    host=st.none() | words,
    transport_mode=st.none() | st.sampled_from(TransportMode),
    config=configs,
    owner=st.none() | st.builds(ProcessIdentity, st.integers(1, 2**31), seconds),
    log_file_path=paths,
)


def read(command_line: list[str]) -> ServerArguments:
    parser = argparse.ArgumentParser()
    ServerArguments.add_options(parser)
    return ServerArguments.from_namespace(parser.parse_args(command_line))


@given(arguments)
def test_what_is_written_is_read(written: ServerArguments) -> None:
    assert read(written.to_command_line()) == written


def test_no_options_mean_the_defaults() -> None:
    assert read([]) == ServerArguments(
        port=7777, host=None, transport_mode=None, config=ZMQConfig()
    )


def test_an_endpoint_s_host_is_only_told_for_tcp() -> None:
    config, owner = ZMQConfig(), ProcessIdentity(7, 1.5)
    for mode, host in ((TransportMode.TCP, "::1"), (TransportMode.IPC, None)):
        endpoint = Endpoint(7777, mode, host="::1")
        told = ServerArguments.for_endpoint(endpoint, config, owner=owner, log_file_path=None)
        assert told == ServerArguments(7777, host, mode, config, owner)


def test_an_owner_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(["--owner=nobody"])
    assert "--owner" in capsys.readouterr().err
