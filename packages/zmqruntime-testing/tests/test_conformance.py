"""The conformance suite: requirements, command and report."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from broken_servers import FAULTS, BrokenServer
from instant_server import InstantRunner, InstantServer

from zmqruntime.execution import ExecuteRequest, TaskRunner
from zmqruntime.testing import Script, TaskEnvironment, conformance
from zmqruntime.testing.conformance import StandardServer, Target, TargetError, run
from zmqruntime.testing.conformance.cli import main, render_report
from zmqruntime.testing.conformance.field_rules import FIELD_RULES
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.report import Finding, Verdict
from zmqruntime.testing.conformance.requirements import (
    NOT_CHECKABLE,
    load_requirements,
    parse_requirements,
)
from zmqruntime.testing.conformance.suite import collect_checks
from zmqruntime.testing.conformance.transcript import Exchange, Transcript, Violation
from zmqruntime.transport import ZMQConfig, ZMQServer

COMMAND = "zmqruntime.testing.conformance.cli"
UNREACHABLE = "tcp://127.0.0.1:1"


def addresses(server: ZMQServer) -> list[str]:
    return [server.endpoint.data_address, f"--control={server.endpoint.control_address}"]


# -- numbers ----------------------------------------------------------------------------------


def test_requirement_is_the_text_after_its_number() -> None:
    page = """
Before it. [C-001]{#c-001} One requirement
of two lines. [C-007]{#c-007} Another.

| field | |
| --- | --- |
| [C-003]{#c-003} `a` | [linked](#x) |

* [C-002]{#c-002} An item,
  continued.
* One without.
"""
    assert parse_requirements(page) == {
        "C-001": "One requirement of two lines.",
        "C-007": "Another.",
        "C-003": "`a`: linked",
        "C-002": "An item, continued.",
    }


def test_duplicate_requirement_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="duplicate requirement C-001"):
        parse_requirements("[C-001]{#c-001} One.\n\n[C-001]{#c-001} Two.")


def test_every_requirement_has_a_check_or_a_reason() -> None:
    requirements, checked = set(load_requirements()), set(collect_checks())
    assert checked <= requirements, "a check names a number that the page does not have"
    assert NOT_CHECKABLE.keys() <= requirements
    assert not checked & NOT_CHECKABLE.keys(), "it is checked: take it off the list"
    assert requirements - checked == NOT_CHECKABLE.keys(), (
        "requirements without a check or a reason"
    )


# -- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "control"),
    [
        ("tcp://127.0.0.1:7777", "tcp://127.0.0.1:8777"),
        ("tcp://[::1]:20000", "tcp://[::1]:21000"),
        ("tcp://example.org:1", "tcp://example.org:1001"),
        ("ipc:///run/a-1/app-7777.sock", "ipc:///run/a-1/app-8777.sock"),
    ],
)
def test_control_address_is_derived_from_the_data_address(data: str, control: str) -> None:
    assert Target.parse(data) == Target(data, control)


def test_control_address_can_be_passed() -> None:
    target = Target.parse("ipc:///any/path", "ipc:///another")
    assert target == Target("ipc:///any/path", "ipc:///another")


@pytest.mark.parametrize("data", ["", "127.0.0.1:7777", "tcp://host", "ipc:///any", "udp://h:1"])
def test_invalid_address_is_rejected_with_an_example(data: str) -> None:
    with pytest.raises(TargetError, match=r"tcp://127\.0\.0\.1:7777"):
        Target.parse(data)


# -- the command ------------------------------------------------------------------------------


def test_exit_code_is_0_for_a_conforming_server(
    zmq_config: ZMQConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    with InstantServer(config=zmq_config) as server:
        code = main([*addresses(server), "-k", "cancel"])
    assert code == 0
    assert "0 violated" in capsys.readouterr().out


def test_report_has_number_requirement_and_messages(
    zmq_config: ZMQConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = next(fault for fault in FAULTS if fault.number == "C-077")
    with BrokenServer(config=zmq_config, fault=fault) as server:
        code = main([*addresses(server), "-k", "C-077"])
    assert code == 1
    output = capsys.readouterr().out
    assert f"C-077  {load_requirements()['C-077']}" in output
    assert "reply of type 'ok', expected an error with code 'conflict'" in output
    assert 'sent      {"type": "cancel"' in output
    assert 'received  {"request_id": "' in output
    assert "check_cancel.py::check_cancel_of_an_ended_execution_is_a_conflict" in output


def test_report_escapes_data_of_the_server() -> None:
    hostile = "\x1b[2J\x9b\u202e\nC-001  forged"
    report = render_report(
        Verdict(
            findings=(Finding(("C-001",), "check", hostile, shown=(hostile,)),),
            passed=frozenset(),
            skipped={"C-002": hostile},
            trouble=hostile,
        )
    )
    assert report.replace("\n", "").isprintable()
    assert not any(line.startswith("C-001  forged") for line in report.splitlines())
    assert report.count("\\x1b[2J\\x9b\\u202e") == 4


def test_unreachable_server_is_reported_as_one_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([UNREACHABLE, "--timeout", "0.2"]) == 1
    output = capsys.readouterr().out
    assert "error: no ZeroMQ peer responds at tcp://127.0.0.1:1001: start the server" in output


def test_keyword_without_matches_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([UNREACHABLE, "-k", "no_such_check"]) == 1
    assert "no check matches 'no_such_check'" in capsys.readouterr().out


def test_exit_code_is_2_for_an_invalid_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        [],
        ["nonsense"],
        [UNREACHABLE, "--shutdown", "later"],
        *(
            [UNREACHABLE, option, text]
            for option in ("--slots", "--max-queued", "--history-limit")
            for text in ("0", "-1", "1.5", "many")
        ),
        *([UNREACHABLE, "--timeout", text] for text in ("0", "-1", "nan", "inf", "long")),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "tcp://127.0.0.1:7777" in capsys.readouterr().err


def test_list_has_every_requirement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    output = capsys.readouterr().out
    for number, requirement in load_requirements().items():
        assert f"{number}  {requirement}\n" in output
    assert "not checked: " in output
    assert "- check_reply_to_ping_is_pong\n" in output


def test_pytest_options_of_the_user_have_no_effect(zmq_config: ZMQConfig, tmp_path: Path) -> None:
    hostile = "raise RuntimeError('a conftest was loaded')"
    (tmp_path / "conftest.py").write_text(hostile, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", "utf-8")
    environment = os.environ | {"PYTEST_ADDOPTS": "--maxfail=0 -k nothing", "PYTEST_PLUGINS": "no"}
    with InstantServer(config=zmq_config) as server:
        done = subprocess.run(
            [sys.executable, "-m", COMMAND, *addresses(server), "-k", "C-026"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "conftest.py",
        "pytest.ini",
    ]


# -- what is judged -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "sound", "wrong"),
    [
        ("C-076", ["cancelled", "running"], ["queued", "complete", None, ["running"]]),
        ("C-111", ["queued", "failed"], ["done", None, ["queued"]]),
        ("C-120", ["exception", "a kind of a later version"], [None, 1]),
        ("C-124", [None, 0, -9], ["0", 1.0, True]),
        ("C-125", [None, "SIGSEGV"], [11]),
        ("C-137", ["progress", "state"], ["other", None, {}]),
        ("C-143", [None, 0, 100, 33.3], [-0.1, 100.1, "50", True]),
    ],
)
def test_field_rule_accepts_only_valid_values(
    number: str, sound: list[Any], wrong: list[Any]
) -> None:
    (field,) = (field for field in FIELD_RULES if field.number == number)
    assert all(field.accepts(value) for value in sound)
    assert not any(field.accepts(value) for value in wrong)


@pytest.mark.parametrize("seconds", [0.44, 5.01])
def test_early_or_late_reply_is_a_violation(seconds: float) -> None:
    exchange = Exchange(b"{}", "r", seconds=seconds)
    with pytest.raises(Violation, match=rf"after {seconds} s, expected after 0\.45 to 5 s"):
        exchange.check_seconds(0.45, 5.0)


@pytest.mark.parametrize("seconds", [0.45, 5.0])
def test_reply_in_time_is_accepted(seconds: float) -> None:
    Exchange(b"{}", "r", seconds=seconds).check_seconds(0.45, 5.0)


# -- what a run does --------------------------------------------------------------------------


def test_too_many_slots_are_reported(zmq_config: ZMQConfig) -> None:
    # The task of the second slot never starts.
    with InstantServer(config=zmq_config) as server:
        target = Target(server.endpoint.data_address, server.endpoint.control_address)
        verdict = run(target, keyword="C-067", patience=0.3, slots=2)
    assert verdict.broken == {"C-149"}


@pytest.mark.parametrize(
    ("number", "option", "make"),
    [
        ("C-102", "--max-queued", partial(InstantServer, max_queued=7)),
        ("C-058", "--history-limit", partial(InstantServer, history_limit=7)),
    ],
)
def test_configured_limit_is_checked(
    zmq_config: ZMQConfig,
    capsys: pytest.CaptureFixture[str],
    number: str,
    option: str,
    make: Callable[..., InstantServer],
) -> None:
    def check(*output: str) -> str:
        with make(config=zmq_config) as server:
            main([*addresses(server), "-k", number, *output])
        return capsys.readouterr().out

    assert "1 requirements passed, 0 violated;" in check(option, "7")
    assert f"{number}  {load_requirements()[number]}" in check(option, "6")
    assert f"{number}  {load_requirements()[number]}" in check(option, "8")
    assert f"{number} skipped: {option} is not set" in check()


@pytest.mark.parametrize(
    ("number", "limits"),
    [("C-271", {"unread_limit": 5}), ("C-272", {"history_limit": 6})],
)
def test_early_eviction_is_found(
    zmq_config: ZMQConfig, number: str, limits: dict[str, Any]
) -> None:
    def check(**limits: Any) -> Verdict:
        with InstantServer(config=zmq_config, **limits) as server:
            target = Target(server.endpoint.data_address, server.endpoint.control_address)
            return run(target, keyword=number, history_limit=7)

    assert check(history_limit=7).ok
    assert check(**{"history_limit": 7} | limits).broken == {number}


class Application(InstantServer):
    """A server without the standard tasks."""

    def make_runner(self) -> TaskRunner:
        return OwnTasks()


class OwnTasks(InstantRunner):
    """Returns the same result for every task."""

    def write(self, request: ExecuteRequest) -> Script:
        return Script().complete("mine")


def test_missing_standard_tasks_are_an_error_without_findings(
    zmq_config: ZMQConfig,
) -> None:
    with Application(config=zmq_config) as server:
        target = Target(server.endpoint.data_address, server.endpoint.control_address)
        verdict = run(target, patience=1.0)
    assert "does not implement the standard task {'do': 'echo'" in verdict.trouble
    assert "--help" in verdict.trouble
    assert not verdict.findings
    assert not verdict.ok


def test_peer_closes_its_sockets_after_a_failed_cancel(
    zmq_config: ZMQConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel_all() -> None:
        raise TypeError("not expected of any server")

    with InstantServer(config=zmq_config) as server:
        target = Target(server.endpoint.data_address, server.endpoint.control_address)
        peer = Peer(target, Transcript(), patience=5.0, name="leaving")
        monkeypatch.setattr(peer, "cancel_all", cancel_all)
        with pytest.raises(TypeError, match="not expected"):
            peer.close()
    assert peer.control.closed
    assert peer.data.closed


def test_run_leaves_the_server_idle(zmq_config: ZMQConfig) -> None:
    config = dataclasses.replace(zmq_config, max_message_bytes=200_000, registration_timeout=0.3)
    with InstantServer(config=config) as server:
        target = Target(server.endpoint.data_address, server.endpoint.control_address)
        run(target, keyword="check_cancel or check_status or C-126")
        again = run(target, keyword="check_counts_match_the_kept_executions")
    assert again.ok, again


# -- names ------------------------------------------------------------------------------------


def test_public_names_are_unchanged() -> None:
    assert conformance.__all__ == [
        "Finding",
        "StandardServer",
        "StandardTasks",
        "Target",
        "TargetError",
        "Verdict",
        "run",
    ]
    for name in conformance.__all__:
        value = getattr(conformance, name)
        assert value.__name__ == name
        assert name in dir(conformance)
    with pytest.raises(AttributeError, match="has no attribute 'Other'"):
        conformance.Other  # noqa: B018


def test_standard_tasks_import_no_pytest() -> None:
    code = "import sys, zmqruntime.testing.standard_tasks; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


def test_standard_tasks_run_as_documented(
    task_environment: type[TaskEnvironment],
) -> None:
    environment = task_environment(StandardServer())
    assert environment.run({"do": "echo", "value": [1, None]}) == [1, None]
    assert environment.run({"do": "count", "events": 2}) == 2
    assert [(event.completed, event.total) for event in environment.progress] == [(1, 2), (2, 2)]
    with pytest.raises(RuntimeError, match="expected"):
        environment.run({"do": "fail", "message": "expected"})
    with pytest.raises(ValueError, match="unknown standard task"):
        environment.run({"do": "dance"})
