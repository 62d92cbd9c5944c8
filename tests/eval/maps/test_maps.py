"""Score maps from files and from a network."""

from __future__ import annotations

import dataclasses
import tarfile

import numpy as np
import pytest
import torch
from tiny_source import tiny_split

from eval.maps import FolderMaps, MapWriter, NetworkMaps, score_map_file
from eval.maps.folder import read_score_map
from tdam.errors import UnknownNameError, UserError
from wsol.data.files.stores import Folder


@pytest.fixture
def folder(tmp_path):
    truth, maps, _ = tiny_split(num_images=5)
    for image, image_id in enumerate(truth.image_ids):
        np.save(score_map_file(tmp_path, image_id), maps[:, image].astype(np.float64))
    return tmp_path, truth, maps


def test_maps_come_back_as_they_were_written(folder):
    path, truth, maps = folder
    source = FolderMaps(path, truth, batch_size=2)
    assert (source.steps, source.map_size, source.has_logits) == (2, (20, 28), False)
    batches = list(source.batches([4, 0, 2]))
    np.testing.assert_array_equal(np.concatenate([batch.indices for batch in batches]), [4, 0, 2])
    np.testing.assert_array_equal(np.concatenate([b.score_maps for b in batches], axis=1), maps[:, [4, 0, 2]])
    assert batches[0].score_maps.dtype == np.float64, "the precision of the file decides about truncation"


def test_written_maps_of_one_step_are_two_dimensional(folder, tmp_path):
    path, truth, maps = folder
    (batch,) = FolderMaps(path, truth).batches([0, 1])
    MapWriter(tmp_path / "all", truth).write(batch)
    assert np.load(tmp_path / "all" / "0.png.npy").shape == (2, 20, 28)
    one_step = type(batch)(batch.indices, batch.score_maps[:1], None, None, None, batch.degenerate[:1])
    MapWriter(tmp_path / "one", truth).write(one_step)
    np.testing.assert_array_equal(np.load(tmp_path / "one" / "1.png.npy"), maps[0, 1])


def nan(maps):
    maps[0, 3, 3] = np.nan
    return maps


FAULTS = {
    "leaves [0, 1]": (lambda maps: maps * 2, r"\[0, 2\]"),
    "integers": (lambda maps: (maps * 255).astype(np.uint8), "uint8"),
    "one axis": (lambda maps: maps.reshape(-1), "shape"),
    "other size": (lambda maps: maps[:, :-1], "must agree"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_malformed_files_stop_or_count(folder, fault):
    path, truth, maps = folder
    damage, message = FAULTS[fault]
    np.save(score_map_file(path, "3.png"), damage(maps[:, 3]))
    with pytest.raises(UserError, match=message):
        list(FolderMaps(path, truth).batches(range(5)))
    batches = list(FolderMaps(path, truth, on_error="count").batches(range(5)))
    assert [index for batch in batches for index in batch.unreadable] == [3]


def test_missing_truncated_and_pickled_files_are_named(folder):
    path, truth, maps = folder
    score_map_file(path, "0.png").unlink()
    with pytest.raises(UserError, match=r"0\.png\.npy is missing"):
        FolderMaps(path, truth).steps  # noqa: B018 - the first file is read here
    victim = score_map_file(path, "1.png")
    victim.write_bytes(victim.read_bytes()[:90])
    np.save(score_map_file(path, "2.png"), np.array([{"a": 1}]), allow_pickle=True)
    (batch,) = FolderMaps(path, truth, on_error="count").batches(range(5))
    assert set(batch.unreadable) == {0, 1, 2}
    np.testing.assert_array_equal(batch.score_maps[:, :2], maps[:, 3:])
    assert not batch.score_maps[:, 2:].any()


@pytest.mark.parametrize("shards", [1, 3])
def test_maps_in_tars_are_read_as_from_a_folder(folder, tmp_path, shards):
    path, truth, _ = folder
    np.save(score_map_file(path, "1.png"), np.asfortranarray(np.load(score_map_file(path, "1.png")).astype(np.float32)))
    packed = tmp_path / "packed"
    packed.mkdir()
    for number in range(shards):
        with tarfile.open(packed / f"maps-{number:03}.tar", "w") as tar:
            for image_id in truth.image_ids[number::shards]:
                tar.add(score_map_file(path, image_id), f"./{image_id}.npy")
    tars = packed if shards > 1 else packed / "maps-000.tar"
    loose, streamed = (list(FolderMaps(place, truth, batch_size=2).batches(range(5))) for place in (path, tars))
    for one, other in zip(loose, streamed, strict=True):
        np.testing.assert_array_equal(one.score_maps, other.score_maps)
        assert one.indices.tolist() == other.indices.tolist()
    truth = dataclasses.replace(truth, image_ids=("9.png", *truth.image_ids[1:]))
    with pytest.raises(UserError, match=r"tar:9\.png\.npy is missing"):
        list(FolderMaps(tars, truth).batches(range(5)))


def test_a_place_without_maps_and_a_compressed_tar_are_refused(folder, tmp_path):
    _, truth, _ = folder
    with pytest.raises(UserError, match="nowhere is missing: give a folder"):
        FolderMaps(tmp_path / "nowhere", truth).steps  # noqa: B018
    with tarfile.open(tmp_path / "maps.tar", "w:gz"):
        pass
    with pytest.raises(UserError, match=r"maps\.tar: not an uncompressed tar"):
        FolderMaps(tmp_path / "maps.tar", truth).steps  # noqa: B018


def test_a_folder_without_any_readable_map_is_refused(tmp_path):
    truth, _, _ = tiny_split(num_images=3)
    with pytest.raises(UserError, match="no readable map"):
        FolderMaps(tmp_path, truth, on_error="count").steps  # noqa: B018


def test_nan_maps_become_zeros_and_constant_maps_stay(folder):
    path, truth, maps = folder
    np.save(score_map_file(path, "0.png"), nan(maps[:, 0].copy()))
    np.save(score_map_file(path, "1.png"), np.ones((2, 20, 28)))
    (batch,) = FolderMaps(path, truth).batches(range(5))
    assert batch.degenerate.T.tolist() == [[True, False], [True, True], [False] * 2, [False] * 2, [False] * 2]
    assert not batch.score_maps[0, 0].any()
    np.testing.assert_array_equal(batch.score_maps[1, 0], maps[1, 0])
    assert (batch.score_maps[:, 1] == 1).all()


def test_an_unknown_precision_lists_the_valid_ones():
    with pytest.raises(UnknownNameError, match="fp32"):
        NetworkMaps(None, None, device=torch.device("cpu"), precision="fp23")


@pytest.mark.parametrize(
    "kind",
    ["archive", "torn archive", "declares 4 TB", "negative", "overflow", "empty", "pickle", "cut", "long header"],
)
def test_a_file_that_is_no_map_is_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4), np.float32))
    whole = path.read_bytes()
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    if kind in ("archive", "torn archive"):
        with path.open("wb") as file:
            np.savez(file, a=np.zeros((4, 4), np.float32))
        if kind == "torn archive":
            path.write_bytes(path.read_bytes()[:-30])
    elif kind in ("declares 4 TB", "negative", "overflow"):
        shape = {"declares 4 TB": b"1000000, 1000000", "negative": b"-1, 4", "overflow": b"9" * 25 + b", 4"}[kind]
        header = header.replace(b"1000000, 1000000", shape)
        path.write_bytes(b"\x93NUMPY\x01\0" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n")
    elif kind == "long header":
        path.write_bytes(b"\x93NUMPY\x02\0" + (20000).to_bytes(4, "little") + header.ljust(19999) + b"\n")
    elif kind == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(b"" if kind == "empty" else whole[:-5])
    with pytest.raises(UserError, match=r"a\.npy") as raised:
        read_score_map(Folder(tmp_path), "a")
    assert "\n" not in str(raised.value)
