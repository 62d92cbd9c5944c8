from __future__ import annotations

import argparse
import collections
import datetime
import os
import pickle
import runpy
import types
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

import tdam
from tdam.checkpoints import classes_of
from tdam.errors import CheckpointError, UserError

CONFIG = {
    "model": "resnet_mini_tdam",
    "num_classes": 7,
    "model_args": {"steps": 3, "td_blocks": {4: "all"}, "pooling": ["avg", "max"]},
    "class_names": ["ä", "b"],
    "trained": False,
}


def mini(**options: Any) -> nn.Module:
    return tdam.create_model("resnet_mini_tdam", num_classes=7, **options)


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def assert_same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)


def theirs(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our state dict in the authors' naming (joint attention)."""
    names = {"top_reduce": "Ug_top_mlp.0", "bottom_reduce": "Ug_bottom_mlp.0", "expand": "Ug_mlp.0"}
    renamed = {}
    for key, value in state.items():
        for ours, name in names.items():
            key = key.replace(f".attention.{ours}.", f".RA_block.{name}.")
        renamed[key] = value
    return renamed


def test_our_file_brings_the_whole_model_back(tmp_path: Path) -> None:
    model = mini(**CONFIG["model_args"]).to(memory_format=torch.channels_last)
    path = tmp_path / "new" / "best.safetensors"
    tdam.save_checkpoint(model, path, CONFIG)
    loaded, config = tdam.load_model(path)
    assert config == CONFIG | {"model_args": CONFIG["model_args"] | {"td_blocks": {"4": "all"}}}
    assert tdam.read_config(path) == config
    assert loaded.feedback == model.feedback
    assert not loaded.training
    assert_same(snapshot(model), snapshot(loaded))
    assert os.listdir(path.parent) == ["best.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "best.safetensors"
    tdam.save_checkpoint(mini(), path, CONFIG)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        tdam.save_checkpoint(mini(), path, CONFIG)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["best.safetensors"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 4, "optimizer": {"lr": 0.1}},
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"state_dict": {k: torch.zeros_like(v) for k, v in state.items()}, "state_dict_ema": state},
        lambda state: {"model": {f"module._orig_mod.{key}": value for key, value in state.items()}},
        lambda state: {"epoch": 1, "model_state_dict": state, "optimizer_state_dict": {"state": {0: {"step": 1}}}},
        lambda state: {"net": state, "acc": 91.5, "epoch": 3},
        lambda state: {"model": {"state_dict": state}, "best": torch.tensor(0.5)},
        lambda state: {"anything": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}},
        lambda state: {
            "model": {key: torch.zeros_like(value) for key, value in state.items()},
            "model_ema": {"n_averaged": torch.tensor(7), **{f"module.{key}": value for key, value in state.items()}},
        },
        lambda state: {
            "pytorch-lightning_version": "2.4.0",
            "state_dict": {
                "criterion.weight": torch.ones(7),
                **{f"model._orig_mod.{key}": value for key, value in state.items()},
                "train_acc.tp": torch.tensor(3),
            },
            "hyper_parameters": {"lr": 0.1},
            "callbacks": {},
        },
        lambda state: {
            "state_dict": state,
            "arch": "resnet_mini_tdam",
            "args": argparse.Namespace(lr=0.1, out=PurePosixPath("runs"), seen=collections.deque([1], 3)),
            "best_acc": np.float64(0.9),
            "history": [np.arange(3), collections.defaultdict(list, loss=[0.5]), datetime.datetime(2024, 5, 1)],
            "host": types.SimpleNamespace(name="a"),
            "path": Path("x"),
        },
    ],
    ids=[
        *("bare", "wrapped", "data-parallel", "average", "compiled", "tutorial", "net", "nested", "own name"),
        *("torchvision", "lightning", "plain objects beside"),
    ],
)
def test_wrappers_and_prefixes(wrap: Any, tmp_path: Path) -> None:
    source, target = mini(), mini()
    path = tmp_path / "model.pth.tar"
    torch.save(wrap(theirs(source.state_dict())), path)
    report = tdam.load_checkpoint(target, path)
    assert_same(snapshot(source), snapshot(target))
    assert report.loaded == len(source.state_dict())
    assert report.initialised == ()


def test_a_scalar_that_numpy_1_wrote(tmp_path: Path) -> None:
    source, target = mini(), mini()
    torch.save(
        {"state_dict": source.state_dict(), "acc": np.float32(3), "hparams": collections.OrderedDict(a=1)},
        tmp_path / "a.pth",
    )
    with zipfile.ZipFile(tmp_path / "a.pth") as new, zipfile.ZipFile(tmp_path / "b.pth", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"cnumpy._core.multiarray\nscalar", b"cnumpy.core.multiarray\nscalar")
            old.writestr(name, content)
    tdam.load_checkpoint(target, tmp_path / "b.pth")
    assert_same(snapshot(source), snapshot(target))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: {"generator": mini().state_dict(), "critic": mini().state_dict()},
            "networks .generator, critic",
        ),
        (lambda: {1: torch.zeros(2)}, "names its tensors 1 …"),
        (lambda: {"epoch": 3, "lr": 0.1}, "no tensors by name, but epoch, lr: save model.state_dict"),
        (lambda: [torch.zeros(2)], "no tensors by name"),
        (dict, "no tensors by name, but nothing"),
        (
            lambda: {"model": mini()},
            r"it holds tdam\.\S+, which could run code; .*torch.save\(model.state",
        ),
        (
            lambda: mini().state_dict() | {"fc.weight": torch.full((7, 64), torch.nan)},
            "fc.weight holds NaN",
        ),
        (lambda: mini().state_dict() | {"fc.bias": torch.full((7,), torch.inf)}, "fc.bias holds NaN or infinite"),
        (lambda: mini().state_dict() | {"fc.weight": torch.ones(7, 64, dtype=torch.int8)}, "1 other types: fc.weight"),
        (lambda: mini().state_dict() | {"fc.bias": torch.ones(7, dtype=torch.bool)}, "1 other types: fc.bias"),
    ],
)
def test_what_is_no_network_is_named(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content(), tmp_path / "file.pth")
    model = mini()
    before = snapshot(model)
    with pytest.raises(CheckpointError, match=message) as caught:
        tdam.load_checkpoint(model, tmp_path / "file.pth")
    assert "file.pth" in str(caught.value)
    assert_same(snapshot(model), before)


@pytest.mark.parametrize(
    "config",
    [
        "{oops",
        "[1]",
        "[" * 100_000,
        '{"num_classes": "7"}',
        '{"num_classes": true}',
        '{"num_classes": 10000000000}',
        '{"model": 5}',
        '{"model_args": []}',
        '{"class_names": "ab"}',
        '{"class_names": [1]}',
    ],
)
def test_a_damaged_configuration_is_refused(config: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    safetensors.torch.save_file(mini().state_dict(), path, metadata={"config": config})
    with pytest.raises(CheckpointError, match=r"ours\.safetensors has a damaged configuration"):
        tdam.load_model(path)


@pytest.mark.parametrize(("name", "classes"), [("resnet_mini", 3), ("resnet_mini_tdam", 5), ("vgg11", 4)])
def test_a_file_tells_its_number_of_classes(name: str, classes: int, tmp_path: Path) -> None:
    torch.save({"net": tdam.create_model(name, num_classes=classes).state_dict()}, tmp_path / "a.pth")
    assert classes_of(tmp_path / "a.pth", tdam.create_model(name, num_classes=9)) == classes


def test_a_file_without_a_classifier_tells_no_number_of_classes(tmp_path: Path) -> None:
    model = mini()
    torch.save({key: value for key, value in model.state_dict().items() if "fc." not in key}, tmp_path / "a.pth")
    assert classes_of(tmp_path / "a.pth", model) is None


def test_a_plain_file_leaves_feedback_new(tmp_path: Path) -> None:
    plain, target = tdam.create_model("resnet_mini", num_classes=7), mini()
    path = tmp_path / "plain.safetensors"
    safetensors.torch.save_file(plain.state_dict(), path)
    report = tdam.load_checkpoint(target, path)
    assert {name.split(".")[2] for name in report.initialised} == {"attention", "bn2_1"}
    assert "14 parts newly initialised" in str(report)
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(tdam.at_step(target.eval(), 1, "all")(images), plain.eval()(images))


def test_files_without_batch_counters(tmp_path: Path) -> None:
    """As torchvision's first ResNet files."""
    source, target = mini(), mini()
    state = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "old.pth")
    tdam.load_checkpoint(target, tmp_path / "old.pth")
    assert torch.equal(target.fc.weight, source.fc.weight)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("layer4.0.conv1.weight"), "1 missing: layer4.0.conv1.weight"),
        (lambda state: state.pop("layer4.0.bn2_1.weight"), "1 missing: layer4.0.bn2_1.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 not in the network: extra"),
        (
            lambda state: state.update({"fc.weight": torch.zeros(9, 64), "fc.bias": torch.zeros(9)}),
            r"fc.weight \(9, 64\) for \(7, 64\).*create the network with num_classes=9",
        ),
    ],
    ids=["backbone", "step norm", "extra", "classes"],
)
def test_misfits_are_named_and_nothing_is_loaded(damage: Any, message: str, tmp_path: Path) -> None:
    state, target = dict(mini().state_dict()), mini()
    damage(state)
    before = snapshot(target)
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        tdam.load_checkpoint(target, tmp_path / "bad.pth")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "bad.pth") in str(caught.value)
    assert_same(before, snapshot(target))


class Payload:
    """Runs code when a careless program unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["hostile.pth.tar", "hostile.pt"])
def test_a_hostile_pickle_is_refused_and_not_run(name: str, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / name
    torch.save({"state_dict": mini().state_dict(), "arch": Payload(trace)}, path)
    with pytest.raises(CheckpointError, match="is refused"):
        tdam.load_checkpoint(mini(), path)
    path.write_bytes(pickle.dumps({"state_dict": Payload(trace)}))
    with pytest.raises(CheckpointError, match="is refused"):
        tdam.load_checkpoint(mini(), path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # the payload is a real one
    assert trace.exists()


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        tdam.load_checkpoint(mini(), tmp_path / "absent.pth")
    for name, content in (
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{"),
        ("text.pth", b"<html>quota exceeded"),
        ("empty.pth", b""),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name) as caught:
            tdam.load_checkpoint(mini(), tmp_path / name)
        assert "\n" not in str(caught.value)
    torch.save({"epoch": 3}, tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="holds no tensors by name"):
        tdam.load_checkpoint(mini(), tmp_path / "nothing.pth")


def test_a_file_without_configuration_builds_no_model(tmp_path: Path) -> None:
    path = tmp_path / "timm.safetensors"
    safetensors.torch.save_file(mini().state_dict(), path)
    with pytest.raises(CheckpointError, match="holds no configuration"):
        tdam.load_model(path)
    tdam.save_checkpoint(mini(), path, {"model": "resnet_mini_tdam"})
    with pytest.raises(CheckpointError, match="lacks num_classes"):
        tdam.load_model(path)


def test_converter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[3] / "scripts" / "convert_checkpoint.py"
    convert = runpy.run_path(str(path))["main"]
    source = tdam.create_model("resnet_mini_tdam")
    torch.save({"state_dict": theirs(source.state_dict())}, tmp_path / "theirs.pth.tar")
    arguments = (tmp_path / "theirs.pth.tar", tmp_path / "ours.safetensors")
    convert(*arguments, model="resnet_mini_tdam", num_classes=12)
    loaded, config = tdam.load_model(tmp_path / "ours.safetensors")
    assert_same(snapshot(source), snapshot(loaded))
    assert config["trained"] is True
    with pytest.raises(SystemExit) as caught:
        convert(*arguments, model="resnet_mini_tdm")
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: unknown model")


@pytest.mark.parametrize(
    ("theirs", "ours", "options"),
    [
        ("convnext_tiny", "convnext_tiny_tdam", {}),
        ("efficientnet_b0", "efficientnet_b0_tdam", {}),
        ("mobilenet_v3_small", "mobilenetv3_small_100_tdam", {"bn_eps": 1e-3}),
    ],
)
@torch.no_grad()
def test_torchvision_files(theirs: str, ours: str, options: dict[str, Any], tmp_path: Path) -> None:
    """The first step of a TDAM network with torchvision's weights computes what torchvision's network does."""
    torch.manual_seed(0)
    source = torchvision.models.get_model(theirs, num_classes=9).eval()
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path / "torchvision.pth"
    torch.save(source.state_dict(), path)
    model = tdam.create_model(ours, num_classes=9, **options).eval()
    report = tdam.load_checkpoint(model, path)
    assert report.initialised
    assert all(".attention." in key or key.split(".")[-2][-2:] == "_1" for key in report.initialised)
    x = torch.randn(2, 3, 64, 64)
    expected = source(x)
    logits = tdam.at_step(model, 1, "all")(x)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))

    with pytest.raises(CheckpointError, match="num_classes=9"):
        tdam.load_checkpoint(tdam.create_model(ours, num_classes=8, **options), path)
    other = "efficientnet_b1_tdam" if "b0" in ours else "efficientnet_b0_tdam"
    with pytest.raises(CheckpointError, match="another network of torchvision"):
        tdam.load_checkpoint(tdam.create_model(other, num_classes=9), path)


def test_torchvision_mobilenet_needs_its_eps(tmp_path: Path) -> None:
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=9).state_dict(), tmp_path / "torchvision.pth")
    with pytest.raises(CheckpointError, match=r"bn_eps=0\.001"):
        tdam.create_model("mobilenetv3_small_100_tdam", num_classes=9, checkpoint=tmp_path / "torchvision.pth")


@pytest.mark.parametrize("names", ["timm", "torchvision"])
@torch.no_grad()
def test_a_plain_vgg_brings_its_convolutions(names: str, tmp_path: Path) -> None:
    plain = timm.create_model("vgg16_bn", num_classes=9, mlp_ratio=1 / 64)
    state = plain.state_dict()
    if names == "torchvision":
        state = {key: value for key, value in state.items() if key.startswith("features.")}
        state |= {"classifier.0.weight": torch.zeros(2, 2), "classifier.6.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "vgg.pth")
    model = tdam.create_model("vgg16_bn_tdam", num_classes=9)
    before = model.head.fc.weight.clone()
    report = tdam.load_checkpoint(model, tmp_path / "vgg.pth")
    assert {"head.fc.weight", "head.fc.bias"} <= set(report.initialised)
    assert torch.equal(model.head.fc.weight, before)
    assert torch.equal(model.features.stage5.get_submodule("34").weight, plain.features[34].weight)


def test_a_vgg_file_of_ours_without_its_classifier_is_refused(tmp_path: Path) -> None:
    model = tdam.create_model("vgg16_gap_bn", num_classes=9)
    torch.save({key: value for key, value in model.state_dict().items() if "head" not in key}, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match=r"2 missing: head\.fc\.weight, head\.fc\.bias"):
        tdam.load_checkpoint(model, tmp_path / "vgg.pth")


def test_a_flipped_bit_in_a_file_of_ours_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    model = tdam.create_model("resnet_mini", num_classes=2)
    tdam.save_checkpoint(
        model, tmp_path / "whole.safetensors", {"model": "resnet_mini", "num_classes": 2, "trained": True}
    )
    whole = (tmp_path / "whole.safetensors").read_bytes()
    random, path = np.random.default_rng(0), tmp_path / "best.safetensors"
    # As many in the header, where names, shapes and the configuration stand, as in the numbers.
    header = 8 * (8 + int.from_bytes(whole[:8], "little"))
    bits = [*random.integers(0, header, 40), *random.integers(header, 8 * len(whole), 40)]
    refused = 0
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            loaded, _ = tdam.load_model(path)
        except UserError:
            refused += 1
            continue
        assert_same(snapshot(loaded), snapshot(model))
    assert refused >= 70
