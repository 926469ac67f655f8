"""A client needs only ZeroMQ, JSON and the wire protocol."""

from __future__ import annotations

import ast
import subprocess
import sys

from places import HERE, Place
from waiting import PATIENCE

SCRIPT = HERE / "raw_peer.py"


def test_raw_peer_runs_the_main_flow(either_place: Place) -> None:
    server = either_place.serve("Workshop")
    endpoint = either_place.endpoint
    finished = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), endpoint.control_address, endpoint.data_address],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (finished.stdout, finished.stderr) == ("complete\n", "")
    output = server.output()  # The peer has requested a shutdown.
    assert server.returncode == 0, output


def test_raw_peer_imports_no_module_of_this_project() -> None:
    imports = [node for node in ast.walk(ast.parse(SCRIPT.read_text())) if is_import(node)]
    lines = {ast.unparse(node) for node in imports}
    assert lines == {"import json", "import sys", "from typing import Any", "import zmq"}


def is_import(node: ast.AST) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))
