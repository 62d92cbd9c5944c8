from __future__ import annotations

import pytest
import torch

from tdam.errors import CheckpointError, UserError
from wsol.training.state import load_state, save_state, write_atomically


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {"weights": torch.arange(5.0), "position": {"epoch": 3, "rows": [{"loss": 0.1}]}, "ema": None}
    save_state(tmp_path / "run" / "state.pt", state)
    loaded = load_state(tmp_path / "run" / "state.pt")
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), RuntimeError("write failed")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "state.pt"
    path.write_text("good")

    def fail_half_way(temporary):
        temporary.write_text("half")
        raise failure

    with pytest.raises(UserError, match=r"cannot write .*state\.pt"):
        write_atomically(path, fail_half_way)
    assert path.read_text() == "good"
    assert [item.name for item in tmp_path.iterdir()] == ["state.pt"]


def test_a_write_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "state.pt"
    path.write_text("good")

    def die_half_way(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, die_half_way)
    assert path.read_text() == "good"


def test_damaged_and_executable_files_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_state(path)
    torch.save({"run": print}, path)
    with pytest.raises(CheckpointError, match="cannot read"):
        load_state(path)
