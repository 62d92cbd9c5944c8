"""TS-CAM and SCM against the outputs of their authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from vit_goldens import arrays, assert_close, entries, images, value

from wsol.methods import create_method
from wsol.methods.diffusion import (
    ActivationDiffusion,
    grid_laplacian,
    newton_schulz_inverse,
    semantic_similarity,
)
from wsol.methods.scm import SCM
from wsol.methods.ts_cam import TSCAM
from wsol.transformers.run import run_transformer


def create(name, drop_path_rate=0.0):
    """The method of an entry with the reference's weights, under the authors' names, loaded into it."""
    entry = entries()[name]
    config = entry["config"]
    keys = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "num_classes")
    network = timm.models.vision_transformer.VisionTransformer(
        **{key: config[key] for key in keys}, drop_path_rate=drop_path_rate
    )
    state = {key: value(key, tuple(shape)) for key, shape in entry["state_dict"].items()}
    if "iterations" not in config:
        method = create_method("ts-cam", network)
        assert TSCAM.is_authors_state(state)
        assert not SCM.is_authors_state(state)
    else:
        method = create_method("scm", network, {"iterations": config["iterations"]})
        assert SCM.is_authors_state(state)
        if config["scm_scalars"] == "default":
            state.update({key: torch.full((1,), 0.5) for key in state if key.endswith(".thred")})
            state.update({key: torch.ones(1) for key in state if key.endswith("._loss_rate")})
    method.load_state_dict(method.in_our_names(state))
    return method.eval()


def assert_training(method, name, prefix, tolerance=1e-5):
    """Loss, logits and the norm of every gradient; the reference's order of names is the authors'."""
    reference, entry = arrays(name), entries()[name]
    dtype = next(method.parameters()).dtype
    method.train().zero_grad()
    targets = torch.tensor(entry["config"]["targets"])
    output = method(images(name).to(dtype), targets)
    output.loss.backward()
    assert_close(output.logits, reference[f"{prefix}/logits"], "logits", tolerance)
    assert_close(output.loss, reference[f"{prefix}/loss"], "loss", tolerance)
    names = list(method.in_our_names(dict.fromkeys(entry.get("grad_names") or entry["state_dict"])))
    gradients = dict(method.named_parameters())
    # A norm summed in float32 is itself off by 1e-4.
    norms = torch.stack([gradients[key].grad.double().norm() for key in names])
    assert_close(norms, reference[f"{prefix}/grad_norms"], "gradient norms", tolerance)
    for key, gradient in (
        ("grad_head_weight_0", method.head.weight.grad[0]),
        ("grad_cls_token", method.network.cls_token.grad),
        ("grad_pos_embed_row1", method.network.pos_embed.grad[0, 1]),
    ):
        if f"{prefix}/{key}" in reference:
            assert_close(gradient, reference[f"{prefix}/{key}"], key, tolerance)


@pytest.mark.parametrize("name", ["tscam_a", "tscam_b"])
def test_ts_cam_maps(name):
    reference = arrays(name)
    method = create(name)
    found = method.token_maps(images(name))
    assert_close(found.logits, reference["eval/logits"], "logits")
    assert_close(found.semantics, reference["eval/semantic"], "semantic maps")
    assert_close(found.attention.flatten(1), reference["eval/attn_map"], "attention")
    assert_close(found.maps, reference["eval/cams"], "maps")
    run = run_transformer(method.network, images(name))
    assert_close(torch.stack(run.weights)[:, :, :, 0], reference["eval/attn_cls_rows"], "rows of the class token")


@pytest.mark.parametrize("name", ["tscam_a", "tscam_b"])
def test_ts_cam_training(name):
    assert_training(create(name), name, "train")


def test_ts_cam_training_with_stochastic_depth():
    method = create("tscam_a", drop_path_rate=0.1)
    torch.manual_seed(entries()["tscam_a"]["config"]["torch_seed"])
    assert_training(method, "tscam_a", "train_droppath")


@pytest.mark.parametrize("name", ["scm_a", "scm_b"])
def test_scm_maps(name):
    reference = arrays(name)
    found = create(name).token_maps(images(name))
    assert_close(found.logits, reference["eval/logits"], "logits")
    assert_close(found.attention, reference["eval/cam0"], "attention")
    assert_close(found.semantics, reference["eval/semantic"], "semantic maps")
    assert_close(found.maps, reference["eval/cams"], "maps")


@pytest.mark.parametrize("name", ["scm_a", "scm_b"])
def test_scm_training_in_float64(name):
    method = create(name).double()
    assert_training(method, name, "train64")
    reference = arrays(name)
    own = [[layer.threshold.grad, layer.rate.grad] for layer in method.layers]
    assert_close(torch.tensor(own), reference["train64/grad_scalars"], "gradients of threshold and rate")


@pytest.mark.parametrize("name", ["scm_a", "scm_b"])
def test_scm_blocks_in_float64(name):
    reference = arrays(name)
    method = create(name).double()
    found = method.token_maps(images(name).double())
    semantics, activation = found.semantics, found.attention.flatten(1)
    similarity = semantic_similarity(semantics)
    for index, layer in enumerate(method.layers):
        fused = layer.fusion(similarity, semantics.shape[-2:])
        assert_close(fused[:, 0], reference["train64/fuse_row0"][index], f"inverse of block {index}")
        assert_close(fused.norm(dim=(1, 2)), reference["train64/fuse_norm"][index], f"its norm, block {index}")
        semantics, activation = layer(semantics, activation, similarity)
        assert_close(semantics, reference["train64/layer_x"][index], f"semantics after block {index}")
        assert_close(activation, reference["train64/layer_cam"][index], f"activation after block {index}")


@pytest.mark.parametrize(("index", "grid"), [(0, (4, 4)), (1, (3, 5))])
def test_one_diffusion_block_on_any_grid(index, grid):
    config, reference = entries()["adb_a"]["config"], arrays("adb_a")
    rng = np.random.default_rng(config["seed"] + index)
    semantics = torch.from_numpy(rng.standard_normal((config["batch"], config["dim"], *grid))).requires_grad_()
    activation = torch.from_numpy(rng.random((config["batch"], grid[0] * grid[1]))).requires_grad_()
    block = ActivationDiffusion(config["iterations"][index]).double()
    key = f"{grid[0]}x{grid[1]}"
    similarity = semantic_similarity(semantics)
    assert_close(grid_laplacian(*grid, like=similarity), reference[f"{key}/laplacian"], "Laplacian")
    assert_close(similarity[0], reference[f"{key}/sim_b0"], "similarity")
    assert_close(block.fusion(similarity, grid)[0], reference[f"{key}/fuse_b0"], "inverse")
    raised, spread = block(semantics, activation, similarity)
    assert_close(raised, reference[f"{key}/out_x"], "semantics")
    assert_close(spread, reference[f"{key}/out_cam"], "activation")
    (raised.square().mean() + spread.square().mean()).backward()
    for name, tensor in (
        ("x", semantics),
        ("cam", activation),
        ("thred", block.threshold),
        ("loss_rate", block.rate),
    ):
        assert_close(tensor.grad, reference[f"{key}/grad_{name}"], f"gradient of {name}")


def test_newton_schulz():
    reference = arrays("adb_a")
    rng = np.random.default_rng(entries()["adb_a"]["config"]["seed"] + 99)
    matrix = torch.from_numpy(rng.standard_normal((2, 7, 7)))
    for iterations in (1, 4, 16):
        assert_close(newton_schulz_inverse(matrix, iterations), reference[f"schulz/it{iterations}"], str(iterations))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full_deit_small_tscam", "full_deit_small_scm"])
def test_networks_of_real_size(name):
    reference = arrays(name)
    method = create(name)
    found = method.token_maps(images(name))
    assert_close(found.logits, reference["eval/logits"], "logits")
    assert_close(found.maps[:, :10], reference["eval/cams_c0_9"], "maps")
    if isinstance(method, SCM):
        assert_close(found.attention, reference["eval/cam0"], "attention")
        assert_training(method.double(), name, "train64")
    else:
        assert_training(method, name, "train")


def test_diffusion_stays_in_float32_under_autocast():
    method = create("scm_a").train()
    targets = torch.tensor(entries()["scm_a"]["config"]["targets"])
    exact = method(images("scm_a"), targets).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = method(images("scm_a"), targets).logits
    assert logits.dtype == torch.float32
    assert (logits - exact).abs().max() < 0.05 * exact.abs().max()
