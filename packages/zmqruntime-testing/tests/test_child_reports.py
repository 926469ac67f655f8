"""Whatever the processes of a task do, its end does not wait for them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from zmqruntime.testing import LeftRunning, child_reports
from zmqruntime.testing.child_reports import ChildReports


@pytest.mark.parametrize("greeted", [True, False])
def test_half_a_message_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, greeted: bool
) -> None:
    receive = child_reports._receive
    last_size = 1000 if greeted else 16
    waits = threading.Event()

    def tell_and_receive(link: socket.socket, size: int) -> bytes | None:
        if size == last_size:
            waits.set()
        return receive(link, size)

    monkeypatch.setattr(child_reports, "_receive", tell_and_receive)
    # What is waited for at the end is that thread's own end, and neither of these times.
    monkeypatch.setattr(child_reports, "_END_SECONDS", 30.0)
    monkeypatch.setattr(child_reports, "_GREETING_SECONDS", 600.0)
    with ChildReports(lambda report: None) as reports:
        process = socket.create_connection(reports.link.address)
        process.sendall(reports.link.key + struct.pack("!I", 1000) if greeted else b"half")
        assert waits.wait(30)
    process.close()


def test_who_takes_a_report_and_does_not_come_back_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_reports, "_END_SECONDS", 0.1)
    taken, release = threading.Event(), threading.Event()

    def take(report: bytes) -> None:
        taken.set()
        release.wait()

    with contextlib.ExitStack() as opened:
        reports = opened.enter_context(ChildReports(take))
        process = socket.create_connection(reports.link.address)
        process.sendall(reports.link.key + struct.pack("!I", 1) + b"x")
        assert taken.wait(30)
        with pytest.raises(LeftRunning, match=r"(?s)still being taken; .*release\.wait"):
            opened.close()
    process.close()
    release.set()
