"""What the checks are given: peers of the server, and what was said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.run_plugin import ConformancePlugin
from zmqruntime.testing.conformance.settings import Settings
from zmqruntime.testing.conformance.transcript import Transcript

__all__ = ["MakePeer", "make_lasting_peer", "make_peer", "peer", "settings", "transcript"]

MakePeer = Callable[[], Peer]
"""Returns a new peer with a name of its own."""


@pytest.fixture(scope="session")
def conformance(pytestconfig: pytest.Config) -> ConformancePlugin:
    """The run."""
    return pytestconfig.stash[ConformancePlugin.key]


@pytest.fixture(scope="session")
def settings(conformance: ConformancePlugin) -> Settings:
    """What the run was started with."""
    return conformance.settings


@pytest.fixture(scope="session")
def transcript(conformance: ConformancePlugin) -> Transcript:
    """All that was said in this run."""
    return conformance.transcript


@pytest.fixture(scope="session")
def make_lasting_peer(conformance: ConformancePlugin) -> Iterator[MakePeer]:
    """Make peers that stay until the end."""
    with contextlib.ExitStack() as peers:
        yield lambda: peers.enter_context(conformance.connect())


@pytest.fixture
def make_peer(conformance: ConformancePlugin) -> Iterator[MakePeer]:
    """Make peers that leave with the check."""
    with contextlib.ExitStack() as peers:
        yield lambda: peers.enter_context(conformance.connect())


@pytest.fixture
def peer(make_peer: MakePeer) -> Peer:
    """A peer of the check's own."""
    return make_peer()
