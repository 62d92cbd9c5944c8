"""Maps of transformers against the outputs of their authors' code."""

from __future__ import annotations

import pytest
import timm
import torch
from vit_goldens import arrays, assert_close, entries, fill, images, vit

from wsol.transformers.attention_maps import attention_rollout, mean_over_heads, summed_attention
from wsol.transformers.gradient_maps import attention_cam, attention_relevance, legrad, token_grad_cam
from wsol.transformers.layout import TokenLayout
from wsol.transformers.pooled_norm import through_layer_norm
from wsol.transformers.readout import token_readout
from wsol.transformers.run import run_transformer
from wsol.transformers.vit_explain import vit_explain_gradient_rollout, vit_explain_rollout

WITH_ATTENTION = ("attention_sq", "attention_nonsq", "attention_14", "prefix_reg4", "prefix_dist")


def of_every_class(run, make_map):
    """Maps ``(B, C, h, w)`` from the gradients of every class in turn."""
    maps = []
    for logits in run.output.sum(0):
        maps.append(make_map(torch.autograd.grad(logits, run.weights, retain_graph=True)))
    return torch.stack(maps, dim=1)


@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_maps_of_attention_alone(name):
    reference = arrays(name)
    run = run_transformer(vit(name), images(name))
    row = run.layout.class_row
    assert_close(run.output, reference["logits"], "logits")
    assert_close(row(mean_over_heads(run.weights[-1])), reference["last_cls_mean"], "last block")
    assert_close(row(attention_rollout(run.weights)), reference["rollout"], "rollout")
    if "rollout_start1" in reference:
        assert_close(row(attention_rollout(run.weights, start=1)), reference["rollout_start1"], "rollout from block 1")
    if "attn_sum" in reference:
        assert_close(row(summed_attention(run.weights)), reference["attn_sum"], "sum over blocks")


@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_maps_of_attention_and_gradients(name):
    reference = arrays(name)
    network = vit(name).requires_grad_(False)
    run = run_transformer(network, images(name), differentiable=True)
    layout = run.layout
    relevance = of_every_class(run, lambda grads: layout.class_row(attention_relevance(run.weights, grads)))
    assert_close(relevance, reference["generic"], "relevance")
    if "cam_attn" in reference:
        maps = of_every_class(run, lambda grads: attention_cam(run.weights[-1], grads[-1], layout))
        low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        assert_close((maps - low) / (high - low), reference["cam_attn"], "CAM of attention")


@pytest.mark.parametrize(("blocks", "key"), [(None, "legrad/all"), (2, "legrad/last2")])
def test_legrad(blocks, key):
    network = vit("legrad_a")
    run = run_transformer(network, images("legrad_a"), differentiable=True)
    readout = token_readout(network, run.calls_after)
    chosen = range(len(run.blocks))[-blocks:] if blocks else range(len(run.blocks))
    scores = [readout(run.outputs[block].mean(1)).sum(0) for block in chosen]
    maps = []
    for of_class in torch.stack(scores).unbind(1):
        weights = [run.weights[block] for block in chosen]
        grads = [
            torch.autograd.grad(score, one, retain_graph=True)[0] for score, one in zip(of_class, weights, strict=True)
        ]
        maps.append(legrad(grads, run.layout))
    assert_close(torch.stack(maps, dim=1), arrays("legrad_a")[key], key)


@pytest.mark.parametrize("name", ["attention_sq", "attention_nonsq", "attention_14"])
def test_grad_cam_on_tokens(name):
    reference = arrays(name)
    network = vit(name)
    layout = run_transformer(network, images(name)).layout
    for module, key in ((network.blocks[-1].norm1, "gradcam/norm1_last"), (network.blocks[-1], "gradcam/block_last")):
        seen = []
        with module.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output)):
            logits = network(images(name)).sum(0)
        maps = []
        for of_class in logits:
            (gradient,) = torch.autograd.grad(of_class, seen[0], retain_graph=True)
            maps.append(token_grad_cam(layout.patch_tokens(seen[0]), layout.patch_tokens(gradient)))
        assert_close(torch.stack(maps, dim=1), reference[key], key)


def gap_network(which):
    """The networks of entry gap_a; the rule's names lack the network's prefix."""
    config = entries()["gap_a"]["config"]
    if which == "swin":
        return fill(
            timm.models.swin_transformer.SwinTransformer(
                img_size=config["img_size"],
                patch_size=4,
                embed_dim=config["swin_dim"],
                depths=config["swin_depths"],
                num_heads=config["swin_heads"],
                window_size=config["swin_window"],
                num_classes=config["num_classes"],
            )
        )
    options = {"fc_norm": which == "gap_fcnorm", "global_pool": "avg", "class_token": which == "gap_reg4"}
    if which == "gap_reg4":
        options["reg_tokens"] = 4
    return vit("gap_a", **options)


def classifier(network):
    return network.head.fc if hasattr(network.head, "fc") else network.head


@pytest.mark.parametrize("which", ["swin", "gap_norm", "gap_reg4"])
def test_cam_of_averaged_tokens(which):
    reference = arrays("gap_a")
    network = gap_network(which)
    with torch.no_grad():
        tokens, logits = network.forward_features(images("gap_a")), network(images("gap_a"))
    assert_close(logits, reference[f"{which}/logits"], "logits")
    if which == "swin":
        features = tokens.permute(0, 3, 1, 2)
    else:
        features = TokenLayout(5 if which == "gap_reg4" else 0, (4, 4)).patch_tokens(tokens)
    maps = torch.einsum("cd,bdhw->bchw", classifier(network).weight, features)
    assert_close(maps, reference[f"{which}/cam_nobias"], "map")


def test_cam_through_a_norm_after_pooling_averages_to_the_logits():
    reference = arrays("gap_a")
    network = gap_network("gap_fcnorm")
    features = TokenLayout(0, (4, 4), class_token=False).patch_tokens(network.forward_features(images("gap_a")))
    logits = network(images("gap_a"))
    assert_close(logits, reference["gap_fcnorm/logits"], "logits")
    pooled = features.mean((2, 3))
    weight, bias = through_layer_norm(pooled, network.head.weight, network.head.bias, network.fc_norm)
    maps = torch.einsum("bcd,bdhw->bchw", weight, features)
    torch.testing.assert_close(maps.mean((2, 3)) + bias, logits, atol=1e-5, rtol=0)
    # The norm at every token instead is another map, which averages to something else.
    per_token = network.head(network.fc_norm(features.permute(0, 2, 3, 1))).mean((1, 2))
    assert (per_token - logits).abs().max() > 0.1
    # The norm's output does not change with the length of its input, so Grad-CAM averages to 0 instead.
    grad_cam = [
        token_grad_cam(features, torch.autograd.grad(one, features, retain_graph=True)[0])
        for one in network.head(network.fc_norm(pooled)).sum(0)
    ]
    # The reference is scaled by the number of patches, so that it is in the unit of CAM.
    assert_close(torch.stack(grad_cam, 1) * 16, reference["gap_fcnorm/gradcam_last_block"], "Grad-CAM")


@pytest.mark.parametrize("name", ["attention_sq", "attention_14"])
def test_rollout_as_vit_explain_has_it(name):
    reference = arrays(name)
    run = run_transformer(vit(name), images(name), differentiable=True)

    def shown(rollout):
        maps = run.layout.class_row(rollout)
        return maps / maps.amax((1, 2), keepdim=True)

    for fusion in ("mean", "max", "min"):
        for discard in (0.0, 0.9):
            maps = shown(vit_explain_rollout(run.weights, fusion, discard))
            assert_close(maps, reference[f"vitexplain/{fusion}_{discard}"], f"{fusion}, {discard}")
    gradients = torch.autograd.grad(run.output[:, 0].sum(), run.weights)
    maps = shown(vit_explain_gradient_rollout(run.weights, gradients, discard=0.0))
    assert_close(maps[0], reference["vitexplain/grad_0.0_class0"], "with gradients")
