"""The end of a run does not wait for the child processes of the task."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from zmqruntime.testing import LeftRunning, child_reports
from zmqruntime.testing.child_reports import ChildReports


@pytest.mark.parametrize("authenticated", [True, False])
def test_incomplete_report_does_not_delay_the_exit(
    monkeypatch: pytest.MonkeyPatch, authenticated: bool
) -> None:
    receive = child_reports._receive
    last_size = 1000 if authenticated else 16
    waits = threading.Event()

    def signal_and_receive(link: socket.socket, size: int) -> bytes | None:
        if size == last_size:
            waits.set()
        return receive(link, size)

    monkeypatch.setattr(child_reports, "_receive", signal_and_receive)
    # Longer than the test: it passes only if the exit interrupts the receiving thread.
    monkeypatch.setattr(child_reports, "_JOIN_SECONDS", 30.0)
    monkeypatch.setattr(child_reports, "_KEY_TIMEOUT_SECONDS", 600.0)
    with ChildReports(lambda report: None) as reports:
        process = socket.create_connection(reports.link.address)
        process.sendall(reports.link.key + struct.pack("!I", 1000) if authenticated else b"half")
        assert waits.wait(30)
    process.close()


def test_callback_that_does_not_return_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_reports, "_JOIN_SECONDS", 0.1)
    collecting, release = threading.Event(), threading.Event()

    def collect(report: bytes) -> None:
        collecting.set()
        release.wait()

    with contextlib.ExitStack() as opened:
        reports = opened.enter_context(ChildReports(collect))
        process = socket.create_connection(reports.link.address)
        process.sendall(reports.link.key + struct.pack("!I", 1) + b"x")
        assert collecting.wait(30)
        with pytest.raises(LeftRunning, match=r"(?s)still being collected; .*release\.wait"):
            opened.close()
    process.close()
    release.set()
