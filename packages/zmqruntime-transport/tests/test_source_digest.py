"""Source digests change with the files of the application only."""

from __future__ import annotations

from pathlib import Path

import pytest

from zmqruntime.transport.process.source_digest import compute_source_digest, find_source

FILES = {
    "lab.py": "import steps\nfrom parts import (\n    filter,\n)\n",
    "steps.py": "STEPS = 3\n",
    "unrelated.py": "x = 1\n",
    "parts/__init__.py": "",
    "parts/filter.py": "from . import kernel\nfrom .deep.core import f\n",
    "parts/kernel.py": "import json, steps\n",
    "parts/unused.py": "",
    "parts/deep/__init__.py": "",
    "parts/deep/core.py": "def f():\n    import late\n",
    "late.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, FILES)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "is_part"),
    [
        *((name, name not in ("unrelated.py", "parts/unused.py")) for name in FILES),
        ("new.py", False),
    ],
)
def test_digest_includes_imports_from_beside_a_module(root: Path, name: str, is_part: bool) -> None:
    before = compute_source_digest(root / "lab.py")
    assert before == compute_source_digest(root / "lab.py")
    text = (root / name).read_text() if name in FILES else ""
    (root / name).write_text(f"{text}# edited\n")
    assert (compute_source_digest(root / "lab.py") != before) is is_part


def test_digest_of_a_package_is_independent_of_its_place(tmp_path: Path) -> None:
    digests = set()
    for place in ("here", "there"):
        write(tmp_path / place, FILES)
        digests.add(compute_source_digest(tmp_path / place / "parts" / "filter.py"))
    assert len(digests) == 1


def test_digest_of_an_installed_module_includes_its_package_only(tmp_path: Path) -> None:
    root = tmp_path / "site-packages"
    write(root, FILES)
    before = compute_source_digest(root / "parts" / "filter.py")
    (root / "steps.py").write_text("edited")
    assert compute_source_digest(root / "parts" / "filter.py") == before
    (root / "parts" / "kernel.py").write_text("edited")
    assert compute_source_digest(root / "parts" / "filter.py") != before


def test_modules_that_import_each_other_are_read_once(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "import b", "b.py": "import a"})
    assert compute_source_digest(tmp_path / "a.py")


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"from . import x\nfrom .. import y"])
def test_text_that_is_no_python_has_a_digest(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "odd.py").write_bytes(text)
    assert compute_source_digest(tmp_path / "odd.py")


def test_module_without_a_file_has_no_digest(tmp_path: Path) -> None:
    assert compute_source_digest(None) is None
    assert compute_source_digest(tmp_path / "missing.py") is None


def test_source_is_found_without_an_import(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(root)
    assert find_source("unrelated") == root / "unrelated.py"
    assert find_source(__name__) == Path(__file__)
    for nothing in ("no_such_module", "sys", "no_such_package.module"):
        assert find_source(nothing) is None
