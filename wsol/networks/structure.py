"""What is found out about a network: the tensor that is pooled, how it is pooled, and the layer that classifies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layout = Literal["NCHW", "NHWC", "tokens"]
Pooling = Literal[
    "mean",
    "max",
    "mean and max",
    "mean of all tokens",
    "class token",
    "class token and mean",
    "class maps",
    "flattened",
    "other",
]
Form = Literal["weights", "gradient", "gradient at every place", "head at every place"]

MADE_WITH: dict[Form, str] = {
    "weights": "the classifier's weights",
    "gradient": "gradients averaged over places",
    "gradient at every place": "gradients",
    "head at every place": "the layers after pooling applied to every place",
}
# Differences below this share of a logit are those of float32.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Site:
    """A place in a network's forward pass.

    Attributes:
        module: Name of the module, "" for the network itself.
        part: "output" or "input" of the module's call, or the name of a function that its own code calls.
        call: Which call of the module, or of the function within the module, from 0.
    """

    module: str
    part: str = "output"
    call: int = 0

    @property
    def is_function(self) -> bool:
        """Whether the place lies in a module's own code and not at its border."""
        return self.part not in ("output", "input")

    def __str__(self) -> str:
        name = self.module or "the network"
        if self.part == "output":
            return name
        return f"input of {name}" if self.part == "input" else f"{self.part} in {name}"


@dataclass(frozen=True)
class Head:
    """One linear classifier.

    Attributes:
        site: The module that computes it, or the call of the linear function.
        weight: Name of the parameter ``(C, D)``.
        bias: Name of its bias ``(C,)``, if any.
        norm: The norm between pooling and classifier, if any.
    """

    site: Site
    weight: str
    bias: str | None = None
    norm: Norm | None = None


@dataclass(frozen=True)
class Norm:
    """A norm of the pooled vector.

    Attributes:
        kind: Which norm.
        eps: What it adds to the variance.
        weight: Name of its scale ``(D,)``, if any.
        bias: Name of its shift ``(D,)``, if any.
        mean: Name of the running mean, of a batch norm.
        variance: Name of the running variance, of a batch norm.
    """

    kind: Literal["layer_norm", "rms_norm", "batch_norm"]
    eps: float
    weight: str | None = None
    bias: str | None = None
    mean: str | None = None
    variance: str | None = None


@dataclass(frozen=True)
class Structure:
    """How a network gets from its last map to its logits.

    Attributes:
        feature: The tensor that is pooled, or, where the classifier reads a class token or something else, the last
            tensor with places on which the logits depend.
        layout: Order of its axes; "tokens" is ``(B, N, D)``.
        pooling: How its places become one vector.
        heads: The linear classifiers, whose outputs are averaged; none where the maps are averaged themselves.
        prefix_tokens: Tokens before the patches.
        pooled_from: The first token that takes part in pooling.
        grid: Rows and columns at the size that was looked at.
        grid_layer: Convolution whose output has that grid, None for maps or where there is none.
        activation: What the network applies to the classifier's output: "softmax", "log_softmax", "sigmoid" or None.
        form: How the class activation map is made: "weights": the classifier's weights over the features;
            "gradient": their gradient, averaged over places; "gradient at every place"; "head at every place": the
            layers between pooling and classifier applied to every place (timm's MobileNetV3, GhostNet, VGG).
        num_classes: Number C of logits.
        difference: Largest ``|mean of map + constant - logit|`` over random images, as a share of the largest logit.
        rounding: A difference below this one is rounding, in the precision of the weights.
    """

    feature: Site
    layout: Layout
    pooling: Pooling
    heads: tuple[Head, ...]
    prefix_tokens: int = 0
    pooled_from: int = 0
    grid: tuple[int, int] = (1, 1)
    grid_layer: str | None = None
    activation: str | None = None
    form: Form = "weights"
    num_classes: int = 0
    difference: float = 0.0
    rounding: float = ROUNDING

    @property
    def feature_layer(self) -> str:
        """Where the pooled tensor comes from, for people."""
        return str(self.feature)

    @property
    def classifier(self) -> str:
        """The classifying layers, for people."""
        names = ", ".join(head.site.module or str(head.site) for head in self.heads)
        return names or ("none (maps of the classes)" if self.pooling == "class maps" else "the logits")

    @property
    def norm(self) -> str | None:
        """Kind of the norm between pooling and classifier."""
        return next((head.norm.kind for head in self.heads if head.norm), None)

    @property
    def is_exact(self) -> bool:
        """Whether the mean of a map and a constant are the logit, to rounding."""
        return self.difference < self.rounding and self.pooling not in ("class token", "other")

    def describe(self) -> str:
        """One sentence that says what is pooled, how, and whether the class activation map is exact.

        >>> heads = (Head(Site("fc"), "fc.weight", "fc.bias"),)
        >>> Structure(Site("layer4"), "NCHW", "mean", heads, grid=(7, 7)).describe()
        'mean of layer4 (7 x 7) to fc: the mean of a class activation map plus the bias is the logit'
        """
        height, width = self.grid
        norm = f" through {self.norm.replace('_', ' ')}" if self.norm else ""
        feature = f"{self.feature_layer} ({height} x {width})"
        way = f"{feature} by a way of the network's own" if self.pooling == "other" else f"{self.pooling} of {feature}"
        how = f"{way}{norm} to {self.classifier}"
        if self.is_exact:
            added = "the bias" if not self.norm and self.pooling == "mean" else "what no place decides"
            return f"{how}: the mean of a class activation map plus {added} is the logit"
        made = f"{how}: class activation maps are made with {MADE_WITH[self.form]}"
        if self.difference < self.rounding:
            return f"{made}; their mean and a constant are the logit on random images, which proves nothing for others"
        return f"{made} and are not exact; their mean misses the logit by up to {self.difference:.1%}"
