"""The command line of a launched server says all that the server has to know."""

from __future__ import annotations

import argparse
import errno
import os
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

LONG = "x" * 5000

words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12
).filter(lambda word: word != "--")  # What argparse drops, before Python 3.12.5.
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
    max_unread_bytes=st.integers(2**17, 2**40),
)
arguments = st.builds(
    ServerArguments,
    port=st.integers(1, 65_535),
    host=st.none() | words,
    transport_mode=st.none() | st.sampled_from(TransportMode),
    config=configs,
    owner=st.none() | st.builds(ProcessIdentity, st.integers(1, 2**31), seconds),
    log_file_path=paths.filter(lambda path: path is None or not path.is_dir()),
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
        assert told == ServerArguments(7777, host, mode, told.config, owner)


def test_directory_of_an_endpoint_is_named_since_the_default_depends_on_the_environment(
    runtime_dir: Path,
) -> None:
    endpoint = Endpoint(7777, TransportMode.TCP, directory=runtime_dir)
    told = ServerArguments.for_endpoint(endpoint, ZMQConfig(), owner=None, log_file_path=None)
    assert told.config == ZMQConfig(runtime_dir=runtime_dir)
    assert f"--runtime-dir={runtime_dir}" in told.to_command_line()


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--max-message-bytes=1", "max_message_bytes is 1: it has to be at least 131,072 and"),
        ("--max-message-bytes=x", "invalid int value: 'x'"),
        ("--data-high-water-mark=-3", "data_high_water_mark is -3: it has to be at least 0 and"),
        ("--registration-timeout=nan", "registration_timeout is nan: it has to be more than 0"),
        ("--control-port-offset=70000", "control_port_offset is 70,000: it has to be"),
        ("--app-name=../x", "app_name '../x' must do as part of a file name"),
        ("--runtime-dir=", "runtime_dir '' must do as the name of a directory"),
        ("--log-dir=", "log_dir '' must do as the name of a directory"),
        (f"--log-file={Path.cwd()}", f"{str(Path.cwd())!r} is a directory, not a file"),
        (f"--log-file={LONG}", f"invalid file name {LONG!r}: {os.strerror(errno.ENAMETOOLONG)}"),
        ("--owner=nobody", "'nobody' names no process: it has to be PID:CREATE_TIME"),
        ("--owner=1:x", "'1:x' names no process: it has to be PID:CREATE_TIME"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], option: str, complaint: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        read([option])
    assert caught.value.code == 2
    assert f"argument {option.partition('=')[0]}: {complaint}" in capsys.readouterr().err
