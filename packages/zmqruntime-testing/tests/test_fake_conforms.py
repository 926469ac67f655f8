"""The fake passes the conformance suite."""

from __future__ import annotations

import dataclasses

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing import FakeServerFactory
from zmqruntime.testing.conformance import Target, run
from zmqruntime.testing.conformance.cli import render_report
from zmqruntime.testing.standard_tasks import standard_script
from zmqruntime.transport import ZMQConfig


def test_fake_passes_the_whole_suite(
    zmq_config: ZMQConfig, fake_execution_server: FakeServerFactory
) -> None:
    config = dataclasses.replace(zmq_config, max_message_bytes=200_000)
    fake = fake_execution_server(config=config)
    fake.always(standard_script)
    target = Target(fake.endpoint.data_address, fake.endpoint.control_address)
    verdict = run(target, ending=ShutdownMode.NOW)
    assert verdict.ok, render_report(verdict)
