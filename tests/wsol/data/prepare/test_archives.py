import io
import os
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from tiny_datasets import write_tar, write_zip

from wsol.data import DatasetError
from wsol.data.prepare import archives
from wsol.data.prepare.archives import HostileArchiveError, members, unpack

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(range(256)) * 40, "three": b""}


def everything(name: str) -> str:
    return name


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz", "zip"])
def test_unpacks_every_kind(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    write_zip(path, FILES) if kind == "zip" else write_tar(path, FILES, kind)
    assert {m.name: m.size for m in members(path)} == {name: len(data) for name, data in FILES.items()}
    root = tmp_path / "root"
    root.mkdir()
    assert unpack(path, root, everything) == sorted(FILES)
    assert tree(root) == FILES
    assert not list(root.glob(".unpacking*"))


def test_place_moves_and_leaves_out(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", FILES)
    root = tmp_path / "root"
    root.mkdir()
    unpack(path, root, lambda name: name.replace("a/", "x/") if name != "three" else None)
    assert set(tree(root)) == {"x/one.txt", "x/b/two.bin"}


def hostile_tar(path: Path, name: str, **fields: object) -> Path:
    with tarfile.open(path, "w") as tar:
        good = tarfile.TarInfo("good.txt")
        good.size = 4
        tar.addfile(good, io.BytesIO(b"good"))
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(b"evil" if info.isreg() else b""))
    return path


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../evil", {"size": 4}),
        ("a/../../evil", {"size": 4}),
        ("a/../evil", {"size": 4}),
        ("..", {"type": tarfile.DIRTYPE}),
        ("/etc/evil", {"size": 4}),
        ("//evil", {"size": 4}),
        ("C:/evil", {"size": 4}),
        ("a\\..\\evil", {"size": 4}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": "good.txt"}),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "good.txt"}),
        ("device", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
        ("device", {"type": tarfile.BLKTYPE}),
        ("pipe", {"type": tarfile.FIFOTYPE}),
    ],
)
def test_hostile_tars_are_refused_whole(name: str, fields: dict[str, object], tmp_path: Path) -> None:
    path = hostile_tar(tmp_path / "evil.tar", name, **fields)
    root = tmp_path / "home" / "root"
    root.mkdir(parents=True)
    with pytest.raises(HostileArchiveError, match=r"evil\.tar: refused, its member"):
        unpack(path, root, everything)
    assert tree(tmp_path) == {"evil.tar": path.read_bytes()}
    assert not list(root.iterdir())


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "link"])
def test_hostile_zips_are_refused_whole(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("good.txt", "good")
        info = zipfile.ZipInfo(name)
        if name == "link":
            info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(HostileArchiveError, match=r"evil\.zip: refused, its member"):
        unpack(tmp_path / "evil.zip", root, everything)
    assert not list(root.iterdir())


def test_a_place_outside_is_refused_too(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES)
    with pytest.raises(HostileArchiveError):
        unpack(path, tmp_path, lambda name: "../" + name)


@pytest.mark.parametrize("kind", ["", "gz", "zip"])
def test_damaged_archives_leave_nothing(kind: str, tmp_path: Path) -> None:
    noise = {"noise": os.urandom(50_000), "more": os.urandom(50_000)}
    path = tmp_path / "cut"
    write_zip(path, noise) if kind == "zip" else write_tar(path, noise, kind)
    path.write_bytes(path.read_bytes()[:70_000])
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(DatasetError, match="cut: damaged, incomplete or no archive"):
        unpack(path, root, everything)
    assert not list(root.iterdir())


def test_wrong_checksum_in_a_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a": b"x" * 1000})
    path.write_bytes(path.read_bytes().replace(b"x" * 10, b"y" * 10, 1))
    with pytest.raises(DatasetError, match="Bad CRC"):
        unpack(path, tmp_path, everything)


def test_no_archive_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DatasetError, match="text: damaged, incomplete or no archive"):
        list(members(tmp_path / "text"))
    with pytest.raises(DatasetError, match="gone: No such file"):
        list(members(tmp_path / "gone"))


def test_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES)
    root = tmp_path / "root"
    (root / ".unpacking-999999999" / "half").mkdir(parents=True)
    unpack(path, root, everything)
    assert tree(root) == FILES
    assert not list(root.glob(".unpacking*"))


def test_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "a.tar", FILES)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DatasetError, match=r"0\.0 GB free, .* needed to unpack a\.tar; free some space"):
        unpack(path, tmp_path, everything)


def zeros(path: Path, kind: str, size: int) -> Path:
    files = {"good.txt": b"good", "zeros.bin": bytes(size)}
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    return write_tar(path, files, kind)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_files_far_larger_than_their_archive_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "SMALL", 2**16)
    path = zeros(tmp_path / "bomb", kind, 2**23)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(HostileArchiveError, match="over 200 times the archive's size"):
        unpack(path, root, everything)
    assert tree(root) == {}
    with pytest.raises(HostileArchiveError):
        list(members(path))
    monkeypatch.setattr(archives, "SMALL", 2**24)
    assert unpack(path, root, everything) == ["good.txt", "zeros.bin"]


def test_the_disk_is_asked_for_the_unpacked_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zeros(tmp_path / "archive", "gz", 2**22)
    root = tmp_path / "root"
    root.mkdir()
    usage = namedtuple("usage", "total used free")(2**40, 0, 2**21)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DatasetError, match=r"0\.0 GB free, 0\.0 GB needed to unpack zeros\.bin"):
        unpack(path, root, everything)
    assert tree(root) == {}


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        info = tarfile.TarInfo("././@PaxHeader")
        info.type, info.size = tarfile.XHDTYPE, 2**21
        tar.addfile(info, io.BytesIO(b"1" * 2**21))
    with pytest.raises(DatasetError, match="damaged, incomplete or no archive"):
        list(members(tmp_path / "t.tar"))


def test_a_method_nobody_has_and_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "m.zip", FILES)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.find(mark) + offset] = 99
    path.write_bytes(content)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(DatasetError, match="damaged, incomplete or no archive"):
        unpack(path, root, everything)
    with pytest.raises(HostileArchiveError, match="is not text"):
        unpack(hostile_tar(tmp_path / "u.tar", "\udcff.txt", size=4), root, everything)
    assert tree(root) == {}
