"""A launcher's arguments reach the constructor of the server's class, by a pipe, or are refused."""

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
from launched_lab import Closed, Deaf, Lab, Model, Needing, Open, Settings, Size

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
    """A configuration of this test's own. Its path is short enough for a socket file."""
    with tempfile.TemporaryDirectory(prefix="zl-", dir="/tmp" if os.name == "posix" else None) as p:
        # Not the default port, which a class that ignores its arguments would listen on.
        yield ZMQConfig(default_port=23_456, runtime_dir=Path(p) / "run", log_dir=Path(p) / "log")


def launch(config: ZMQConfig, target: type | str, **arguments: Any) -> ExecutionClient:
    launcher = ExecutionServerLauncher(target, **arguments)
    return ExecutionClient(config=config, launcher=launcher, persistent=False)


# -- what reaches the server -----------------------------------------------------------------


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
def test_an_argument_reaches_the_constructor(
    zmq_config: ZMQConfig, model: object, result: str
) -> None:
    with launch(zmq_config, Lab, model=model, max_queued=9) as client:
        assert client.execute({}) == result


def test_an_argument_is_on_no_command_line(zmq_config: ZMQConfig) -> None:
    launcher = ExecutionServerLauncher(Lab, model="a secret")
    assert not any("secret" in word for word in launcher._command)
    assert launcher._command[4:] == ("--launched",)


def test_an_argument_is_what_it_was_when_it_was_given(zmq_config: ZMQConfig) -> None:
    model = Model("first")
    client = launch(zmq_config, Lab, model=model)
    model.name = "second"
    with client:
        assert client.execute({}) == "first"


def test_a_server_without_arguments_reads_no_input() -> None:
    launcher = ExecutionServerLauncher(Lab)
    assert launcher._stdin is None
    assert "--launched" not in launcher._command


# -- what does not fit -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "arguments", "sentence"),
    [
        ("echoing:Echo", {"modell": 1}, "unexpected keyword argument 'modell'"),
        (Needing, {}, "missing a required argument: 'model'"),
        (Closed, {}, "Closed.__init__ cannot be called by a launcher: .*'port'"),
        (Lab, {"port": 3}, "port is not for a launcher: give it to the client"),
        (Open, {"config": None}, "config is not for a launcher"),
        (Lab, {"model": threading.Lock()}, "model cannot be sent to the server's process: cannot"),
        (Lab, {"model": lambda: 1}, "model cannot be sent .*<lambda>"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_launcher(
    target: type | str, arguments: dict[str, Any], sentence: str
) -> None:
    if isinstance(target, str):
        __import__(target.partition(":")[0])
    with pytest.raises(TypeError, match=sentence):
        ExecutionServerLauncher(target, **arguments)


def test_a_type_of_the_running_script_is_refused_by_the_launcher() -> None:
    own = type("Own", (), {"__module__": "__main__"})
    with pytest.raises(TypeError, match="Own is defined in the script that runs: move it to a"):
        ExecutionServerLauncher(Lab, model={"deep": [own()]})


@pytest.mark.parametrize(
    ("target", "arguments", "sentence"),
    [
        (Open, {"no_such": 1}, "unexpected keyword argument 'no_such'"),
        (Open, {"max_queued": -1}, "max_queued is -1: it has to be at least 0"),
        (Deaf, {}, "Deaf.__init__ has to pass port, host, transport_mode and config on to super"),
    ],
)
def test_what_only_the_server_finds_out_ends_the_launch_with_a_sentence(
    zmq_config: ZMQConfig, target: type, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LaunchFailed, match=sentence):
        launch(zmq_config, target, **arguments).connect()


def test_arguments_that_were_cut_off_are_an_error() -> None:
    with pytest.raises(LaunchArgumentsError, match="the arguments of the launcher did not come"):
        read_arguments(io.BytesIO(b""))


def test_an_argument_that_cannot_be_read_is_named() -> None:
    packed = pack_arguments(
        {"model": pickle.dumps(Model("x")).replace(b"launched_lab", b"unlaunched__")}, ""
    )
    with pytest.raises(LaunchArgumentsError, match="the argument model cannot be read in the"):
        read_arguments(io.BytesIO(packed))


def test_arguments_are_read_as_they_were_packed() -> None:
    given = {"a": 1, "b": Path("x"), "c": {"d": (1, 2)}}
    packed = pack_arguments(pickle_arguments(given), "the digest")
    assert read_arguments(io.BytesIO(packed)) == ("the digest", given)


# -- the digest ------------------------------------------------------------------------------


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


def test_the_digests_of_other_values_differ() -> None:
    assert len({compute_arguments_digest({"model": make()}) for make in VALUES.values()}) == len(
        VALUES
    )


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_digests_of_equal_values_are_equal_in_every_process(seed: str) -> None:
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


def test_the_order_of_arguments_does_not_count() -> None:
    first = compute_arguments_digest({"a": 1, "b": 2})
    assert compute_arguments_digest({"b": 2, "a": 1}) == first


def test_no_arguments_have_no_digest() -> None:
    assert compute_arguments_digest({}) is None


@pytest.mark.parametrize(
    "given",
    [{"model": "x"}, {"environment": {"A": "1"}}, {"journal": "x.journal"}, {"journal": True}],
)
def test_whatever_a_launcher_gives_is_part_of_the_digest(given: dict[str, Any]) -> None:
    found = ApplicationInfo(class_path="launched_lab:Lab")
    plain, more = ExecutionServerLauncher(Lab), ExecutionServerLauncher(Lab, **given)
    assert plain.expect(found).arguments_digest is None
    assert more.expect(found).arguments_digest is not None


# -- the right server ------------------------------------------------------------------------


@pytest.fixture
def lab(zmq_config: ZMQConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of an application that is imported here by nobody."""
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


def test_the_same_application_is_attached_to_without_a_word(
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
def test_another_name_of_the_class_is_the_same_application(
    first: ExecutionClient, zmq_config: ZMQConfig, target: str
) -> None:
    with connect(zmq_config, target, model="one", on_mismatch="refuse") as client:
        assert client.ping().process == first.ping().process


@pytest.mark.usefixtures("unimported")
@pytest.mark.parametrize("target", ["alias_of_lab:Other", "alias_of_lab:Missing", "exits:Lab"])
def test_another_target_is_refused_by_its_own_name(
    first: ExecutionClient, zmq_config: ZMQConfig, target: str
) -> None:
    with pytest.raises(ServerMismatch, match=f"runs own_lab:Lab, .* starts {target}"):
        connect(zmq_config, target, model="one")


def test_a_module_of_the_same_name_in_another_directory_is_refused(
    first: ExecutionClient, zmq_config: ZMQConfig, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = lab.parent / "other"
    other.mkdir()
    (other / lab.name).write_text(lab.read_text())
    monkeypatch.syspath_prepend(other)
    with pytest.raises(ServerMismatch, match="own_lab:Lab from another directory"):
        connect(zmq_config, model="one")
    assert first.execute({}) == ["first", "one"]


def test_a_launcher_with_a_search_path_of_its_own_expects_no_origin(lab: Path) -> None:
    found = ApplicationInfo(class_path="own_lab:Lab", origin_digest="elsewhere")
    own = ExecutionServerLauncher("own_lab:Lab", environment={"PYTHONPATH": "elsewhere"})
    assert own.expect(found).origin_digest is None
    assert ExecutionServerLauncher("own_lab:Lab").expect(found).origin_digest is not None


def test_other_arguments_are_warned_of(first: ExecutionClient, zmq_config: ZMQConfig) -> None:
    with pytest.warns(ServerMismatchWarning, match="own_lab:Lab with other arguments"):
        connect(zmq_config, model="two").disconnect()


def test_an_edited_module_is_warned_of_and_replaced_on_request(
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
