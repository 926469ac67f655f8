"""Public names and import cost of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zmqruntime import testing
from zmqruntime.messages import ZMQRuntimeError

_NAMES = [
    "ClientFactory",
    "FakeExecutionServer",
    "FakeServerFactory",
    "Fault",
    "FaultProxy",
    "FaultProxyFactory",
    "InMemoryExecutionServer",
    "Lane",
    "LeftRunning",
    "MovableClock",
    "ProxyFailed",
    "RecordedProgress",
    "Rule",
    "RuleNeverFired",
    "Script",
    "ScriptMismatch",
    "ServerFactory",
    "TaskEnvironment",
    "UsedAfterTest",
    "__version__",
    "connect_in_memory",
    "isolated_config",
]


def test_public_names_are_unchanged() -> None:
    # Removing a name is a breaking change, which belongs into the changelog.
    assert sorted(testing.__all__) == _NAMES


@pytest.mark.parametrize("name", sorted(set(_NAMES) - {"__version__"}))
def test_public_names_are_importable(name: str) -> None:
    value = getattr(testing, name)
    assert value.__name__ == name
    assert name in dir(testing)


def test_unknown_name_raises_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FakeServer'"):
        testing.FakeServer  # noqa: B018


@pytest.mark.parametrize(
    "name", ["LeftRunning", "ProxyFailed", "RuleNeverFired", "ScriptMismatch", "UsedAfterTest"]
)
def test_errors_derive_from_zmqruntime_error(name: str) -> None:
    assert issubclass(getattr(testing, name), ZMQRuntimeError)


def test_plugin_imports_nothing_else() -> None:
    # pytest loads the plugin in every run of every project that has it installed.
    code = (
        "import sys, pytest; before = set(sys.modules); import zmqruntime.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    ours = {"", ".testing", ".testing._version", ".testing.plugin"}
    assert set(done.stdout.split()) == {f"zmqruntime{name}" for name in ours}


def test_namespace_package_has_no_init() -> None:
    assert not (Path(testing.__path__[0]).parent / "__init__.py").exists()


def test_package_is_marked_as_typed() -> None:
    assert (Path(testing.__path__[0]) / "py.typed").exists()
