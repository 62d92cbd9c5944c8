"""Attention maps by name, against the outputs of their authors' code, and their refusals."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
from vit_goldens import arrays, assert_close, entries, images, vit

import wsol
from tdam.errors import UserError
from wsol.maps import find_method, map_methods

REFERENCES = {
    "class-attention": "last_cls_mean",
    "attention-rollout": "rollout",
    "attention-sum": "attn_sum",
    "gradient-attention": "generic",
    "attention-cam": "cam_attn",
    "legrad": "legrad/all",
    "grad-cam": "gradcam/norm1_last",
}
ATTENTION_METHODS = [name for name in map_methods() if "attention" in find_method(name).needs]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def maps_of_all_classes(network, batch, method, classes):
    maps = [wsol.class_activation_maps(network, batch, torch.full((len(batch),), k), method=method) for k in classes]
    return torch.stack([one.maps[0] for one in maps], dim=1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name", ["attention_sq", "attention_nonsq", "attention_14", "prefix_reg4", "prefix_dist", "legrad_a"]
)
def test_maps_by_name_are_the_references(name):
    reference, network = arrays(name), vit(name)
    classes = range(entries()[name]["config"]["num_classes"])
    compared = 0
    for method, key in REFERENCES.items():
        if key not in reference:
            continue
        expected = reference[key]
        if find_method(method).class_agnostic:
            expected = np.repeat(expected[:, None], len(classes), axis=1)
        maps = maps_of_all_classes(network, images(name), method, classes)
        if method == "grad-cam":
            expected = expected.clip(0)
        if method == "attention-cam":
            low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
            maps = (maps - low) / (high - low)
        assert_close(maps, expected, method)
        compared += 1
    assert compared


def averaging_vit(**options):
    """A ViT with class token whose classifier averages the patches, so that it has semantic maps."""
    network = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=(48, 80),
        embed_dim=32,
        depth=2,
        num_heads=2,
        num_classes=3,
        global_pool="avg",
        fc_norm=False,
        **options,
    )
    return network.eval()


def test_coupling_is_the_exact_map_times_attention():
    network, batch = averaging_vit(), torch.randn(2, 3, 48, 80)
    classes = torch.tensor([2, 0])
    coupled = wsol.class_activation_maps(network, batch, classes, method="ts-cam").maps[0]
    attention = wsol.class_activation_maps(network, batch, classes, method="attention-sum").maps[0]
    semantics = coupled / attention
    logits = network(batch).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(semantics.mean((1, 2)), logits, atol=1e-5, rtol=1e-4)


def torchvision_vit():
    network = torchvision.models.VisionTransformer(
        image_size=48, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=32, num_classes=3
    )
    torch.nn.init.normal_(network.heads.head.weight)
    return network.eval()


def hugging_face_vit(family="ViT"):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{family}Config")(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=48, num_labels=3
    )
    return getattr(transformers, f"{family}ForImageClassification")(config).eval()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", [name for name in ATTENTION_METHODS if name != "ts-cam"])
@pytest.mark.parametrize("make", [torchvision_vit, hugging_face_vit, lambda: hugging_face_vit("DeiT")])
def test_networks_of_other_libraries(make, method):
    network = make()
    batch = torch.randn(2, 3, 48, 48)
    cams = wsol.class_activation_maps(network, batch, method=method)
    assert cams.maps.shape == (1, 2, 3, 3)
    assert cams.maps.isfinite().all()
    # A random network's class attention may be weighted negatively throughout, and is then cut off.
    contrast = cams.maps[0].amax((1, 2)) > cams.maps[0].amin((1, 2))
    assert method == "attention-cam" or contrast.all()
    alone = wsol.class_activation_maps(network, batch[:1], cams.class_ids[0, :1], method=method)
    torch.testing.assert_close(alone.maps[0, 0], cams.maps[0, 0], atol=1e-5, rtol=1e-4)


def test_cvt_is_read_and_its_reduced_attention_is_refused():
    """Its class token joins in the last stage; keys are reduced by strided convolutions."""
    transformers = pytest.importorskip("transformers")
    # transformers itself takes no stage of fewer blocks than its own number.
    config = transformers.CvtConfig(embed_dim=[8, 16, 24], num_heads=[1, 2, 3], depth=[1, 2, 3], num_labels=3)
    network = transformers.CvtForImageClassification(config).eval()
    batch = torch.randn(2, 3, 64, 96)
    logits = network(batch).logits
    with pytest.warns(UserWarning, match=r"class token of cvt\.encoder\.stages\.2"):
        cams = wsol.class_activation_maps(network, batch)
    torch.testing.assert_close(cams.logits[0], logits.detach())
    for method in ("cam", "grad-cam", "layer-cam", "activation"):
        maps = wsol.class_activation_maps(network, batch, method=method).maps
        assert maps.shape == (1, 2, 4, 6)
        assert maps.isfinite().all()
    with pytest.raises(UserError, match="reduced or changing number of tokens"):
        wsol.class_activation_maps(network, batch, method="class-attention")


@pytest.mark.parametrize(
    ("make", "method", "message"),
    [
        (
            lambda: timm.create_model("test_resnet", num_classes=3),
            "attention-rollout",
            "computes no attention",
        ),
        (lambda: averaging_vit(class_token=False), "class-attention", "has no class token"),
        (averaging_vit, "gradient-attention", "does not read the class token; use cam or legrad"),
        (torchvision_vit, "ts-cam", "weighs no patches .*wsol-train --method ts-cam"),
        (lambda: hugging_face_vit("Dinov2"), "legrad", "reads 64 numbers where a token has 32"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_a_network_lacks_is_said(make, method, message):
    network = make().eval()
    size = (48, 80) if hasattr(network, "patch_embed") else (48, 48)
    with pytest.raises(UserError, match=message):
        wsol.class_activation_maps(network, torch.randn(2, 3, *size), method=method)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", ["cam", "grad-cam", "class-attention", "gradient-attention", "legrad"])
def test_inference_mode_around_it_changes_nothing(method):
    network, batch, classes = torchvision_vit(), torch.randn(2, 3, 48, 48), torch.tensor([2, 0])
    expected = wsol.class_activation_maps(network, batch, classes, method=method).maps
    with torch.inference_mode():
        maps = wsol.class_activation_maps(network, batch * 1, classes * 1, method=method).maps
    torch.testing.assert_close(maps, expected)
