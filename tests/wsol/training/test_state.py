from __future__ import annotations

import io

import pytest
import torch

from tdam.errors import CheckpointError
from tdam.files import write_checked
from wsol.training.state import keep_earlier_run, load_state, save_state


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {"weights": torch.arange(5.0), "position": {"epoch": 3, "rows": [{"loss": 0.1}]}, "ema": None}
    save_state(tmp_path / "run" / "state.pt", state)
    loaded = load_state(tmp_path / "run" / "state.pt")
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "state.pt"
    save_state(path, {"weights": torch.arange(5.0), "position": {"epoch": 3}})
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 61):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"state\.pt is damaged.*without --resume"):
            load_state(path)


def test_damaged_and_executable_files_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_state(path)
    content = io.BytesIO()
    torch.save({"run": print}, content)
    write_checked(path, content.getvalue())
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(path)


def test_an_earlier_run_is_moved_beside_file_by_file_and_nothing_else(tmp_path):
    folder = tmp_path / "run"
    (folder / "tensorboard").mkdir(parents=True)
    for name in ("best.safetensors", "state.pt", "tensorboard/events", "notes.txt"):
        (folder / name).write_text(name)
    (tmp_path / "run-1").mkdir()
    assert keep_earlier_run(folder) == tmp_path / "run-2"
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt"]
    moved = sorted(path.name for path in (tmp_path / "run-2").iterdir())
    assert moved == [
        "best.safetensors",
        "state.pt",
        "tensorboard",
    ]
    assert keep_earlier_run(folder) is None


def test_checkpoints_without_a_state_are_an_earlier_run_too(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_text("weights")
    assert keep_earlier_run(tmp_path / "run") == tmp_path / "run-1"
    assert (tmp_path / "run-1" / "best.safetensors").read_text() == "weights"
