"""Exit codes as text."""

from __future__ import annotations

import signal

import pytest

from zmqruntime.transport.lowlevel import describe_exit


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (0xC0000005, "exit code 3221225477"),
        (-int(signal.SIGTERM), "signal SIGTERM"),
        (-9999, "signal 9999"),
    ],
)
def test_exit_code_is_described(exit_code: int, text: str) -> None:
    assert describe_exit(exit_code) == text
