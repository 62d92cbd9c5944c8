"""Files are written whole or not at all, read back only as they were written, and folders held by one process."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tdam.errors import UserError
from tdam.files import (
    DamagedFileError,
    WriteError,
    cache_root,
    file_sha256,
    folder_lock,
    read_checked,
    replacing,
    tensors_sha256,
    write_bytes,
    write_checked,
    write_text,
)

HOLD = """
import sys, time
from pathlib import Path
from tdam.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_ends_half_way_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "a.json"
    path.write_text("good")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises((WriteError, KeyboardInterrupt)) as raised:
        write_half()

    assert path.read_text() == "good"
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]
    if isinstance(failure, OSError):
        assert str(raised.value) == (
            f"cannot write {path}: No space left on device; free some space, or choose another folder"
        )


def test_a_defect_in_what_is_written_is_no_error_of_the_disk(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_written_file_has_the_permissions_of_any_new_file_and_its_suffix_while_it_is_written(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "sub" / "a.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path / "sub"
    assert (tmp_path / "sub" / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_folder_or_a_device_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", Path(os.devnull)):
        with pytest.raises(WriteError, match="folder or a device; choose another name"):
            write_bytes(path, b"x")
    assert (tmp_path / "folder").is_dir()
    assert not Path(os.devnull).is_file()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("mine")
    for write in (lambda: write_bytes(tmp_path / "out" / "a", b""), lambda: folder_lock(tmp_path / "out").__enter__()):
        with pytest.raises(WriteError, match=r"cannot write .*out.*: .*; a file is in the way"):
            write()
    assert (tmp_path / "out").read_text() == "mine"


def test_every_single_flipped_bit_of_a_checked_file_is_noticed(tmp_path):
    path = tmp_path / "state"
    write_checked(path, b"\x00\x01 numbers \n\xff")
    assert read_checked(path) == b"\x00\x01 numbers \n\xff"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match="is damaged"):
            read_checked(path)


@pytest.mark.parametrize("length", [0, 5, 71, 75])
def test_a_cut_file_is_noticed(tmp_path, length):
    path = tmp_path / "state"
    write_checked(path, b"numbers")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError):
        read_checked(path)


def test_digests(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    tensors = {"b": torch.arange(3), "a": torch.ones(2, 2).t()}
    content = b"a" + np.ones(4, np.float32).tobytes() + b"b" + np.arange(3).tobytes()
    assert tensors_sha256(tensors) == hashlib.sha256(content).hexdigest()
    assert tensors_sha256(tensors | {"b": torch.tensor([0, 1, 3])}) != tensors_sha256(tensors)


@pytest.mark.parametrize("value", [None, ""])
def test_the_cache_is_at_home_unless_named(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WSOL_CACHE", value or "")
    if value is None:
        monkeypatch.delenv("WSOL_CACHE")
    assert cache_root() == tmp_path / ".cache" / "wsol"
    monkeypatch.setenv("WSOL_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"


def test_a_second_process_is_told_who_holds_the_folder_until_that_is_killed(tmp_path):
    folder = tmp_path / "out"
    (folder).mkdir()
    (folder / ".results.part-0123.json").write_text("left by a killed run")
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            with pytest.raises(UserError, match=f"in use by process {holder.pid} on .* since .*") as raised:
                folder_lock(folder).__enter__()
            assert str(folder) in str(raised.value)
        finally:
            holder.kill()
    with folder_lock(folder):
        assert not list(folder.glob("*.part-*"))
    with folder_lock(folder):
        pass
