"""The checks find an injected fault, and report the requirement that it violates."""

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
"""Requirements that are fast to check, and that faults of others do not violate."""

VIOLATIONS = {
    "half of the envelope": {"C-005", "C-006"},
    "accepted is ok": {"C-022"},
    "a reply without protocol": {"C-022"},
    "unknown fields are ignored": {"C-020", "C-095", "C-097"},
    "strings are read as numbers": {"C-015"},
    "a pong without workers": {"C-038"},
    "a start time that is not a number": {"C-024", "C-034"},
    "a record without labels": {"C-049", "C-112"},
    "no details in an error": {"C-095"},
    "unknown is reported as a conflict": {"C-100"},
    "a stack instead of a queue": {"C-052", "C-167", "C-174"},
    "a result of a failed execution": {"C-118"},
    "5.0 is returned as 5": {"C-118"},
}
"""All requirements that some faults violate, by the whole suite."""


def check_server(server: ZMQServer, keyword: str, ending: ShutdownMode | None = None) -> Verdict:
    target = Target(server.endpoint.data_address, server.endpoint.control_address)
    return run(target, keyword=keyword, patience=2.0, ending=ending)


@pytest.fixture
def config(zmq_config: ZMQConfig) -> ZMQConfig:
    """A configuration for fast checks that still pass on a busy machine."""
    return dataclasses.replace(zmq_config, registration_timeout=1.5, max_message_bytes=200_000)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault_violates_its_requirement(config: ZMQConfig, fault: Fault) -> None:
    with BrokenServer(config=config, fault=fault) as server:
        keyword = " or ".join({fault.number, *BYSTANDERS})
        verdict = check_server(server, keyword, fault.ending)
    assert not verdict.trouble
    assert fault.number in verdict.broken, render_report(verdict)
    assert not (BYSTANDERS - {fault.number}) & verdict.broken, render_report(verdict)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_fault_violates_its_requirement_and_equivalent_ones(config: ZMQConfig, name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    with BrokenServer(config=config, fault=fault) as server:
        verdict = check_server(server, "")
    assert not verdict.trouble
    assert verdict.broken == VIOLATIONS[name], render_report(verdict)


def test_broken_server_without_a_fault_conforms(config: ZMQConfig) -> None:
    with BrokenServer(config=config, fault=Fault("none", "")) as server:
        verdict = check_server(server, "")
    assert verdict.ok, render_report(verdict)


@pytest.mark.parametrize("ending", [None, *ShutdownMode])
def test_real_server_conforms(config: ZMQConfig, ending: ShutdownMode | None) -> None:
    with InstantServer(config=config) as server:
        verdict = check_server(server, "shutdown" if ending else "", ending)
    assert verdict.ok, render_report(verdict)
