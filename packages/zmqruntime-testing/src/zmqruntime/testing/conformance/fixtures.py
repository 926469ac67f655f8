"""Fixtures of the checks: peers, settings and the transcript."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.run_plugin import ConformancePlugin
from zmqruntime.testing.conformance.target import Settings
from zmqruntime.testing.conformance.transcript import Transcript

__all__ = ["MakePeer", "make_lasting_peer", "make_peer", "peer", "settings", "transcript"]

MakePeer = Callable[[], Peer]
"""Returns a new peer with a unique name."""


@pytest.fixture(scope="session")
def conformance(pytestconfig: pytest.Config) -> ConformancePlugin:
    """The plugin of this run."""
    return pytestconfig.stash[ConformancePlugin.key]


@pytest.fixture(scope="session")
def settings(conformance: ConformancePlugin) -> Settings:
    """The settings of this run."""
    return conformance.settings


@pytest.fixture(scope="session")
def transcript(conformance: ConformancePlugin) -> Transcript:
    """The transcript of this run."""
    return conformance.transcript


@pytest.fixture(scope="session")
def make_lasting_peer(conformance: ConformancePlugin) -> Iterator[MakePeer]:
    """Make peers that are closed at the end of the run."""
    with contextlib.ExitStack() as peers:
        yield lambda: peers.enter_context(conformance.connect())


@pytest.fixture
def make_peer(conformance: ConformancePlugin) -> Iterator[MakePeer]:
    """Make peers that are closed at the end of the check."""
    with contextlib.ExitStack() as peers:
        yield lambda: peers.enter_context(conformance.connect())


@pytest.fixture
def peer(make_peer: MakePeer) -> Peer:
    """A peer for this check."""
    return make_peer()
