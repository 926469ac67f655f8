"""The Python server passes the conformance checks; the pages about them are up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import Place
from waiting import PATIENCE

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance.coverage import render_page, render_requirements
from zmqruntime.testing.conformance.requirements import load_requirements, parse_requirements
from zmqruntime.transport import TransportMode

REPOSITORY = Path(__file__).parents[1]
REFERENCE = REPOSITORY / "docs" / "reference"
UPDATE = "run `python -m zmqruntime.testing.conformance.coverage docs/reference`"

SERVER = "zmqruntime.testing.standard_tasks:StandardServer"
COMMAND = Path(sys.executable).with_name("zmqruntime-conformance")


@pytest.mark.parametrize(
    ("transport", "ending"),
    [(TransportMode.TCP, ShutdownMode.DRAIN), (TransportMode.IPC, ShutdownMode.NOW)],
)
def test_python_server_conforms(
    make_place: Callable[..., Place], transport: TransportMode, ending: ShutdownMode
) -> None:
    if transport is TransportMode.IPC and sys.platform == "win32":
        pytest.skip("ipc is not available on Windows")
    place = make_place(transport=transport)
    server = place.start("-m", "zmqruntime.execution", SERVER, *place.options)
    place.attach(server).disconnect()

    checks = place.run(
        [str(COMMAND), place.endpoint.data_address, f"--shutdown={ending}", f"--timeout={PATIENCE}"]
    )
    output = checks.communicate(timeout=5 * PATIENCE)[0]

    assert checks.returncode == 0, output
    assert ", 0 violated" in output
    assert "error" not in server.output().lower()
    assert server.returncode == 0


def test_shipped_requirements_match_the_protocol_page() -> None:
    page = (REFERENCE / "protocol.md").read_text("utf-8")
    assert "".join(
        f"{n} {text}\n" for n, text in load_requirements().items()
    ) == render_requirements(page), UPDATE


def test_table_of_checks_in_the_documentation_is_up_to_date() -> None:
    requirements = parse_requirements((REFERENCE / "protocol.md").read_text("utf-8"))
    table = (REFERENCE / "conformance.md").read_text("utf-8")
    assert table == render_page(table, requirements), UPDATE
