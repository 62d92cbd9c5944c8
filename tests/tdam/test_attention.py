from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tdam.attention import TopDownAttention
from tdam.errors import UnknownNameError, UserError

BOTTOM, TOP = 6, 8


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, BOTTOM, 5, 4, generator=generator), torch.randn(2, TOP, 3, 2, generator=generator)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(module: TopDownAttention, bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
    """The module's definition, one image at a time, in plain numpy."""
    weight = {key: value.detach().numpy()[:, :, 0, 0] for key, value in module.state_dict().items()}
    outputs = []
    for b, t in zip(bottom, top, strict=True):
        searchlights = []
        for pooling in module.pooling:
            pool = {"avg": lambda x: x.mean((1, 2)), "max": lambda x: x.max((1, 2))}[pooling]
            hidden = np.maximum(weight["top_reduce.weight"] @ pool(t), 0)
            if module.attention != "top":
                hidden_bottom = np.maximum(weight["bottom_reduce.weight"] @ pool(b), 0)
                joined = np.concatenate([hidden, hidden_bottom])
                hidden = joined if module.attention == "joint" else hidden + hidden_bottom
            searchlights.append(weight["expand.weight"] @ hidden)
        s = np.sum(searchlights, axis=0) / (len(searchlights) if module.pooling_combine == "mean" else 1)
        gates = {"sigmoid": sigmoid, "softmax": lambda x: np.exp(x) / np.exp(x).sum(), "none": lambda x: x}
        gate = gates[module.channel_gate](s)

        def channel(x: np.ndarray, gate: np.ndarray = gate) -> np.ndarray:
            return gate[:, None, None] * x

        def spatial(x: np.ndarray, s: np.ndarray = s) -> np.ndarray:
            scale = len(x) ** 0.5 if module.spatial_score == "scaled" else 1
            return sigmoid((s[:, None, None] * x).sum(0) / scale)[None] * x

        outputs.append(
            {
                "channel_spatial": lambda x, c=channel, p=spatial: p(c(x)),
                "spatial_channel": lambda x, c=channel, p=spatial: c(p(x)),
                "channel": channel,
                "spatial": spatial,
                "parallel": lambda x, c=channel, p=spatial: c(x) + p(x),
            }[module.order](b)
        )
    return np.stack(outputs)


@pytest.mark.parametrize("attention", ["joint", "top", "sum"])
@pytest.mark.parametrize("order", ["channel_spatial", "spatial_channel", "channel", "spatial", "parallel"])
@pytest.mark.parametrize("channel_gate", ["sigmoid", "softmax", "none"])
@pytest.mark.parametrize("spatial_score", ["sum", "scaled"])
def test_matches_the_formulas(attention: str, order: str, channel_gate: str, spatial_score: str) -> None:
    options = {"attention": attention, "order": order, "channel_gate": channel_gate, "spatial_score": spatial_score}
    module = TopDownAttention(BOTTOM, TOP, **options, reduction=2)
    bottom, top = maps()
    expected = by_hand(module, bottom.numpy(), top.numpy())
    np.testing.assert_allclose(module(bottom, top).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_poolings_are_combined_after_the_network(combine: str) -> None:
    module = TopDownAttention(BOTTOM, TOP, pooling=("avg", "max"), pooling_combine=combine, reduction=2)
    bottom, top = maps()
    expected = by_hand(module, bottom.numpy(), top.numpy())
    np.testing.assert_allclose(module(bottom, top).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_sum_is_joint_with_tied_halves() -> None:
    joint = TopDownAttention(BOTTOM, TOP, attention="joint", reduction=2)
    tied = TopDownAttention(BOTTOM, TOP, attention="sum", reduction=2)
    tied.load_state_dict(joint.state_dict() | {"expand.weight": joint.expand.weight[:, :4]})
    with torch.no_grad():
        joint.expand.weight[:, 4:] = joint.expand.weight[:, :4]
    torch.testing.assert_close(joint(*maps()), tied(*maps()))


def test_learned_pooling_of_equal_weights_is_the_average() -> None:
    bottom, top = torch.randn(2, BOTTOM, 8, 8), torch.randn(2, TOP, 4, 4)
    average = TopDownAttention(BOTTOM, TOP, reduction=2)
    for pooling in ("learned", "learned_shared"):
        learned = TopDownAttention(BOTTOM, TOP, pooling=(pooling,), reduction=2, pool_grid=4)
        learned.load_state_dict(average.state_dict(), strict=False)
        for name, parameter in learned.named_parameters():
            if "_pool." in name:
                torch.nn.init.constant_(parameter, 1 / 16 if name.endswith("weight") else 0.0)
        torch.testing.assert_close(learned(bottom, top), average(bottom, top))


def test_replacing_forms() -> None:
    bottom, top = torch.randn(2, TOP, 3, 3), torch.randn(2, TOP, 3, 3)
    assert TopDownAttention(TOP, TOP, attention="identity")(bottom, top) is top
    mapping = TopDownAttention(BOTTOM, TOP, attention="mapping")
    expected = torch.einsum("oc,bchw->bohw", mapping.mapping.weight[:, :, 0, 0], top)
    torch.testing.assert_close(mapping(bottom, top), expected)
    recurrent = TopDownAttention(TOP, TOP, attention="recurrent")
    recurrent.load_state_dict({"mapping.weight": torch.eye(TOP)[:, :, None, None]})
    torch.testing.assert_close(recurrent(bottom, top), bottom + top)
    larger = torch.randn(2, TOP, 6, 6)
    repeated = top.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(recurrent(larger, top), larger + repeated)


@given(scale=st.floats(0.1, 10), size=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_a_zero_searchlight_halves_twice(scale: float, size: int) -> None:
    module = TopDownAttention(BOTTOM, TOP, reduction=2)
    torch.nn.init.zeros_(module.expand.weight)
    bottom = scale * torch.randn(1, BOTTOM, size, 3)
    torch.testing.assert_close(module(bottom, torch.randn(1, TOP, 1, 1)), bottom / 4)


def test_errors_name_what_is_valid() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown attention 'bilinear'; valid:.*sum"):
        TopDownAttention(4, 4, attention="bilinear")
    with pytest.raises(UnknownNameError, match="unknown pooling 'average'; valid: avg"):
        TopDownAttention(4, 4, pooling=("average",))
    with pytest.raises(UserError, match="reduction 16 leaves nothing of 8 channels"):
        TopDownAttention(4, 8)
    with pytest.raises(UserError, match="as many bottom as top channels, not 4 and 8"):
        TopDownAttention(4, 8, attention="identity")
    with pytest.raises(UserError, match="at least one of"):
        TopDownAttention(4, 8, pooling=())
