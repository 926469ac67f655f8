"""Clients in other languages, built from source; CONTRIBUTING lists the requirements."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from peer_process import Peer
from places import Place

EXAMPLES = Path(__file__).parents[2] / "examples"
BUILD_SECONDS = 120


def build(command: list[str], cwd: Path) -> None:
    """Run a build command; show its output when it fails."""
    program = shutil.which(command[0])
    assert program, f"{command[0]} is not installed: see CONTRIBUTING, or run nox -s peers"
    made = subprocess.run(
        [program, *command[1:]],
        cwd=cwd,
        timeout=BUILD_SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert made.returncode == 0, f"{shlex.join(command)}:\n{made.stdout}"


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the exported schemas."""
    directory = tmp_path_factory.mktemp("contract")
    export = [sys.executable, "-m", "zmqruntime.messages", "export", str(directory)]
    subprocess.run(export, check=True, timeout=BUILD_SECONDS)
    return directory / "schema"


@pytest.fixture(scope="session")
def node_project() -> Path:
    """The compiled TypeScript project."""
    project = EXAMPLES / "node-client"
    assert (project / "node_modules").is_dir(), f"packages are missing: run npm ci in {project}"
    build(["npm", "run", "build"], project)
    return project


@pytest.fixture(scope="session")
def node() -> str:
    """Node itself: the wrapper that pip installs forwards no signals."""
    command = ["node", "-p", "process.execPath"]
    return subprocess.check_output(command, text=True, timeout=BUILD_SECONDS).strip()


@pytest.fixture
def node_peer(node: str, node_project: Path, schemas: Path, either_place: Place) -> Peer:
    """The client in TypeScript, which validates every reply and event."""
    endpoint = either_place.endpoint
    where = [f"--control={endpoint.control_address}", f"--data={endpoint.data_address}"]
    program = [node, str(node_project / "dist" / "src" / "main.js")]
    return Peer(program, [*where, f"--schemas={schemas}"], either_place)


@pytest.fixture(scope="session")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client in C, compiled with warnings as errors."""
    directory = tmp_path_factory.mktemp("c-client")
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libzmq"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, f"libzmq's headers are missing (libzmq3-dev): {found.stderr}"
    source, target = EXAMPLES / "c-client" / "client.c", directory / "client"
    options = ["-std=c11", "-pedantic", "-O2", "-Wall", "-Wextra", "-Werror"]
    build(["cc", *options, str(source), "-o", str(target), *shlex.split(found.stdout)], directory)
    return target


@pytest.fixture
def c_peer(c_program: Path, either_place: Place) -> Peer:
    """The client in C."""
    endpoint = either_place.endpoint
    return Peer([str(c_program), endpoint.control_address, endpoint.data_address], [], either_place)
