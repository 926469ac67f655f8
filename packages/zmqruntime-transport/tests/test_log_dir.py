"""Log directories: readable by others or a link of this user, but not writable by others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zmqruntime.transport import EndpointError
from zmqruntime.transport.lowlevel import make_private_dir

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_log_directory_that_others_only_read_is_accepted(tmp_path: Path, mode: int) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log").chmod(mode)
    make_private_dir(tmp_path / "log", "log_dir")


@pytest.mark.parametrize("mode", [0o770, 0o757, 0o777])
def test_log_directory_that_others_write_into_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log").chmod(mode)
    with pytest.raises(EndpointError, match=r"others can write into .*: set log_dir .--log-dir."):
        make_private_dir(tmp_path / "log", "log_dir")


@pytest.mark.parametrize("setting", ["log_dir", "runtime_dir"])
def test_log_directory_only_may_be_a_link(tmp_path: Path, setting: str) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to("real")
    if setting == "log_dir":
        make_private_dir(link, setting)
    else:
        with pytest.raises(EndpointError, match="is not a directory, but a symbolic link"):
            make_private_dir(link, setting)


def test_link_to_a_directory_that_others_write_into_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real").chmod(0o777)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(EndpointError, match="others can write into"):
        make_private_dir(tmp_path / "link", "log_dir")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root gives it away")
def test_link_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    os.lchown(tmp_path / "link", 12345, 12345)
    with pytest.raises(EndpointError, match="link belongs to user 12345"):
        make_private_dir(tmp_path / "link", "log_dir")


def test_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("missing")
    with pytest.raises(EndpointError, match="link"):
        make_private_dir(tmp_path / "link", "log_dir")
