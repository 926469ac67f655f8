"""Lock files: private, and refused if they are planted."""

from __future__ import annotations

import os
from pathlib import Path

import filelock
import pytest
from transport_files import mode_of, plant_directory, plant_hard_link, plant_link, plant_pipe, posix

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.lock_file import acquire_lock


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_lock_file_has_mode_0600_whatever_the_umask(runtime_dir: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        lock = acquire_lock(runtime_dir / "a.lock", timeout=0)
    finally:
        os.umask(before)
    assert mode_of(runtime_dir / "a.lock") == 0o600
    with pytest.raises(filelock.Timeout):
        acquire_lock(runtime_dir / "a.lock", timeout=0)
    lock.release()
    acquire_lock(runtime_dir / "a.lock", timeout=0).release()


@posix
@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_pipe, plant_directory])
def test_planted_lock_file_is_refused(runtime_dir: Path, plant: object) -> None:
    assert callable(plant)
    target = runtime_dir / "precious"
    target.write_bytes(b"precious")
    plant(runtime_dir / "a.lock", target)
    with pytest.raises(UnsafePath, match=f"{runtime_dir / 'a.lock'} "):
        acquire_lock(runtime_dir / "a.lock", timeout=0)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("error", [OSError("no locks available"), NotImplementedError("no flock")])
def test_lock_on_a_file_system_without_locks_is_an_endpoint_error(
    runtime_dir: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with pytest.raises(EndpointError, match=f"a.lock cannot be locked: {error}. Set runtime_dir"):
        acquire_lock(runtime_dir / "a.lock", timeout=0)
