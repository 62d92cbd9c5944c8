from __future__ import annotations

import io

import pytest
import torch

from tdam.errors import CheckpointError
from tdam.files import write_checked
from wsol.training.state import load_state, save_state


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
