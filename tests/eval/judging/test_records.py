"""Records: files keep their order, and what a killed run left is taken only whole."""

from __future__ import annotations

import numpy as np
import pytest

from eval.judging.process import Process
from eval.judging.records import RecordFile, read_records, record_type
from tdam.errors import UserError
from tdam.files import WriteError


def records_of(indices):
    records = np.zeros(len(indices), record_type(2))
    records["index"] = indices
    records["iou"][:, 0] = indices
    return records


@pytest.mark.parametrize(
    ("num_images", "processes", "batch_size", "chunk"),
    [(10, 1, 1, 3), (10, 3, 1, 2), (23, 2, 4, 8), (23, 3, 4, 1), (2, 3, 4, 4), (1, 4, 1, 1), (0, 2, 2, 4)],
)
def test_files_of_all_processes_come_back_in_split_order(tmp_path, num_images, processes, batch_size, chunk):
    paths = []
    for rank in range(processes):
        share = Process(rank, processes).share(num_images, batch_size)
        file = RecordFile(tmp_path / f"{rank}.bin", record_type(2))
        for start in range(0, len(share), batch_size):
            batch = share[start : start + batch_size]
            # Unreadable images stand last in a batch, whatever their place in the split.
            file.append(records_of(np.random.default_rng(rank).permutation(batch)))
        file.close()
        paths.append(file.path)
    read = list(read_records(paths, record_type(2), batch_size, chunk))
    order = np.concatenate([records["index"] for records in read]) if read else np.empty(0)
    np.testing.assert_array_equal(order, np.arange(num_images))
    assert all((records["iou"][:, 0] == records["index"]).all() for records in read)


def killed(path):
    """A file of six records, of which four were known to the last state; returns their digest."""
    file = RecordFile(path, record_type(2))
    file.append(records_of(np.arange(4)))
    file.flush()
    digest = file.sha256
    file.append(records_of(np.array([4, 5])))
    file.close()
    return digest


def test_what_was_written_after_the_state_is_judged_again(tmp_path):
    path = tmp_path / "a.bin"
    file = RecordFile(path, record_type(2), keep=4, sha256=killed(path))
    file.append(records_of(np.array([4, 5, 6])))
    digest = file.sha256
    file.close()
    (read,) = read_records([path], record_type(2))
    assert read["index"].tolist() == list(range(7))
    assert RecordFile(path, record_type(2), keep=7, sha256=digest).sha256 == digest


def test_every_damaged_bit_of_the_kept_records_is_noticed(tmp_path):
    path = tmp_path / "a.bin"
    digest = killed(path)
    whole = path.read_bytes()
    kept = 4 * record_type(2).itemsize
    for bit in range(0, 8 * kept, 1013):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.bin is damaged.*--restart"):
            RecordFile(path, record_type(2), keep=4, sha256=digest)
        assert path.read_bytes() == damaged
    for content in (whole[: kept - 1], b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.bin is damaged.*--restart"):
            RecordFile(path, record_type(2), keep=4, sha256=digest)
    path.unlink()
    with pytest.raises(UserError, match=r"a\.bin cannot be read \(No such file or directory\); --restart"):
        RecordFile(path, record_type(2), keep=4, sha256=digest)


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "a.bin").symlink_to("/dev/full")  # every write to it fails as on a full disk
    file = RecordFile(tmp_path / "a.bin", record_type(2))
    with pytest.raises(WriteError, match=r"cannot write .*a\.bin: No space left on device; free some space"):
        write_much(file)
    file.close()


def test_a_file_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    with pytest.raises(WriteError, match=r"cannot write .*gone/a\.bin: No such file or directory"):
        RecordFile(tmp_path / "gone" / "a.bin", record_type(2))


def test_what_the_disk_refuses_only_at_the_end_is_told_as_well(tmp_path):
    (tmp_path / "a.bin").symlink_to("/dev/full")
    file = RecordFile(tmp_path / "a.bin", record_type(2))
    file.append(records_of(np.arange(1)))  # stays in the buffer
    with pytest.raises(WriteError, match=r"cannot write .*a\.bin: No space left on device; free some space"):
        file.flush()
    file.close()


def write_much(file):
    file.append(records_of(np.arange(1000)))
    file.flush()
