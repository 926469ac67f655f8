"""The checks find the fault in a server that has one, and name the sentence that it breaks."""

from __future__ import annotations

import dataclasses

import pytest
from broken_servers import FAULTS, BrokenServer, Fault
from instant_server import InstantServer

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance import Target, Verdict, run
from zmqruntime.testing.conformance.cli import render_report
from zmqruntime.transport import ZMQConfig, ZMQServer

BYSTANDERS = {"C-017", "C-045", "C-074", "C-100"}
"""What none of the faults breaks but its own, and what is cheap to check."""

BREAKS = {
    "half of the envelope": {"C-005", "C-006"},
    "accepted is ok": {"C-022"},
    "a reply without protocol": {"C-022"},
    "unknown fields are ignored": {"C-020", "C-095", "C-097"},
    "strings are read as numbers": {"C-015"},
    "a pong without workers": {"C-038"},
    "a start that is no number": {"C-024", "C-034"},
    "a record without labels": {"C-049", "C-112"},
    "no details in an error": {"C-095"},
    "what is unknown is called a conflict": {"C-100"},
    "a stack where there should be a queue": {"C-052", "C-167", "C-174"},
    "a result of what has failed": {"C-118"},
    "5.0 is returned as 5": {"C-118"},
}
"""All that some faults break, judged by every check. The others break too much to be told here."""


def examine(server: ZMQServer, keyword: str, ending: ShutdownMode | None = None) -> Verdict:
    target = Target(server.endpoint.data_address, server.endpoint.control_address)
    return run(target, keyword=keyword, patience=2.0, ending=ending)


@pytest.fixture
def config(zmq_config: ZMQConfig) -> ZMQConfig:
    """Settings with which a server is examined fast, and not so fast that a busy machine fails."""
    return dataclasses.replace(zmq_config, registration_timeout=1.5, max_message_bytes=200_000)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault_violates_its_requirement(config: ZMQConfig, fault: Fault) -> None:
    with BrokenServer(config=config, fault=fault) as server:
        keyword = " or ".join({fault.number, *BYSTANDERS})
        verdict = examine(server, keyword, fault.ending)
    assert not verdict.trouble
    assert fault.number in verdict.broken, render_report(verdict)
    assert not (BYSTANDERS - {fault.number}) & verdict.broken, render_report(verdict)


@pytest.mark.parametrize("name", BREAKS)
def test_fault_violates_its_requirement_and_equivalent_ones(config: ZMQConfig, name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    with BrokenServer(config=config, fault=fault) as server:
        verdict = examine(server, "")
    assert not verdict.trouble
    assert verdict.broken == BREAKS[name], render_report(verdict)


def test_broken_server_without_a_fault_conforms(config: ZMQConfig) -> None:
    with BrokenServer(config=config, fault=Fault("none", "")) as server:
        verdict = examine(server, "")
    assert verdict.ok, render_report(verdict)


@pytest.mark.parametrize("ending", [None, *ShutdownMode])
def test_real_server_conforms(config: ZMQConfig, ending: ShutdownMode | None) -> None:
    with InstantServer(config=config) as server:
        verdict = examine(server, "shutdown" if ending else "", ending)
    assert verdict.ok, render_report(verdict)
