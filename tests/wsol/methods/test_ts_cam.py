"""TS-CAM and SCM as training methods of any vision transformer of timm."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import tdam
import wsol
from tdam.errors import CheckpointError, UserError
from wsol.methods import METHODS, create_method, load_authors
from wsol.training.config import TrainingConfig
from wsol.training.optim import parameter_groups
from wsol.training.recipes import list_recipes, load_recipe

TRANSFORMER_METHODS = ("ts-cam", "scm")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def small(name="vit_tiny_patch16_224", img_size=(48, 80), **options):
    options = {"num_classes": 3, "embed_dim": 32, "depth": 2, "num_heads": 2} | options
    return tdam.create_model(name, img_size=img_size, **options)


@pytest.mark.parametrize("method_name", TRANSFORMER_METHODS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {}),
        ("vit_small_patch14_reg4_dinov2", {"img_size": (42, 70)}),
        ("deit_tiny_distilled_patch16_224", {}),
        ("deit3_small_patch16_224", {}),
        ("vit_tiny_patch16_224", {"dynamic_img_size": True}),
        ("vit_pe_core_tiny_patch16_384", {}),
        ("eva02_tiny_patch14_224", {"img_size": (42, 70), "global_pool": "token"}),
        ("beit_base_patch16_224", {"global_pool": "token"}),
        ("vit_base_patch32_clip_224", {"img_size": (96, 160)}),
    ],
)
def test_every_part_of_a_transformer_is_trained_and_maps_have_its_grid(method_name, name, options):
    method = create_method(method_name, small(name, **options), label_smoothing=0.1).train()
    height, width = options.get("img_size", (48, 80))
    batch, targets = torch.randn(2, 3, height, width), torch.tensor([2, 0])
    output = method(batch, targets)
    output.loss.backward()
    assert output.logits.shape == (2, 3)
    assert [key for key, value in method.named_parameters() if value.requires_grad and value.grad is None] == []
    cams = method.eval().class_activation_maps(batch, targets)
    assert cams.maps.shape == (1, 2, 3, 5)
    found = method.token_maps(batch)
    for image, target in enumerate(targets):
        assert torch.equal(cams.maps[0, image], found.maps[image, target])
    torch.testing.assert_close(found.semantics.mean((2, 3)), found.logits)
    predicted = method.class_activation_maps(batch)
    assert torch.equal(predicted.class_ids[0], found.logits.argmax(1))


def test_the_calibration_of_a_uniform_map_leaves_it_as_it_is():
    method = create_method("scm", small())
    semantics = torch.randn(1, 3, 3, 5)
    calibrated, activation = method.calibrate(semantics, torch.ones(1, 3, 5))
    assert not activation.isnan().any()
    assert torch.equal(calibrated, semantics)


@pytest.mark.parametrize("method_name", TRANSFORMER_METHODS)
def test_authors_names_are_timms_but_for_the_head(method_name):
    network = timm.create_model("deit_small_patch16_224", num_classes=200)
    authors = {key: value for key, value in network.state_dict().items() if not key.startswith("head.")}
    authors |= {"head.weight": torch.zeros(200, 384, 3, 3), "head.bias": torch.zeros(200)}
    if method_name == "scm":
        for index in range(4):
            authors |= {f"layers.{index}.thred": torch.ones(1), f"layers.{index}.fuse._loss_rate": torch.ones(1)}
    assert len(authors) == {"ts-cam": 152, "scm": 160}[method_name]
    method = create_method(method_name, network)
    assert method.is_authors_state(authors)
    method.load_state_dict(method.in_our_names(authors))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: tdam.create_model("resnet_mini", num_classes=3), "a vision transformer of timm with a class"),
        (lambda: small(class_token=False, global_pool="avg"), "a vision transformer of timm with a class"),
        (lambda: small(global_pool="avg"), "normalizes after pooling: create it with global_pool=token"),
    ],
)
@pytest.mark.parametrize("method_name", TRANSFORMER_METHODS)
def test_other_networks_are_refused(method_name, network, message):
    with pytest.raises(UserError, match=f"method {method_name} needs .*{message}"):
        create_method(method_name, network())


def test_the_recipes_name_what_exists():
    for name in list_recipes():
        recipe = load_recipe(name)
        if recipe.get("method") in TRANSFORMER_METHODS:
            network = timm.create_model(recipe["model"], num_classes=2, **recipe["model_args"])
            assert isinstance(create_method(recipe["method"], network), nn.Module)
            assert max(recipe["decay_milestones"]) == recipe["epochs"] - 1


def test_weight_decay_spares_what_the_authors_spare():
    method = create_method("ts-cam", small("deit_tiny_distilled_patch16_224"))
    names = {id(value): name for name, value in method.named_parameters()}
    config = TrainingConfig(model="deit_tiny_distilled_patch16_224", dataset="minibirds", weight_decay=0.05)
    decayed = {
        names[id(one)] for group in parameter_groups(method, config) for one in group["params"] if group["weight_decay"]
    }
    assert all(name.endswith(".weight") and "norm" not in name for name in decayed)
    tokens = {"network.cls_token", "network.dist_token", "network.pos_embed"}
    assert decayed == {name for name, value in method.named_parameters() if value.ndim > 1} - tokens


@pytest.mark.parametrize("method_name", TRANSFORMER_METHODS)
def test_a_trained_network_comes_back_from_its_checkpoint_with_its_maps(method_name, tmp_path):
    options = {"img_size": [48, 80], "embed_dim": 32, "depth": 2, "num_heads": 2}
    network = tdam.create_model("vit_tiny_patch16_224", num_classes=3, **options)
    method = create_method(method_name, network).eval()
    config = {
        "model": "vit_tiny_patch16_224",
        "num_classes": 3,
        "model_args": options,
        "method": method_name,
        "input_size": [3, 48, 80],
        "trained": True,
        "training": {"method_args": {}},
    }
    tdam.save_checkpoint(method.deployed, tmp_path / "best.safetensors", config)
    opened = wsol.open_trained("vit_tiny_patch16_224", checkpoint=tmp_path / "best.safetensors", num_classes=3)
    assert opened.input_size == (48, 80)
    batch, targets = torch.randn(2, 3, 48, 80), torch.tensor([2, 0])
    cams = wsol.class_activation_maps(opened.model, batch, targets)
    assert torch.equal(cams.maps, method.class_activation_maps(batch, targets).maps)


def test_a_file_of_scms_authors_tells_its_blocks(tmp_path):
    state = create_method("scm", small(img_size=224), {"iterations": (16, 4)}).state_dict()
    names = {".threshold": ".thred", ".rate": ".fuse._loss_rate", "network.": ""}
    for ours, theirs in names.items():
        state = {key.replace(ours, theirs): value for key, value in state.items()}
    assert METHODS["scm"].is_authors_state(state)
    options = METHODS["scm"].authors_options(state, 3)
    load_authors(create_method("scm", small(img_size=224), options), state, "scm.pth")
    with pytest.raises(CheckpointError, match=r"head.weight is \(3, 32, 3, 3\) there and \(4, 32, 3, 3\) here"):
        load_authors(create_method("scm", small(img_size=224, num_classes=4), options), state, "scm.pth")


@pytest.mark.parametrize("method_name", TRANSFORMER_METHODS)
def test_a_file_of_the_authors_opens_as_any_checkpoint(method_name, tmp_path):
    """Their names, in their wrapping: `dict(epoch, state_dict, best_map)` with "module." before every name."""
    trained = create_method(method_name, tdam.create_model("deit_tiny_patch16_224", num_classes=3)).eval()
    theirs = {}
    for key, value in trained.state_dict().items():
        key = key.removeprefix("network.").replace(".threshold", ".thred").replace(".rate", ".fuse._loss_rate")
        theirs[f"module.{key}"] = value
    torch.save({"epoch": 60, "state_dict": theirs, "best_map": 0.0}, tmp_path / "authors.pth")
    opened = wsol.open_trained("deit_tiny_patch16_224", checkpoint=tmp_path / "authors.pth")
    assert method_name in opened.source
    assert opened.num_classes == 3
    batch = torch.randn(1, 3, 224, 224)
    ours, expected = wsol.class_activation_maps(opened.model, batch), trained.class_activation_maps(batch)
    assert torch.equal(ours.maps, expected.maps)
    with pytest.raises(CheckpointError, match=r"authors\.pth was trained for 3 classes, the dataset has 4"):
        wsol.open_trained("deit_tiny_patch16_224", checkpoint=tmp_path / "authors.pth", num_classes=4)
