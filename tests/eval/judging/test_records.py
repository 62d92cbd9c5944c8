"""Records: files keep their order and refuse strangers."""

from __future__ import annotations

import numpy as np
import pytest

from eval.judging.process import Process
from eval.judging.records import RecordFile, read_records, record_type
from tdam.errors import UserError


@pytest.mark.parametrize(
    ("num_images", "processes", "batch_size", "chunk"),
    [(10, 1, 1, 3), (10, 3, 1, 2), (23, 2, 4, 8), (23, 3, 4, 1), (2, 3, 4, 4), (1, 4, 1, 1), (0, 2, 2, 4)],
)
def test_files_of_all_processes_come_back_in_split_order(tmp_path, num_images, processes, batch_size, chunk):
    paths = []
    for rank in range(processes):
        process = Process(rank, processes)
        share = process.share(num_images, batch_size)
        path = tmp_path / f"{rank}.npy"
        file = RecordFile(path, len(share), num_rows=2)
        shuffled = np.random.default_rng(rank).permutation(share)
        records = np.zeros(len(share), record_type(2))
        records["index"] = shuffled
        records["iou"][:, 0] = shuffled
        file.write(process.place(shuffled, batch_size), records)
        file.flush()
        paths.append(path)
    read = list(read_records(paths, batch_size, chunk))
    order = np.concatenate([records["index"] for records in read]) if read else np.empty(0)
    np.testing.assert_array_equal(order, np.arange(num_images))
    assert all((records["iou"][:, 0] == records["index"]).all() for records in read)


def test_records_of_another_run_are_refused(tmp_path):
    RecordFile(tmp_path / "a.npy", 5, num_rows=2)
    assert len(RecordFile(tmp_path / "a.npy", 5, num_rows=2, resume=True)) == 5
    for images, rows in ((6, 2), (5, 3)):
        with pytest.raises(UserError, match="another run"):
            RecordFile(tmp_path / "a.npy", images, rows, resume=True)
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="cannot be resumed"):
        RecordFile(tmp_path / "a.npy", 5, 2, resume=True)


def test_a_process_whose_file_is_elsewhere_is_named(tmp_path):
    with pytest.raises(UserError, match="shared folder"):
        list(read_records([tmp_path / "missing.npy"]))
