"""The checks find the fault in a server that has one, and name the sentence that it breaks."""

from __future__ import annotations

import dataclasses

import pytest
from broken_servers import FAULTS, BrokenServer, Fault
from instant_server import InstantServer

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance import Target, Verdict, run
from zmqruntime.testing.conformance.cli import render_verdict
from zmqruntime.transport import ZMQConfig, ZMQServer

BYSTANDERS = {"C-017", "C-045", "C-074", "C-100"}
"""What none of the faults breaks but its own, and what is cheap to check."""


def examine(server: ZMQServer, keyword: str, ending: ShutdownMode | None = None) -> Verdict:
    target = Target(server.endpoint.data_address, server.endpoint.control_address)
    return run(target, keyword=keyword, patience=1.0, ending=ending)


@pytest.fixture
def config(zmq_config: ZMQConfig) -> ZMQConfig:
    """Settings with which a server is examined fast."""
    return dataclasses.replace(zmq_config, registration_timeout=0.5, max_message_bytes=200_000)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_server_with_a_fault_breaks_that_sentence(config: ZMQConfig, fault: Fault) -> None:
    with BrokenServer(config=config, fault=fault) as server:
        keyword = " or ".join({fault.number, *BYSTANDERS})
        verdict = examine(server, keyword, fault.ending)
    assert not verdict.trouble
    assert fault.number in verdict.broken, render_verdict(verdict)
    assert not (BYSTANDERS - {fault.number}) & verdict.broken, render_verdict(verdict)


@pytest.mark.parametrize("ending", [None, *ShutdownMode])
def test_a_sound_server_breaks_none(config: ZMQConfig, ending: ShutdownMode | None) -> None:
    with InstantServer(config=config) as server:
        verdict = examine(server, "shutdown" if ending else "", ending)
    assert verdict.ok, render_verdict(verdict)
