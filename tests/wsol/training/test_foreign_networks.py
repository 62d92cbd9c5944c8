"""Networks of no registry: trained, written with what they are, and opened again for evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_dataset import CLASSES, write_dataset
from torch import nn

import tdam
import wsol
from eval.commands import evaluate
from tdam.errors import CheckpointError, UserError
from wsol.commands.train import run
from wsol.methods import METHODS, create_method

OPTIONS = ["--epochs", "1", "--batch-size", "4", "--workers", "0", "--device", "cpu", "--no-tensorboard"]
OWN = """
import torch
from torch import nn


class Own(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=8, padding=1)
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        return self.last(torch.relu(self.conv(x)).mean((2, 3)))


class Flat(nn.Module):
    # Takes its map apart by `view`, as only the usual layout of images allows.

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=16, padding=1)
        self.last = nn.Linear(8 * 4 * 4, 6)

    def forward(self, x):
        maps = torch.relu(self.conv(x))
        return self.last(maps.view(len(maps), -1))


def build(width=8, classes=6):
    return Own(width, classes)


def random_width():
    build.calls = getattr(build, "calls", 4) + 1
    return Own(build.calls, 6)
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_dataset(tmp_path / "cups")
    shutil.copytree(folder / "val", folder / "train")
    shutil.copy(folder / "val.csv", folder / "train.csv")
    (tmp_path / "networks_of_mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return folder


def train(model: str, data: Path, *more: str) -> Path:
    run(["--model", model, "--dataset", str(data), "--input-size", "64", *OPTIONS, *more])
    return Path("runs") / "cups" / model.replace("/", "_").replace(":", "_") / "best.safetensors"


def test_a_network_that_flattens_its_map_is_trained_and_evaluated(data: Path) -> None:
    checkpoint = train("networks_of_mine:Flat", data)
    words = ["--model", "networks_of_mine:Flat", "--checkpoint", str(checkpoint), "--dataset", str(data)]
    evaluate.run([*words, "--device", "cpu", "--output", "out"])
    results = json.loads(Path("out/results.json").read_text())
    assert results["network"]["input_size"] == [64, 64]
    assert results["images"] == len(list((data / "val").rglob("*.png")))


def judge(*arguments: str) -> dict:
    evaluate.run([*arguments, "--workers", "0", "--output", "out"])
    return json.loads(Path("out/results.json").read_text())


def same_logits(opened: wsol.TrainedNetwork, path: Path, network: nn.Module) -> None:
    tdam.load_checkpoint(network, path)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(opened.model(images), network.eval()(images))


def test_a_function_of_ones_own(data: Path) -> None:
    path = train("networks_of_mine:build", data, "--model-args", "width=12", "classes=9")
    config = tdam.read_config(path)
    assert config["model_args"] == {"width": 12, "classes": 9}
    assert config["num_classes"] == len(CLASSES), "the classifier of nine classes is replaced"
    opened = wsol.open_network("networks_of_mine:build", path)
    assert opened.class_names == CLASSES
    assert opened.input_size == (64, 64)
    results = judge("--model", "networks_of_mine:build", "--checkpoint", str(path), "--dataset", str(data))
    found = judge("--model", "networks_of_mine:build", "--dataset", str(data), "--restart")
    assert results["network"]["weights_sha256"] == found["network"]["weights_sha256"], "found where it was written"

    from networks_of_mine import Own

    same_logits(opened, path, Own(12, len(CLASSES)))
    with pytest.raises(CheckpointError, match=r"networks_of_mine:build, a function, which a file alone may not call"):
        wsol.open_network(path)


def test_torchvision_by_name(data: Path) -> None:
    path = train("torchvision/shufflenet_v2_x0_5", data)
    opened = wsol.open_network(path)
    assert opened.class_names == CLASSES
    from torchvision.models import shufflenet_v2_x0_5

    same_logits(opened, path, shufflenet_v2_x0_5(num_classes=len(CLASSES)))
    results = judge("--model", str(path), "--dataset", str(data), "--method", "grad-cam")
    assert results["network"]["map_size"] == [2, 2]
    with pytest.raises(UserError, match="unknown network of torchvision 'resnet17'; valid: resnet1"):
        train("torchvision/resnet17", data)


def test_hugging_face_from_a_folder_opens_without_the_folder(data: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path / "published")
    run(["--model", "published", "--dataset", str(data), "--output", "run", "--input-size", "64", *OPTIONS])
    shutil.rmtree(tmp_path / "published")
    opened = wsol.open_network("run/best.safetensors")
    assert opened.num_classes == len(CLASSES)
    assert opened.class_names == CLASSES
    judge("--model", "run/best.safetensors", "--dataset", str(data))


def test_the_classifier_alone_learns_faster_and_starts_as_asked(data: Path) -> None:
    path = train("networks_of_mine:build", data, "--classifier-std", "0", "--lr", "1e-12")
    opened = wsol.open_network("networks_of_mine:build", path)
    assert not opened.model.last.weight.abs().gt(1e-6).any()
    assert opened.model.conv.weight.abs().gt(1e-3).any()


def test_what_could_not_be_opened_again_is_refused_before_training(data: Path) -> None:
    with pytest.raises(UserError, match="builds another network the second time"):
        train("networks_of_mine:random_width", data)
    with pytest.raises(UserError, match="itself decides on its weights"):
        train("networks_of_mine:build", data, "--init", "pretrained")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_a_foreign_network_or_says_why_not(method: str) -> None:
    from torchvision.models import ResNet
    from torchvision.models.resnet import BasicBlock

    torch.manual_seed(0)
    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3)
    if method not in ("cam", "has", "cutmix"):
        with pytest.raises(UserError, match=r"timm|ResNet"):
            create_method(method, network)
        return
    module = create_method(method, network)
    output = module(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0]))
    output.loss.backward()
    assert module.network.fc.weight.grad.any()
