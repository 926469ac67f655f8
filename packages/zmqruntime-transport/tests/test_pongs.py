"""Pongs: their content is current, although only changes are encoded."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from zmqruntime.messages import PongReply, ProcessInfo, decode_reply
from zmqruntime.transport.server.pongs import Pongs, WorkSummary


@pytest.fixture
def pongs() -> Pongs:
    return Pongs(
        server="Lab",
        version="1",
        port=7777,
        control_port=8777,
        process=ProcessInfo(pid=7, create_time=1.5),
        max_message_bytes=1000,
        log_file_path=None,
    )


def compose_pong(pongs: Pongs, request_id: str | None = None, **changes: Any) -> PongReply:
    usual: dict[str, Any] = {
        "ready": True,
        "details": {},
        "progress_subscribers": (),
        "progress_subscriber_count": 0,
        "work": WorkSummary(),
    }
    reply = decode_reply(pongs.compose(request_id, **(usual | changes)))
    assert isinstance(reply, PongReply)
    return reply


def test_constant_fields_are_in_each_pong(pongs: Pongs, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time() + 10
    monkeypatch.setattr("zmqruntime.transport.server.pongs.time", SimpleNamespace(time=lambda: now))
    first = compose_pong(pongs)
    now += 1
    second = compose_pong(pongs)
    for pong in (first, second):
        assert (pong.server, pong.version, pong.port, pong.process.pid) == ("Lab", "1", 7777, 7)
    assert second.started_at == first.started_at
    assert second.uptime_seconds - first.uptime_seconds == pytest.approx(1)


def test_pong_has_the_id_of_its_ping(pongs: Pongs) -> None:
    ids = ("1", None, 'a"b\\', "é")
    assert [compose_pong(pongs, request_id).request_id for request_id in ids] == list(ids)


def test_every_change_is_in_the_next_pong(pongs: Pongs) -> None:
    assert compose_pong(pongs, work=WorkSummary(queued_count=1)).queued_count == 1
    assert compose_pong(pongs, work=WorkSummary(queued_count=2)).queued_count == 2
    assert compose_pong(pongs, progress_subscribers=("lab",)).progress_subscribers == ("lab",)
    assert compose_pong(pongs, progress_subscriber_count=2).progress_subscriber_count == 2
    assert not compose_pong(pongs, ready=False).ready
    assert compose_pong(pongs).ready


def test_details_that_were_changed_in_place_are_in_the_next_pong(pongs: Pongs) -> None:
    details: dict[str, Any] = {"samples": [1]}
    assert compose_pong(pongs, details=details).details == {"samples": [1]}
    details["samples"].append(2)
    assert compose_pong(pongs, details=details).details == {"samples": [1, 2]}
    details["number"] = 1
    assert compose_pong(pongs, details=details).details["number"] == 1
    details["number"] = True
    assert compose_pong(pongs, details=details).details["number"] is True


def test_details_that_are_not_json_are_an_error_of_the_server(pongs: Pongs) -> None:
    with pytest.raises(TypeError, match=r"details\.lock is of type object"):
        compose_pong(pongs, details={"lock": object()})
    assert compose_pong(pongs).details == {}
