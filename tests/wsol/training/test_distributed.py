from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

# Group norm: a batch norm over 4 images is another function than one over 8, by however many processes.
CHILD = """
import sys
sys.path.insert(0, {helpers!r})
import torch
torch.set_num_threads(1)
from tiny_training import TinyImages, tiny_config
from wsol.training import Trainer
model_args = {{"norm_layer": "groupnorm1", "zero_init_last": False}}
settings = dict(output=sys.argv[1], model_args=model_args, color_jitter=0.2, clip_grad=1.0, ema_decay=0.5, lr=0.05)
trainer = Trainer(tiny_config(**settings), None, TinyImages())
gradients = []
step = trainer.optimizer.step
def recording_step(*args, **kwargs):
    if not gradients:
        gradients.extend((name, value.grad.clone()) for name, value in trainer.method.named_parameters())
    return step(*args, **kwargs)
trainer.optimizer.step = recording_step
trainer.fit()
if trainer.accelerator.is_main_process:
    torch.save(dict(gradients), sys.argv[1] + "/gradients.pt")
trainer.accelerator.end_training()  # a process group left open can abort the interpreter's end
"""


def launch(folder: Path, processes: int) -> None:
    script = folder / "child.py"
    folder.mkdir()
    script.write_text(CHILD.format(helpers=str(Path(__file__).parents[2] / "helpers")))
    command = [sys.executable, str(script), str(folder)]
    if processes > 1:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = launcher + command[1:]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, env=environment, timeout=300, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("distributed")
    for processes in (1, 2):
        launch(root / str(processes), processes)
    return root / "1", root / "2"


def test_two_processes_compute_the_gradient_of_one(folders):
    one, two = (torch.load(folder / "gradients.pt", weights_only=True) for folder in folders)
    assert one.keys() == two.keys()
    assert max(gradient.abs().max() for gradient in one.values()) > 1e-3
    for name, gradient in one.items():
        torch.testing.assert_close(
            gradient, two[name], atol=1e-6, rtol=1e-4, msg=lambda text, name=name: f"{name} {text}"
        )


def test_two_processes_train_to_the_weights_of_one(folders):
    one, two = (load_file(folder / "last.safetensors") for folder in folders)
    for name, tensor in one.items():
        torch.testing.assert_close(
            tensor, two[name], atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name} {text}"
        )


def test_two_processes_log_the_figures_of_one(folders):
    one, two = ((folder / "log.csv").read_text().splitlines() for folder in folders)
    assert len(one) == len(two) == 4
    column = one[0].split(",").index("train_loss")
    for first, second in zip(one[1:], two[1:], strict=True):
        assert float(first.split(",")[column]) == pytest.approx(float(second.split(",")[column]), rel=1e-4)
