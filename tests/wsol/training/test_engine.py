from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from tensorboard.backend.event_processing import event_accumulator
from tiny_training import TinyImages, tiny_config

import tdam
from tdam.errors import CheckpointError, UsageError, UserError
from tdam.files import folder_lock
from wsol.runtime.runs import run_folder
from wsol.training import Trainer
from wsol.training.state import load_state

# Everything whose state must survive: momentum, moving average, warm-up, droppable paths, random erasing.
FULL = {
    "ema_decay": 0.9,
    "warmup_epochs": 1,
    "random_erasing": 0.5,
    "color_jitter": 0.2,
    "label_smoothing": 0.1,
    "mixup": 0.3,
    "accumulate": 2,
    "clip_grad": 1.0,
    "model_args": {"drop_path_rate": 0.2, "drop_rate": 0.1},
}


class Killed(Exception):
    """Stands for the end of the process at one moment."""


@pytest.fixture(autouse=True)
def fresh_process():
    AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def count_to_three(method):
    count_to_three.calls += 1
    return {"top1_cls": 10.0 * count_to_three.calls, "max_box_acc": [5.0, 9.0, 7.0][count_to_three.calls - 1]}


def train(folder: Path, resume: bool = False, validate=None, **settings) -> Trainer:
    trainer = Trainer(tiny_config(output=str(folder), **settings), validate, TinyImages())
    if resume:
        trainer.resume()
    trainer.fit()
    return trainer


def kill_at(monkeypatch, update: int) -> None:
    original = Trainer._update

    def update_or_die(self, images, targets):
        if self.updates == update:
            raise Killed
        return original(self, images, targets)

    monkeypatch.setattr(Trainer, "_update", update_or_die)


def assert_same_weights(first: Path, second: Path) -> None:
    first_weights, second_weights = load_file(first), load_file(second)
    assert first_weights.keys() == second_weights.keys()
    for name, tensor in first_weights.items():
        assert torch.equal(tensor, second_weights[name]), name


@pytest.mark.parametrize(("moment", "save_every"), [(1, 0), (3, 0), (5, 2), (8, 1)])
def test_a_killed_run_continues_to_the_same_weights(tmp_path, monkeypatch, moment, save_every):
    train(tmp_path / "whole", **FULL)
    with monkeypatch.context() as patch:
        kill_at(patch, moment)
        with pytest.raises(Killed):
            train(tmp_path / "killed", save_every=save_every, **FULL)
    train(tmp_path / "killed", resume=True, save_every=save_every, **FULL)
    assert_same_weights(tmp_path / "whole" / "last.safetensors", tmp_path / "killed" / "last.safetensors")
    logs = [pd.read_csv(tmp_path / run / "log.csv") for run in ("whole", "killed")]
    assert logs[0].epoch.tolist() == logs[1].epoch.tolist() == [1, 2, 3]
    assert logs[0].train_loss.tolist() == pytest.approx(logs[1].train_loss.tolist(), rel=1e-6)


CHILD = """
import sys
sys.path.insert(0, {helpers!r})
from tensorboard.backend.event_processing import event_accumulator
from tiny_training import TinyImages, tiny_config
from wsol.training import Trainer
trainer = Trainer(tiny_config(output=sys.argv[1], save_every=1, epochs=300), None, TinyImages())
trainer.fit()
"""


def test_a_run_killed_by_the_system_leaves_a_state_that_continues(tmp_path):
    helpers = str(Path(__file__).parents[2] / "helpers")
    state = tmp_path / "killed" / "state.pt"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(helpers=helpers), str(state.parent)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and not state.exists():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    killed = Trainer(tiny_config(output=str(state.parent), epochs=300), None, TinyImages())
    assert killed.resume()
    assert killed.updates > 0
    whole = Trainer(tiny_config(output=str(tmp_path / "whole"), epochs=300), None, TinyImages())
    batches = (batch for epoch in range(300) for batch in whole.batches.epoch(epoch))
    whole.method.train()
    for images, targets in batches:
        if whole.updates == killed.updates:
            break
        whole._update(images, targets)
        whole.position.step += 1
    for (name, tensor), other in zip(
        whole.method.state_dict().items(), killed.method.state_dict().values(), strict=True
    ):
        assert torch.equal(tensor, other), name


def test_best_and_last_follow_the_stated_figure(tmp_path, capsys):
    count_to_three.calls = 0
    trainer = train(tmp_path, validate=count_to_three)
    best, last = (tdam.read_config(tmp_path / f"{name}.safetensors") for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (2, 3)
    assert best["metrics"]["max_box_acc"] == 9.0
    assert best["selected_by"] == "max_box_acc"
    assert trainer.position.best["epoch"] == 2
    output = capsys.readouterr().out
    assert "top1_cls alone would choose epoch 3" in output


def test_a_checkpoint_rebuilds_the_network_it_describes(tmp_path):
    trainer = train(tmp_path, epochs=1, model_args={"steps": 3, "distance": 1})
    model, config = tdam.load_model(tmp_path / "last.safetensors")
    images = torch.rand(2, 3, 96, 96)
    trainer.method.eval()
    torch.testing.assert_close(model(images), trainer.method.network(images))
    assert config["trained"] is True
    assert config["class_names"] == ["class 0", "class 1", "class 2"]
    assert config["input_size"] == [3, 96, 96]
    assert config["training"]["seed"] == config["seed"] == 0


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    kill_at(monkeypatch, 3)
    with pytest.raises(Killed):
        train(tmp_path)
    good = {path.name: path.read_bytes() for path in tmp_path.glob("*.*t*")}
    monkeypatch.undo()
    trainer = Trainer(tiny_config(output=str(tmp_path)), None, TinyImages())
    trainer.resume()
    with torch.no_grad():
        trainer.method.network.fc.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="the loss is nan in epoch 2, step 1"):
        trainer.fit()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*t*")} == good


def test_weights_spoilt_by_the_last_step_of_an_epoch_are_not_saved(tmp_path, monkeypatch):
    original = Trainer._update

    def update_and_spoil(self, images, targets):
        result = original(self, images, targets)
        if self.updates == 5:
            with torch.no_grad():
                self.method.network.fc.bias[0] = float("inf")
        return result

    monkeypatch.setattr(Trainer, "_update", update_and_spoil)
    with pytest.raises(UserError, match="a weight is not finite in epoch 2, step 3"):
        train(tmp_path)
    assert tdam.read_config(tmp_path / "last.safetensors")["epoch"] == 1
    assert load_state(tmp_path / "state.pt")["position"]["epoch"] == 1


def test_a_run_of_other_settings_is_not_continued(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=r"other settings \(epochs: 2 != 1; lr: 0\.5 != 0\.01\)"):
        train(tmp_path, resume=True, epochs=2, lr=0.5)


def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path):
    # Batch norm sees the parts, so it stays in evaluation mode.
    weights = []
    for parts in (1, 4):
        AcceleratorState._reset_state(reset_partial_state=True)
        trainer = Trainer(tiny_config(output=str(tmp_path / str(parts)), accumulate=parts), None, TinyImages())
        trainer.method.eval()
        images, targets = next(trainer.batches.epoch(0))
        trainer._update(images, targets)
        weights.append([parameter.grad.clone() for parameter in trainer.method.parameters()])
    for whole, accumulated in zip(*weights, strict=True):
        torch.testing.assert_close(whole, accumulated, atol=1e-5, rtol=1e-3)


def test_frozen_modules_keep_weights_and_statistics(tmp_path):
    frozen = ("conv1", "bn1", "layer1")
    before = Trainer(tiny_config(output=str(tmp_path)), None, TinyImages()).method.network.state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    AcceleratorState._reset_state(reset_partial_state=True)
    after = train(tmp_path, epochs=1, freeze=frozen).method.network.state_dict()
    for name, tensor in before.items():
        if name.startswith(frozen):
            assert torch.equal(tensor, after[name]), name
    for name in ("layer4.0.conv1.weight", "layer4.0.bn1.running_mean", "fc.weight"):
        assert not torch.equal(before[name], after[name]), name


def test_the_average_of_the_weights_is_what_is_saved(tmp_path):
    trainer = train(tmp_path, ema_decay=0.5, epochs=1)
    saved = load_file(tmp_path / "last.safetensors")
    assert torch.equal(saved["fc.weight"], trainer.ema.module.network.fc.weight)
    assert not torch.equal(saved["fc.weight"], trainer.method.network.fc.weight)


def test_a_full_disk_stops_and_keeps_the_last_good_files(tmp_path, monkeypatch):
    train(tmp_path, epochs=1)
    good = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    trainer = Trainer(tiny_config(output=str(tmp_path), epochs=1), None, TinyImages())
    assert trainer.resume()
    with pytest.raises(UserError, match=r"cannot write .*: .*No space left on device"):
        trainer._save()
    with pytest.raises(UserError, match=r"cannot write .*state.pt: .*No space left on device"):
        trainer._save_state()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == good


def test_a_run_in_use_is_named_and_left_alone(tmp_path):
    train(tmp_path, epochs=1)
    with folder_lock(tmp_path):
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(UserError, match=r"is in use by process \d+ on "):
            train(tmp_path, epochs=1)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_state_that_another_run_has_replaced_meanwhile_is_not_continued(tmp_path):
    train(tmp_path, epochs=1)
    trainer = Trainer(tiny_config(output=str(tmp_path), epochs=1), None, TinyImages())
    assert trainer.resume()
    train(tmp_path, epochs=1)
    with pytest.raises(UserError, match="another run has written here meanwhile"):
        trainer.fit()


def test_first_weights_from_the_run_folder_itself_are_refused(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(UsageError, match="lies in the folder that this run writes to"):
        Trainer(tiny_config(output=str(tmp_path), init=str(tmp_path / "best.safetensors")), None, TinyImages())


def test_the_folder_bears_the_name_of_the_dataset_not_its_path(tmp_path):
    trainer = Trainer(tiny_config(output=None, dataset=str(tmp_path / "a" / "b")), None, TinyImages())
    assert trainer.folder == run_folder(trainer.dataset.ground_truth.dataset, trainer.config.model)


def test_mixed_precision_trains_and_continues_to_the_same_weights(tmp_path, monkeypatch):
    settings = {"precision": "bf16", "epochs": 2, "batch_size": 24, "model": "resnet_mini"}
    train(tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        kill_at(patch, 1)
        with pytest.raises(Killed):
            train(tmp_path / "killed", **settings)
    train(tmp_path / "killed", resume=True, **settings)
    assert_same_weights(tmp_path / "whole" / "last.safetensors", tmp_path / "killed" / "last.safetensors")


def test_tensorboard_and_csv_hold_the_same_figures(tmp_path):
    train(tmp_path, epochs=2, tensorboard=True)
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    log = pd.read_csv(tmp_path / "log.csv")
    written = [event.value for event in events.Scalars("epoch/train_loss")]
    assert written == pytest.approx(log.train_loss.tolist())
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


def test_images_that_cannot_be_paired_for_mixing_are_refused(tmp_path):
    with pytest.raises(UserError, match="must be even"):
        Trainer(tiny_config(output=str(tmp_path), mixup=0.2, batch_size=3), None, TinyImages())
