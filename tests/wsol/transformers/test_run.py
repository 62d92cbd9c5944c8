"""Recording attention in networks of timm, torchvision and Hugging Face."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from tdam.errors import UserError
from wsol.transformers.run import run_transformer

SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 3}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def timm_vit(name="vit_tiny_patch16_224", **options):
    return timm.create_model(name, **{**SMALL, "img_size": (48, 80), **options}).eval()


def images(height=48, width=80):
    return torch.randn(2, 3, height, width)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("name", "prefix", "class_token", "options"),
    [
        ("vit_tiny_patch16_224", 1, True, {}),
        ("vit_tiny_patch16_224", 0, False, {"class_token": False, "global_pool": "avg"}),
        ("vit_small_patch14_reg4_dinov2", 5, True, {"img_size": (42, 70)}),
        ("vit_base_patch32_clip_224", 1, True, {"img_size": (64, 96)}),
        ("deit_tiny_distilled_patch16_224", 2, True, {}),
        ("deit3_small_patch16_224", 1, True, {}),
        ("beit_base_patch16_224", 1, True, {}),
        ("eva02_tiny_patch14_224", 1, True, {"img_size": (42, 70)}),
    ],
)
def test_attention_of_timm_networks_is_that_of_their_own_softmax(name, prefix, class_token, options, fused):
    network = timm_vit(name, **options)
    kept = []
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused
        if type(module).__name__.endswith("Attention"):
            # Unfused attention passes through this dropout; fused attention does not.
            module.attn_drop.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    size = options.get("img_size", (48, 80))
    batch = images(*size)
    with torch.no_grad():
        plain = network(batch)
    run = run_transformer(network, batch)
    torch.testing.assert_close(run.output, plain, atol=1e-5, rtol=1e-4)
    patch = {"14": 14, "16": 16, "32": 32}[name.partition("patch")[2][:2]]
    assert run.layout.grid == (size[0] // patch, size[1] // patch)
    assert (run.layout.prefix, run.layout.class_token) == (prefix, class_token)
    assert [weights.shape for weights in run.weights] == [(2, 2, run.layout.tokens, run.layout.tokens)] * 2
    if not fused:
        # The first forward pass filled `kept` too.
        for ours, own in zip(run.weights, kept[2:], strict=True):
            assert torch.equal(ours, own)
    for weights in run.weights:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize("fused", [True, False])
def test_attention_is_recorded_before_dropout(fused):
    network = timm_vit(attn_drop_rate=0.5).train()
    for block in network.blocks:
        block.attn.fused_attn = fused
    batch = images()
    runs = [run_transformer(network, batch) for _ in range(2)]
    assert not torch.equal(runs[0].output, runs[1].output)
    assert torch.equal(runs[0].weights[0], runs[1].weights[0])
    torch.testing.assert_close(runs[0].weights[0], run_transformer(network.eval(), batch).weights[0])


def test_torchvisions_attention_is_recorded_with_its_gradient():
    network = torchvision.models.VisionTransformer(
        image_size=48, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=32, num_classes=3
    ).eval()
    nn.init.normal_(network.heads.head.weight)
    batch = images(48, 48)
    expected = network(batch)
    attention = network.encoder.layers[0].self_attention
    inputs = []
    attention.register_forward_pre_hook(lambda module, args, kwargs: inputs.append(args[0]), with_kwargs=True)
    run = run_transformer(network.requires_grad_(False), batch, differentiable=True)
    torch.testing.assert_close(run.output, expected)
    _, own = attention(*inputs * 3, need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(run.weights[0], own)
    for gradient in torch.autograd.grad(run.output[:, 1].sum(), run.weights):
        assert gradient.abs().max() > 0
    assert (run.layout.grid, run.layout.prefix, run.layout.class_token) == ((3, 3), 1, True)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("family", "prefix"), [("ViT", 1), ("DeiT", 2), ("Dinov2", 1), ("Dinov2WithRegisters", 5), ("Beit", 1)]
)
def test_hugging_face_attention_is_what_the_library_itself_gives(family, prefix, implementation):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{family}Config")(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=48,
        patch_size=16,
        num_labels=3,
        attn_implementation="eager",
    )
    network = getattr(transformers, f"{family}ForImageClassification")(config).eval()
    batch = images(48, 48)
    with torch.no_grad():
        expected = network(batch, output_attentions=True)
    if implementation != "eager":
        network.set_attn_implementation(implementation)
    run = run_transformer(network, batch)
    torch.testing.assert_close(run.output, expected.logits, atol=1e-5, rtol=1e-4)
    assert (run.layout.prefix, run.layout.grid, run.layout.class_token) == (prefix, (3, 3), True)
    for ours, own in zip(run.weights, expected.attentions, strict=True):
        torch.testing.assert_close(ours, own, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "computes no attention between all"),
        ("swin_tiny_patch4_window7_224", "attends within windows"),
        ("xcit_nano_12_p16_224", "attends in 2 stages"),
        ("cait_xxs24_224", "attends in 2 stages"),
        ("pvt_v2_b0", "reduced or changing number"),
        ("convit_tiny", "reduced or changing number"),
        ("hiera_tiny_224", "reduced or changing number"),
    ],
)
def test_networks_without_one_attention_per_block_are_refused_with_the_reason(name, reason):
    network = timm.create_model(name, num_classes=3).eval()
    with pytest.raises(UserError, match=reason):
        run_transformer(network, images(224, 224))


def test_a_run_leaves_no_hook_behind():
    network = timm_vit()
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()]
    run_transformer(network, images())
    with pytest.raises(AssertionError):
        run_transformer(network, images(32, 32))
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: nn.Sequential(nn.Identity(), network),
        lambda network: nn.Sequential(nn.Sequential(network)),
        lambda network: nn.ModuleDict({"model": nn.Sequential(network)})["model"],
    ],
)
@pytest.mark.parametrize("depth", [1, 2])
def test_wrappers_around_a_network_are_no_blocks_of_it(wrap, depth):
    network = timm_vit(depth=depth)
    batch = images()
    expected, run = run_transformer(network, batch), run_transformer(wrap(network), batch)
    assert len(run.blocks) == depth
    assert run.layout == expected.layout
    for ours, own in zip(run.weights, expected.weights, strict=True):
        assert torch.equal(ours, own)
