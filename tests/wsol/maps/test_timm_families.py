"""One small member of every family of timm with tokens, windows or channels last: every map works or says why not.

Networks are random and cut down where their family allows. `test_every_family_at_full_depth`, marked exhaustive, takes
one member of every module of timm as it is registered.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import timm
import torch

import wsol
from tdam.errors import UserError
from wsol.maps import find_method, map_methods

ATTENTION = [name for name in map_methods() if "attention" in find_method(name).needs]
# The others differ from these in arithmetic alone, not in what they ask of a network.
METHODS = ["cam", "grad-cam", "activation", *ATTENTION]
NEEDS_SEMANTICS = {"ts-cam"}
LARGEST_INPUT = 400
AVERAGED = {"attention-cam", "gradient-attention"}  # refuse a class token that the classifier does not read

TINY: dict[str, Any] = {"embed_dim": 48, "depth": 2, "num_heads": 3, "img_size": 64}
WINDOWS: dict[str, Any] = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "img_size": 64}
STAGES: dict[str, Any] = {"depths": (1, 1, 1, 1)}

# name: options, image, grid, attention methods that work
FAMILIES: dict[str, tuple[dict[str, Any], tuple[int, int], tuple[int, int], set[str]]] = {
    "vit_tiny_patch16_224": (TINY | {"img_size": (48, 80)}, (48, 80), (3, 5), {*ATTENTION} - NEEDS_SEMANTICS),
    "vit_small_patch14_reg4_dinov2": (TINY | {"img_size": (42, 70)}, (42, 70), (3, 5), {*ATTENTION} - NEEDS_SEMANTICS),
    "vit_base_patch32_clip_224": (TINY | {"img_size": (64, 96)}, (64, 96), (2, 3), {*ATTENTION} - NEEDS_SEMANTICS),
    "vit_base_patch16_siglip_224": (TINY, (64, 64), (4, 4), set()),
    "vit_base_patch16_gap_224": (TINY, (64, 64), (4, 4), {"legrad"}),
    "vit_wee_patch16_reg1_gap_256": (TINY, (64, 64), (4, 4), {"legrad"}),
    "vit_small_patch16_18x2_224": (TINY, (64, 64), (4, 4), set()),
    "flexivit_small": (TINY, (64, 64), (4, 4), {*ATTENTION} - NEEDS_SEMANTICS),
    "vit_small_patch16_dinov3": (TINY, (64, 64), (4, 4), {*ATTENTION} - AVERAGED),
    "vit_pe_core_tiny_patch16_384": (TINY, (64, 64), (4, 4), {*ATTENTION} - NEEDS_SEMANTICS - {"legrad"}),
    "deit_tiny_distilled_patch16_224": (TINY, (64, 64), (4, 4), {*ATTENTION} - NEEDS_SEMANTICS),
    "deit3_small_patch16_224": (TINY, (64, 64), (4, 4), {*ATTENTION} - NEEDS_SEMANTICS),
    "beit_base_patch16_224": (TINY, (64, 64), (4, 4), {*ATTENTION} - AVERAGED),
    "eva02_tiny_patch14_224": (TINY | {"img_size": (42, 70)}, (42, 70), (3, 5), {*ATTENTION} - AVERAGED),
    "naflexvit_base_patch16_gap": (TINY | {"img_size": None}, (64, 96), (4, 6), {"legrad"}),
    "vit_relpos_small_patch16_224": (TINY, (64, 64), (4, 4), {"legrad"}),
    "samvit_base_patch16_224": (TINY, (64, 64), (4, 4), set()),
    "vit_tiny_r_s16_p8_224": (TINY, (64, 64), (2, 2), {*ATTENTION} - NEEDS_SEMANTICS),
    "cait_xxs24_224": ({"img_size": 64, "depth": 2}, (64, 64), (4, 4), set()),
    "xcit_nano_12_p16_224": ({"img_size": 64, "depth": 2}, (64, 64), (4, 4), set()),
    "convit_tiny": ({"img_size": 64, "depth": 4, "local_up_to_layer": 2}, (64, 64), (4, 4), set()),
    "coat_lite_tiny": ({"img_size": 64}, (64, 64), (2, 2), set()),
    "tnt_s_patch16_224": ({"img_size": 64, "depth": 2}, (64, 64), (4, 4), set()),
    "twins_svt_small": ({"img_size": 64, "depths": (1, 1, 2, 2)}, (64, 64), (2, 2), set()),
    "pit_ti_distilled_224": ({"img_size": 64}, (64, 64), (2, 2), set()),
    "visformer_tiny": ({"img_size": 64}, (64, 64), (2, 2), set()),
    "volo_d1_224": ({"img_size": 64}, (64, 64), (4, 4), set()),
    "gcvit_xxtiny": ({"img_size": 64}, (64, 64), (2, 2), set()),
    "davit_tiny": ({**STAGES}, (64, 96), (2, 3), set()),
    "focalnet_tiny_srf": ({}, (64, 96), (2, 3), set()),
    "edgenext_xx_small": ({}, (64, 96), (2, 3), set()),
    "efficientvit_b0": ({}, (64, 96), (2, 3), set()),
    "mobilevit_xxs": ({}, (64, 96), (2, 3), set()),
    "fastvit_sa12": ({"layers": (1, 1, 1, 1)}, (64, 96), (2, 3), set()),
    "poolformer_s12": ({}, (64, 96), (2, 3), set()),
    "mixer_s32_224": ({"img_size": 64}, (64, 64), (2, 2), set()),
    "resmlp_12_224": ({"img_size": 64}, (64, 64), (4, 4), set()),
    "vitamin_small_224": ({"img_size": 64}, (64, 64), (4, 4), {"legrad"}),
    "swin_tiny_patch4_window7_224": (WINDOWS | {"window_size": 4}, (64, 64), (8, 8), set()),
    "swinv2_tiny_window8_256": (WINDOWS, (64, 64), (8, 8), set()),
    "swinv2_cr_tiny_224": (WINDOWS, (64, 64), (8, 8), set()),
    "coatnet_pico_rw_224": ({"img_size": 64}, (64, 64), (2, 2), set()),
    "levit_128s": ({}, (224, 224), (4, 4), set()),
    "mvitv2_tiny": ({}, (64, 64), (2, 2), set()),
    "pvt_v2_b0": ({}, (64, 96), (2, 3), set()),
    "mambaout_femto": ({**STAGES}, (64, 96), (2, 3), set()),
    "convnext_atto": ({**STAGES}, (64, 96), (2, 3), set()),
}


def outcomes(network: Any, size: tuple[int, int]) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Grid of the maps of every method that works, and the reasons of those that refuse."""
    works, refused = {}, {}
    batch = torch.randn(2, 3, *size)
    for method in METHODS:
        try:
            maps = wsol.class_activation_maps(network, batch, torch.tensor([0, 2]), method=method).maps
        except UserError as error:
            refused[method] = str(error)
            continue
        assert maps.shape[:2] == (1, 2)
        assert maps.isfinite().all(), method
        works[method] = tuple(maps.shape[2:])
    return works, refused


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_every_method_works_or_says_why_not(name):
    options, size, grid, expected = FAMILIES[name]
    options = {key: value for key, value in options.items() if value is not None}
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3, **options).eval()
    works, refused = outcomes(network, size)
    assert {method for method in works if method in ATTENTION} == expected, refused
    assert {"cam", "grad-cam", "activation"} <= works.keys()
    assert set(works.values()) == {grid}
    assert all("use" in reason for reason in refused.values())


def smallest_registered() -> dict[str, str]:
    """The member of every module of timm whose name is shortest among its smallest inputs."""
    members = defaultdict(list)
    for name in timm.list_models():
        module = timm.models.model_entrypoint(name).__module__
        if module.startswith("timm."):
            members[module.rpartition(".")[2]].append(name)
    return {module: min(names, key=_size) for module, names in members.items()}


def _size(name: str) -> tuple[bool, int, int]:
    words = ("test_", "femto", "atto", "pico", "nano", "tiny", "xxs", "ti_", "small", "_s")
    configuration = timm.get_pretrained_cfg(name)
    rank = next((number for number, word in enumerate(words) if word in name), len(words))
    return configuration is None, rank, configuration.input_size[-1] if configuration else 0


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "name"), smallest_registered().items())
def test_every_family_at_full_depth(module, name):
    torch.manual_seed(0)
    size = timm.get_pretrained_cfg(name).input_size[1:]
    options = {}
    if size[0] > LARGEST_INPUT and "vit" in module:  # the attention of all blocks would take 16 GB
        size, options = (224, 224), {"img_size": 224}
    network = timm.create_model(name, num_classes=3, **options).eval()
    works, refused = outcomes(network, size)
    assert {"cam", "grad-cam", "activation"} <= works.keys(), refused
    assert len(set(works.values())) == 1
