"""Top-down attention: the output of a block's residual branch modulates an earlier map of the same branch.

Source: Jaiswal et al., "TDAM: Top-Down Attention Module for Contextually Guided Feature Selection in
CNNs", ECCV 2022, and its code (github.com/shantanuj/TDAM_Top_down_attention_module).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tdam.errors import UserError, check_name

SEARCHLIGHTS = ("joint", "top", "sum")
ATTENTIONS = (*SEARCHLIGHTS, "mapping", "recurrent", "identity")
POOLINGS = ("max", "avg", "learned", "learned_shared")
POOLING_COMBINES = ("sum", "mean")
ORDERS = ("channel_spatial", "spatial_channel", "channel", "spatial", "parallel")
CHANNEL_GATES = ("sigmoid", "softmax", "none")
SPATIAL_SCORES = ("sum", "scaled")


class TopDownAttention(nn.Module):
    """Modulates a bottom map by a top map of any size: `(B, Cb, hb, wb), (B, Ct, ht, wt) -> (B, Cb, hb, wb)`.

    Both maps are pooled to one vector each; a small bias-free network turns the vectors into the
    *searchlight* s (B, Cb, 1, 1); s scales the channels of the bottom map by g(s) (channel step) and
    its places by sigmoid(sum_c s_c b_c) (spatial step, with the raw s).

    Args:
        bottom_channels: Cb, channels of the map that is modulated.
        top_channels: Ct, channels of the map that guides.
        attention: What the searchlight sees. "joint": U [relu(Wt P(t)); relu(Wb P(b))];
            "top": U relu(Wt P(t)); "sum": U (relu(Wt P(t)) + relu(Wb P(b))) (the authors' "bilinear").
            The others have no searchlight. Two replace the bottom map: "mapping" by a 1x1 convolution of
            the top map, "identity" by the top map itself; "recurrent" adds a 1x1 convolution of the
            top map to it (a recurrent convolution; ours, the authors' code has none). A top map
            of another size is resized (nearest).
        pooling: One or more of "max", "avg", "learned" (a linear map of a fixed grid, one for each
            input), "learned_shared" (the same one for both). The network after it is shared.
        pooling_combine: How the searchlights of several poolings are combined: "sum" or "mean".
        order: "channel_spatial": the spatial step reads the channel-scaled map; "spatial_channel",
            "channel", "spatial"; "parallel": the sum of both steps, each on the bottom map itself (ours).
        channel_gate: g: "sigmoid", "softmax" over channels or "none".
        spatial_score: What the spatial step takes the sigmoid of: "sum", sum_c s_c b_c, as published; "scaled", the
            same over sqrt(Cb) (ours, as attention scores are scaled by Vaswani et al., NeurIPS 2017): the sum grows
            with the number of channels, and a sigmoid that has saturated tells places apart no more.
        reduction: The hidden width is Ct // reduction, for both inputs.
        hidden_channels: The hidden width itself; None takes it from `reduction`.
        pool_grid: Side of the grid that "learned" poolings read.

    Raises:
        UnknownNameError: For a name that is not listed above.
        UserError: For a hidden width of zero, or "identity" between maps of different channels.
    """

    divisor: Tensor

    def __init__(
        self,
        bottom_channels: int,
        top_channels: int,
        attention: str = "joint",
        pooling: Sequence[str] = ("avg",),
        pooling_combine: str = "sum",
        order: str = "channel_spatial",
        channel_gate: str = "sigmoid",
        spatial_score: str = "sum",
        reduction: int = 16,
        hidden_channels: int | None = None,
        pool_grid: int = 8,
    ) -> None:
        super().__init__()
        self.attention = check_name("attention", attention, ATTENTIONS)
        # The authors' fixed order, so that sums of floats come out alike whatever order is given.
        self.pooling = tuple(name for name in POOLINGS if name in check_pooling(pooling))
        self.pooling_combine = check_name("pooling_combine", pooling_combine, POOLING_COMBINES)
        self.order = check_name("order", order, ORDERS)
        self.channel_gate = check_name("channel_gate", channel_gate, CHANNEL_GATES)
        self.spatial_score = check_name("spatial_score", spatial_score, SPATIAL_SCORES)
        self.pool_grid = pool_grid
        self.is_divided = False

        if attention == "identity":
            if bottom_channels != top_channels:
                raise UserError(
                    f"attention 'identity' needs as many bottom as top channels, not {bottom_channels} and "
                    f"{top_channels}; choose another distance, or attention 'mapping'"
                )
            return
        if attention in ("mapping", "recurrent"):
            self.mapping = nn.Conv2d(top_channels, bottom_channels, 1, bias=False)
            self.reset_parameters()
            return

        width = top_channels // reduction if hidden_channels is None else hidden_channels
        if width < 1:
            raise UserError(f"reduction {reduction} leaves nothing of {top_channels} channels; choose a smaller one")
        self.top_reduce = nn.Conv2d(top_channels, width, 1, bias=False)
        if attention != "top":
            self.bottom_reduce = nn.Conv2d(bottom_channels, width, 1, bias=False)
        self.expand = nn.Conv2d(2 * width if attention == "joint" else width, bottom_channels, 1, bias=False)
        if "learned_shared" in self.pooling:
            self.shared_pool = nn.Linear(pool_grid**2, 1)
        if "learned" in self.pooling:
            self.top_pool = nn.Linear(pool_grid**2, 1)
            if attention != "top":
                self.bottom_pool = nn.Linear(pool_grid**2, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the 1x1 convolutions as timm draws a ResNet's (Kaiming normal, fan out)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def zero_searchlight(self) -> None:
        """Let the searchlight start at zero, whatever the maps."""
        if not hasattr(self, "expand"):
            raise UserError(f"attention {self.attention!r} has no searchlight and cannot start as identity")
        nn.init.zeros_(self.expand.weight)

    def gate_at_zero(self) -> float:
        """The factor that a zero searchlight applies to the bottom map.

        Raises:
            UserError: If it is zero.
        """
        gate = gate_of_zero_searchlight(self.order, self.channel_gate, self.expand.out_channels)
        if gate == 0:
            raise UserError(f"channel_gate {self.channel_gate!r} with a zero searchlight lets nothing pass")
        return gate

    def divide_by_gate(self) -> None:
        """Divide the modulated map by what a zero searchlight does to it, so that such a module is the identity.

        The divisor is part of the state from now on, as it changes the function.
        """
        self.is_divided = True
        self.register_buffer("divisor", self.expand.weight.new_tensor(self.gate_at_zero()))

    def forward(self, bottom: Tensor, top: Tensor) -> Tensor:
        """Return the bottom map (B, Cb, hb, wb), modulated by the top map (B, Ct, ht, wt)."""
        if not hasattr(self, "expand"):
            return self.replace(bottom, top)
        modulated = self.modulate(bottom, self.searchlight(bottom, top))
        return modulated / self.divisor if self.is_divided else modulated

    def replace(self, bottom: Tensor, top: Tensor) -> Tensor:
        """The forms without searchlight, as the class describes them."""
        if hasattr(self, "mapping"):
            top = self.mapping(top)
        if top.shape[-2:] != bottom.shape[-2:]:
            top = F.interpolate(top, size=bottom.shape[-2:], mode="nearest")
        return bottom + top if self.attention == "recurrent" else top

    def searchlight(self, bottom: Tensor, top: Tensor) -> Tensor:
        """The raw searchlight s (B, Cb, 1, 1), without gate or norm."""
        searchlights = torch.stack([self._searchlight(bottom, top, pooling) for pooling in self.pooling])
        return searchlights.mean(0) if self.pooling_combine == "mean" else searchlights.sum(0)

    def _searchlight(self, bottom: Tensor, top: Tensor, pooling: str) -> Tensor:
        hidden = F.relu(self.top_reduce(self._pool(top, pooling, "top_pool")))
        if self.attention == "top":
            return self.expand(hidden)
        hidden_bottom = F.relu(self.bottom_reduce(self._pool(bottom, pooling, "bottom_pool")))
        if self.attention == "sum":
            return self.expand(hidden + hidden_bottom)
        return self.expand(torch.cat([hidden, hidden_bottom], dim=1))

    def _pool(self, x: Tensor, pooling: str, own_pool: str) -> Tensor:
        """Pool (B, C, h, w) to (B, C, 1, 1)."""
        if pooling == "avg":
            return x.mean((2, 3), keepdim=True)
        if pooling == "max":
            return x.amax((2, 3), keepdim=True)
        linear = self.shared_pool if pooling == "learned_shared" else getattr(self, own_pool)
        return linear(F.adaptive_avg_pool2d(x, self.pool_grid).flatten(2)).unsqueeze(-1)

    def modulate(self, bottom: Tensor, searchlight: Tensor) -> Tensor:
        """Apply the channel and spatial steps of a searchlight (B, Cb, 1, 1) to (B, Cb, hb, wb)."""
        if self.order == "spatial":
            return bottom * self._spatial_gate(bottom, searchlight)
        gate = self._channel_gate(searchlight)
        if self.order == "channel":
            return bottom * gate
        if self.order == "channel_spatial":
            # sum_c s_c (g_c b_c): the scaled map need not be written out before it is weighed.
            return bottom * (gate * self._spatial_gate(bottom, searchlight * gate))
        spatial_gate = self._spatial_gate(bottom, searchlight)
        return bottom * (gate + spatial_gate) if self.order == "parallel" else bottom * (gate * spatial_gate)

    def spatial_gate(self, bottom: Tensor, top: Tensor) -> Tensor:
        """The factor of every place of the bottom map, (B, 1, hb, wb) in (0, 1): where the searchlight falls.

        Raises:
            UserError: If this attention has no spatial step.
        """
        if not hasattr(self, "expand") or self.order == "channel":
            raise UserError(f"attention {self.attention!r} of order {self.order!r} has no spatial gate to show")
        searchlight = self.searchlight(bottom, top)
        if self.order == "channel_spatial":
            searchlight = searchlight * self._channel_gate(searchlight)
        return self._spatial_gate(bottom, searchlight)

    def _channel_gate(self, searchlight: Tensor) -> Tensor:
        if self.channel_gate == "softmax":
            return searchlight.softmax(dim=1)
        return searchlight.sigmoid() if self.channel_gate == "sigmoid" else searchlight

    def _spatial_gate(self, x: Tensor, weight: Tensor) -> Tensor:
        """sigmoid(sum_c weight_c x[c]) of x (B, C, h, w) and weight (B, C, 1, 1), as (B, 1, h, w)."""
        if self.spatial_score == "scaled":
            weight = weight / x.shape[1] ** 0.5
        scores = torch.bmm(weight.flatten(1).unsqueeze(1), x.flatten(2))
        return scores.sigmoid().view(x.shape[0], 1, x.shape[2], x.shape[3])

    def extra_repr(self) -> str:
        """The options that the submodules do not show."""
        return (
            f"attention={self.attention!r}, pooling={self.pooling}, pooling_combine={self.pooling_combine!r}, "
            f"order={self.order!r}, channel_gate={self.channel_gate!r}, spatial_score={self.spatial_score!r}"
        )


def gate_of_zero_searchlight(order: str, channel_gate: str, channels: int = 1) -> float:
    """The factor that a zero searchlight applies to every place and channel of a map of `channels`.

    >>> gate_of_zero_searchlight("channel_spatial", "sigmoid")
    0.25
    """
    channel = {"sigmoid": 0.5, "softmax": 1 / channels, "none": 0.0}[channel_gate]
    return {"channel": channel, "spatial": 0.5, "parallel": channel + 0.5}.get(order, channel * 0.5)


def check_pooling(pooling: Sequence[str]) -> tuple[str, ...]:
    """Return the pooling names as a tuple, or raise for an unknown or missing one.

    >>> check_pooling(["avg", "max"])
    ('avg', 'max')
    """
    names = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    if not names:
        raise UserError(f"pooling needs at least one of {', '.join(POOLINGS)}")
    return tuple(check_name("pooling", name, POOLINGS) for name in names)
