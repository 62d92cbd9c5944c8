"""Checkpoints of the methods' authors open as trained networks; what wsolevaluation's networks are like on VGG-16."""

from __future__ import annotations

import pytest
import torch
from method_goldens import arrays, assert_close, configuration, images, labels, state
from tiny_training import tiny_config
from torch import nn

import tdam
import wsol
from tdam.errors import CheckpointError, UnknownNameError, UserError
from wsol.methods import METHODS, create_method, method_of_authors
from wsol.methods.adl import default_positions
from wsol.methods.spg import default_layers
from wsol.opening.trained import open_trained
from wsol.training.network import create_network
from wsol.training.optim import parameter_groups
from wsol.training.recipes import list_recipes, load_recipe


@pytest.mark.parametrize(
    ("name", "model", "prefix"),
    [("bas_cub_vgg16", "vgg16_gap", "module."), ("adl", "resnet50", ""), ("acol", "resnet50", "")],
)
def test_a_file_of_the_authors_is_told_by_its_names_and_makes_their_maps(tmp_path, name, model, prefix):
    tensors = {prefix + key: value.float() for key, value in state(name).items()}
    torch.save({"state_dict": tensors}, tmp_path / "authors.pth.tar")
    classes = configuration(name).get("num_classes", 200)
    opened = open_trained(model, checkpoint=tmp_path / "authors.pth.tar")
    assert opened.num_classes == classes
    cams = wsol.class_activation_maps(opened.model, images(name).float(), labels(name))
    expected = arrays(name)
    assert_close(cams.logits[0], expected["eval/logits"], 1e-4)
    if name == "bas_cub_vgg16":
        assert_close(cams.maps[0], expected["eval/map_topk"], 1e-4)


def test_a_file_without_a_classifier_is_not_taken_for_one_with(tmp_path):
    torch.save({"state_dict": state("c2am_cub_alpha005"), "Flag": torch.tensor(True)}, tmp_path / "c2am.pth")
    with pytest.raises(CheckpointError, match="has no classifier"):
        open_trained("resnet50", checkpoint=tmp_path / "c2am.pth", num_classes=200)


def test_files_tell_their_classes():
    for name in ("bas_ilsvrc_resnet50", "acol", "adl", "spg", "c2am_cub_alpha005"):
        config, tensors = configuration(name), state(name)
        classes = METHODS[config["method"]].classes_of_authors(tensors)
        assert classes == {"c2am": None, "bas": 1000}.get(config["method"], 12)
    tap = {"main_layers.0.weight": torch.zeros(64, 3, 3, 3), "fc.weight": torch.zeros(200, 1024)}
    assert METHODS[method_of_authors(tap)].classes_of_authors(tap) == 200


def test_a_file_of_other_classes_is_refused(tmp_path):
    torch.save(state("bas_cub_vgg16"), tmp_path / "bas.pth")
    with pytest.raises(CheckpointError, match=r"bas\.pth was trained for 200 classes, the dataset has 3"):
        open_trained("vgg16_gap", checkpoint=tmp_path / "bas.pth", num_classes=3)


def test_a_file_of_another_backbone_is_refused_and_nothing_is_loaded(tmp_path):
    torch.save(state("bas_cub_vgg16"), tmp_path / "bas.pth")
    with pytest.raises(CheckpointError, match=r"bas\.pth does not fit method BAS: .*; nothing was loaded"):
        open_trained("resnet50", checkpoint=tmp_path / "bas.pth", num_classes=200)


def test_methods_attach_on_vgg_where_wsolevaluation_puts_them():
    network = tdam.create_model("vgg16_gap", num_classes=3)
    seen = {}

    def keep(name):
        return lambda module, inputs, output: seen.setdefault(name, output)

    for name in (*default_positions(network), *default_layers(network)):
        network.get_submodule(name).register_forward_hook(keep(name))
    network.eval()(torch.randn(1, 3, 224, 224))
    assert {name: tuple(output.shape[1:]) for name, output in seen.items()} == {
        "features.pool3": (256, 28, 28),
        "features.stage4": (512, 28, 28),
        "features.stage5": (512, 14, 14),
    }
    # After the activation, so nothing is negative.
    assert all((output >= 0).all() for output in seen.values())
    assert default_positions(network) == ("features.pool3", "features.stage4", "features.stage5")
    assert default_layers(network) == ("features.stage4", "features.stage5")
    spg = create_method("spg", network)
    assert [layer.out_channels for layer in spg.c.modules() if isinstance(layer, nn.Conv2d)] == [512, 1]


@pytest.mark.parametrize(("model", "use"), [("vgg16", "vgg16_gap,"), ("vgg16_bn", "vgg16_gap_bn,")])
def test_plain_vgg_whose_map_is_one_place_is_refused_with_the_network_to_use(model, use):
    network = tdam.create_model(model, num_classes=3, mlp_ratio=1 / 64)
    with pytest.raises(UserError, match=f"1 x 1 at 224 x 224 px.*use {use}"):
        create_method("cam", network)
    network.pretrained_cfg = {**network.pretrained_cfg, "input_size": (3, 448, 448)}
    create_method("cam", network)


def test_first_weights_are_those_of_wsolevaluation():
    torch.manual_seed(0)
    for name in ("adl", "spg"):
        classifier = create_network(tiny_config(method=name, model="resnet50"), num_classes=50).get_classifier()
        assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not classifier.bias.any()
    plain = create_network(tiny_config(method="cam", model="resnet50"), num_classes=50).get_classifier()
    assert plain.bias.any()
    asked_for = create_network(tiny_config(method="cam", model="resnet50", classifier_std=0.5), num_classes=50)
    assert asked_for.get_classifier().weight.std().item() == pytest.approx(0.5, rel=0.05)
    acol = create_method("acol", tdam.create_model("resnet18", num_classes=5))
    for head in (acol.head_a, acol.head_b):
        # He et al.: variance 2 over the number of outputs, 3 * 3 * 1024.
        assert head[0].weight.std().item() == pytest.approx((2 / (9 * 1024)) ** 0.5, rel=0.02)
        assert not head[0].bias.any()
    spg = create_method("spg", tdam.create_model("resnet18", num_classes=5))
    limit = (6 / (9 * (512 + 512))) ** 0.5
    assert spg.c[0][0].weight.abs().max().item() == pytest.approx(limit, rel=0.01)


def rates(method, config):
    names = {id(value): name for name, value in method.named_parameters()}
    return {
        names[id(value)]: group["lr_scale"] for group in parameter_groups(method, config) for value in group["params"]
    }


def test_named_modules_alone_learn_faster_and_heads_of_a_method_only_where_nothing_is_named():
    network = tdam.create_model("resnet_mini", num_classes=3)
    method = create_method("acol", network, {"width": 8})
    named = rates(method, tiny_config(method="acol", classifier_lr_scale=10, classifier_modules=["layer4", "fc"]))
    assert named["head_a.0.weight"] == 1
    assert {scale for name, scale in named.items() if name.startswith("network.layer4.")} == {10}
    assert named["network.conv1.weight"] == 1
    default = rates(method, tiny_config(method="acol", classifier_lr_scale=10))
    assert default["head_b.4.weight"] == 10
    assert default["network.layer4.0.conv1.weight"] == 1
    with pytest.raises(UnknownNameError, match="module in classifier_modules 'head_c'"):
        rates(method, tiny_config(method="acol", classifier_modules=["head_c"]))


def test_the_rates_of_bas_are_the_authors():
    method = create_method("bas", tdam.create_model("resnet_mini", num_classes=3), {"width": 8})
    recipe = load_recipe("bas-cub-resnet50")
    settings = {key: recipe[key] for key in ("classifier_lr_scale", "classifier_modules", "bias_lr_scale")}
    found = rates(method, tiny_config(method="bas", **settings))
    assert found["head.0.weight"] == found["generator.0.weight"] == 10
    assert found["head.0.bias"] == found["generator.0.bias"] == 20
    assert found["network.conv1.weight"] == 1
    assert found["network.layer4.0.bn1.bias"] == 2
    assert not any(name.startswith("network.fc.") for name in found)


def test_recipes_of_these_methods_name_what_exists():
    for name in list_recipes():
        recipe = load_recipe(name)
        if recipe.get("method") in ("bas", "c2am", "tap"):
            network = tdam.create_model(recipe["model"], num_classes=200)
            method = create_method(recipe["method"], network, recipe["method_args"])
            rates(method, tiny_config(**{k: recipe[k] for k in ("classifier_modules",) if k in recipe}))


@pytest.mark.parametrize("model", ["resnet18", "efficientnet_b0", "mobilenetv3_small_100", "convnext_tiny"])
def test_stages_without_stride_keep_weights_and_refine_the_map(model):
    plain = tdam.create_model(model, num_classes=3).eval()
    last = plain.feature_info[-1]["module"]
    first = {"efficientnet_b0": "blocks.5", "mobilenetv3_small_100": "blocks.4"}.get(model, last)
    fine = tdam.create_model(model, num_classes=3, strides={first: 1}).eval()
    fine.load_state_dict(plain.state_dict())
    pictures = torch.randn(1, 3, 64, 96)
    small, large = plain.forward_features(pictures), fine.forward_features(pictures)
    assert tuple(small.shape[2:]) == (2, 3)
    assert tuple(large.shape[2:]) == (4, 6)


def test_a_stride_that_cannot_be_given_is_refused():
    with pytest.raises(UserError, match="layer4 can be given stride 1, not 2"):
        tdam.create_model("resnet18", num_classes=3, strides={"layer4": 2})
    with pytest.raises(UnknownNameError, match="layer5"):
        tdam.create_model("resnet18", num_classes=3, strides={"layer5": 1})
