"""Arguments of `ExecutionServerLauncher`: checks, transfer by a pipe, digest, mismatch."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from launched_lab import (
    AnyArguments,
    DroppingPort,
    Lab,
    Model,
    Settings,
    Size,
    WithoutParameters,
    WithRequiredArgument,
)

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.execution.launch_arguments import (
    LaunchArgumentsError,
    compute_arguments_digest,
    pack_arguments,
    pickle_arguments,
    read_arguments,
)
from zmqruntime.messages import ApplicationInfo
from zmqruntime.transport import LaunchFailed, ServerMismatch, ServerMismatchWarning, ZMQConfig


@pytest.fixture
def zmq_config() -> Iterator[ZMQConfig]:
    """A configuration with a path that is short enough for a socket file."""
    with tempfile.TemporaryDirectory(prefix="zl-", dir="/tmp" if os.name == "posix" else None) as p:
        # Not the default port, on which a class that ignores its arguments would listen.
        yield ZMQConfig(default_port=23_456, runtime_dir=Path(p) / "run", log_dir=Path(p) / "log")


def launch(config: ZMQConfig, target: type | str, **arguments: Any) -> ExecutionClient:
    launcher = ExecutionServerLauncher(target, **arguments)
    return ExecutionClient(config=config, launcher=launcher, persistent=False)


# -- transfer ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "result"),
    [
        ("a secret", "a secret"),
        (Path("a.pt"), "a.pt"),
        (Model("large"), "large"),
        ("x" * 10**6,) * 2,
    ],
    ids=["text", "path", "own type", "longer than a pipe"],
)
def test_argument_reaches_the_constructor(
    zmq_config: ZMQConfig, model: object, result: str
) -> None:
    with launch(zmq_config, Lab, model=model, max_queued=9) as client:
        assert client.execute({}) == result


def test_argument_is_not_on_the_command_line(zmq_config: ZMQConfig) -> None:
    launcher = ExecutionServerLauncher(Lab, model="a secret")
    assert not any("secret" in word for word in launcher._command)
    assert launcher._command[4:] == ("--launched",)


def test_argument_is_pickled_when_the_launcher_is_created(zmq_config: ZMQConfig) -> None:
    model = Model("first")
    client = launch(zmq_config, Lab, model=model)
    model.name = "second"
    with client:
        assert client.execute({}) == "first"


def test_launcher_without_arguments_sends_no_input() -> None:
    launcher = ExecutionServerLauncher(Lab)
    assert launcher._stdin is None
    assert "--launched" not in launcher._command


# -- checks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("echoing:Echo", {"modell": 1}, "unexpected keyword argument 'modell'"),
        (WithRequiredArgument, {}, "missing a required argument: 'model'"),
        (
            WithoutParameters,
            {},
            "WithoutParameters.__init__ cannot be called .*'port'",
        ),
        (Lab, {"port": 3}, "port is not an argument of a launcher: pass it to the client"),
        (AnyArguments, {"config": None}, "config is not an argument of a launcher"),
        (Lab, {"model": threading.Lock()}, "model cannot be sent to the server's process: cannot"),
        (Lab, {"model": lambda: 1}, "model cannot be sent .*<lambda>"),
    ],
)
def test_invalid_arguments_are_refused_by_the_launcher(
    target: type | str, arguments: dict[str, Any], message: str
) -> None:
    if isinstance(target, str):
        __import__(target.partition(":")[0])
    with pytest.raises(TypeError, match=message):
        ExecutionServerLauncher(target, **arguments)


def test_type_defined_in_main_is_refused_by_the_launcher() -> None:
    own = type("Own", (), {"__module__": "__main__"})
    with pytest.raises(TypeError, match="Own is defined in __main__: move it to a"):
        ExecutionServerLauncher(Lab, model={"deep": [own()]})


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (AnyArguments, {"no_such": 1}, "unexpected keyword argument 'no_such'"),
        (AnyArguments, {"max_queued": -1}, "max_queued is -1: it has to be at least 0"),
        (
            DroppingPort,
            {},
            "DroppingPort.__init__ has to pass port, host, transport_mode and ",
        ),
    ],
)
def test_error_of_the_constructor_is_the_message_of_launch_failed(
    zmq_config: ZMQConfig, target: type, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(LaunchFailed, match=message):
        launch(zmq_config, target, **arguments).connect()


def test_truncated_arguments_raise() -> None:
    with pytest.raises(LaunchArgumentsError, match="launch arguments missing or truncated"):
        read_arguments(io.BytesIO(b""))


def test_argument_that_cannot_be_unpickled_is_named() -> None:
    packed = pack_arguments(
        {"model": pickle.dumps(Model("x")).replace(b"launched_lab", b"unlaunched__")}, ""
    )
    with pytest.raises(LaunchArgumentsError, match="argument model cannot be unpickled in the"):
        read_arguments(io.BytesIO(packed))


def test_arguments_survive_packing_and_reading() -> None:
    given = {"a": 1, "b": Path("x"), "c": {"d": (1, 2)}}
    packed = pack_arguments(pickle_arguments(given), "the digest")
    assert read_arguments(io.BytesIO(packed)) == ("the digest", given)


# -- digest -----------------------------------------------------------------------------------


VALUES: dict[str, Callable[[], Any]] = {
    "text": lambda: "a",
    "number": lambda: 1,
    "float": lambda: 1.0,
    "bool": lambda: True,
    "None": lambda: None,
    "path": lambda: Path("a"),
    "uuid": lambda: uuid.UUID(int=7),
    "enum": lambda: Size.LARGE,
    "type": lambda: Size,
    "list": lambda: ["a", "".join(["a"])],
    "tuple": lambda: ("a", "a"),
    "set": lambda: {"one", "two", "three", "four"},
    "mapping": lambda: {"x": 1, "y": {"z": 2}},
    "dataclass": lambda: Settings({"one", "two", "three"}),
    "own type": lambda: Model("a"),
    "function": lambda: compute_arguments_digest,
}


def test_digests_of_different_values_differ() -> None:
    assert len({compute_arguments_digest({"model": make()}) for make in VALUES.values()}) == len(
        VALUES
    )


@pytest.mark.parametrize("seed", ["1", "2"])
def test_digests_of_equal_values_are_equal_in_every_process(seed: str) -> None:
    here = [compute_arguments_digest({"model": make()}) for make in VALUES.values()]
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from test_launch_arguments import VALUES, compute_arguments_digest\n"
        "print([compute_arguments_digest({'model': make()}) for make in VALUES.values()])"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == repr(here)


def test_digest_ignores_the_order_of_arguments() -> None:
    first = compute_arguments_digest({"a": 1, "b": 2})
    assert compute_arguments_digest({"b": 2, "a": 1}) == first


def test_digest_of_no_arguments_is_none() -> None:
    assert compute_arguments_digest({}) is None


@pytest.mark.parametrize(
    "given",
    [{"model": "x"}, {"environment": {"A": "1"}}, {"journal": "x.journal"}, {"journal": True}],
)
def test_digest_covers_every_setting_of_a_launcher(given: dict[str, Any]) -> None:
    found = ApplicationInfo(class_path="launched_lab:Lab")
    plain, more = ExecutionServerLauncher(Lab), ExecutionServerLauncher(Lab, **given)
    assert plain.expect(found).arguments_digest is None
    assert more.expect(found).arguments_digest is not None


# -- mismatch ---------------------------------------------------------------------------------


@pytest.fixture
def lab(zmq_config: ZMQConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application module that this process does not import."""
    module = tmp_path / "own_lab.py"
    module.write_text(
        "from launched_lab import Lab as Base\n"
        "class Lab(Base):\n"
        "    def execute_task(self, request, context):\n"
        "        return ['first', super().execute_task(request, context)]\n"
    )
    (tmp_path / "alias_of_lab.py").write_text(
        "from own_lab import Lab\nAlias = Lab\nclass Other(Lab): pass\n"
    )
    (tmp_path / "exits.py").write_text("raise SystemExit('no module to import')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return module


def connect(config: ZMQConfig, target: str = "own_lab:Lab", **options: Any) -> ExecutionClient:
    arguments = {name: options.pop(name) for name in ("model",) if name in options}
    launcher = ExecutionServerLauncher(target, **arguments)
    client = ExecutionClient(config=config, launcher=launcher, **options)
    client.connect()
    return client


@pytest.fixture
def first(zmq_config: ZMQConfig, lab: Path) -> Any:
    """The client whose launcher has started the server."""
    client = connect(zmq_config, model="one", persistent=False)
    yield client
    client.disconnect()


def test_same_application_is_attached_without_a_warning(
    first: ExecutionClient, zmq_config: ZMQConfig, recwarn: pytest.WarningsRecorder
) -> None:
    with connect(zmq_config, model="one", on_mismatch="refuse") as client:
        assert client.execute({}) == ["first", "one"]
    assert "own_lab" not in sys.modules


@pytest.fixture
def unimported() -> Iterator[None]:
    """Forget the modules that a comparison imports."""
    yield
    for name in ("own_lab", "alias_of_lab"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("unimported")
@pytest.mark.parametrize("target", ["alias_of_lab:Lab", "alias_of_lab:Alias"])
def test_alias_of_the_class_is_the_same_application(
    first: ExecutionClient, zmq_config: ZMQConfig, target: str
) -> None:
    with connect(zmq_config, target, model="one", on_mismatch="refuse") as client:
        assert client.ping().process == first.ping().process


@pytest.mark.usefixtures("unimported")
@pytest.mark.parametrize("target", ["alias_of_lab:Other", "alias_of_lab:Missing", "exits:Lab"])
def test_refusal_names_the_other_target(
    first: ExecutionClient, zmq_config: ZMQConfig, target: str
) -> None:
    with pytest.raises(ServerMismatch, match=f"runs own_lab:Lab, .* starts {target}"):
        connect(zmq_config, target, model="one")


def test_module_of_the_same_name_in_another_directory_is_refused(
    first: ExecutionClient, zmq_config: ZMQConfig, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = lab.parent / "other"
    other.mkdir()
    (other / lab.name).write_text(lab.read_text())
    monkeypatch.syspath_prepend(other)
    with pytest.raises(ServerMismatch, match="own_lab:Lab from another directory"):
        connect(zmq_config, model="one")
    assert first.execute({}) == ["first", "one"]


def test_launcher_with_its_own_search_path_expects_no_origin(lab: Path) -> None:
    found = ApplicationInfo(class_path="own_lab:Lab", origin_digest="elsewhere")
    own = ExecutionServerLauncher("own_lab:Lab", environment={"PYTHONPATH": "elsewhere"})
    assert own.expect(found).origin_digest is None
    assert ExecutionServerLauncher("own_lab:Lab").expect(found).origin_digest is not None


def test_different_arguments_raise_a_warning(first: ExecutionClient, zmq_config: ZMQConfig) -> None:
    with pytest.warns(ServerMismatchWarning, match="own_lab:Lab with other arguments"):
        connect(zmq_config, model="two").disconnect()


def test_edited_module_raises_a_warning_or_restarts_the_server(
    first: ExecutionClient, zmq_config: ZMQConfig, lab: Path
) -> None:
    lab.write_text(lab.read_text().replace("first", "second"))
    with (
        pytest.warns(ServerMismatchWarning, match="from source files that differ"),
        connect(zmq_config, model="one") as client,
    ):
        assert client.execute({}) == ["first", "one"]
    with connect(zmq_config, model="one", on_mismatch="restart", persistent=False) as client:
        assert client.execute({}) == ["second", "one"]
