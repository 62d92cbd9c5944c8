"""One batch through a network: logits, features and gradients, each computed once for all maps made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from wsol.networks.errors import NetworkError
from wsol.networks.linear_form import LinearForm, linear_form
from wsol.networks.outputs import logits_of
from wsol.networks.pooling import grid_by_ratio
from wsol.networks.recorder import Recorder
from wsol.networks.structure import Site, Structure

T = TypeVar("T")


class LayerGradients(NamedTuple):
    """A layer's output and the gradient of the classes' logits with respect to it, both ``(B, D, h, w)``."""

    activation: Tensor
    gradient: Tensor


class ForwardPass:
    """A batch in a network of one computation step. What is asked for first is computed first, and once.

    Args:
        network: The network in eval mode, without wrapper.
        structure: What `discover` found of it.
        images: Preprocessed images ``(B, 3, H, W)``.
        differentiable: Keep the graph, for gradients; without it nothing but one inference is spent.
        layers: Names of further modules whose gradients are wanted.

    Attributes:
        network: As given.
        structure: As given.
        images: As given.
    """

    def __init__(
        self,
        network: nn.Module,
        structure: Structure,
        images: Tensor,
        differentiable: bool = False,
        layers: Sequence[str] = (),
    ) -> None:
        self.network = network
        self.structure = structure
        self.images = images
        self.layers = tuple(layers)
        self._kept: dict[Any, Any] = {}
        # The feature is all that gradients are asked of, so the graph need not reach further back.
        feature = structure.feature
        graph_from = feature if differentiable and not layers and feature.part != "input" else None
        self._run(differentiable, graph_from)

    def _run(self, differentiable: bool, graph_from: Site | None = None) -> None:
        wanted = {self.structure.feature, *map(Site, self.layers)}
        if self.structure.grid_layer:
            wanted.add(Site(self.structure.grid_layer))
        if self.structure.activation:
            wanted.update(head.site for head in self.structure.heads)
        whole_graph = differentiable and graph_from is None
        images = self.images
        if whole_graph:
            # A frozen network gives gradients only if its input asks for them.
            images = images.detach().clone().requires_grad_()
        with torch.set_grad_enabled(whole_graph), Recorder(self.network, wanted, graph_from) as recorder:
            output = self.network(images)
        self._graph_from = graph_from
        self._recorder = recorder
        self._logits = self._before_activation(recorder, output, len(images))

    def _before_activation(self, recorder: Recorder, output: Any, batch: int) -> Tensor:
        if self.structure.activation and self.structure.heads:
            output = recorder[self.structure.heads[0].site].output
        return logits_of(output, batch)

    @property
    def logits(self) -> Tensor:
        """``(B, C)``, before a softmax that the network itself may end with."""
        return self._logits.detach()

    def scores(self, images: Tensor) -> Tensor:
        """Logits ``(N, C)`` of other images, without gradient."""
        wanted = {head.site for head in self.structure.heads} if self.structure.activation else set()
        with torch.no_grad(), Recorder(self.network, wanted) as recorder:
            return self._before_activation(recorder, self.network(images), len(images))

    def once(self, key: Any, compute: Callable[[], T]) -> T:
        """What `compute` returns, kept for the next who asks with this key."""
        if key not in self._kept:
            self._kept[key] = compute()
        return cast(T, self._kept[key])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature."""
        tensor = self._recorder[self.structure.feature].output
        if self.structure.layout == "NCHW":
            return tensor.shape[2], tensor.shape[3]
        if self.structure.layout == "NHWC":
            return tensor.shape[1], tensor.shape[2]
        return self._token_grid(tensor)

    def _token_grid(self, tokens: Tensor) -> tuple[int, int]:
        places = tokens.shape[1] - self.structure.prefix_tokens
        if self.structure.grid_layer:
            rows, columns = self._recorder[Site(self.structure.grid_layer)].output.shape[-2:]
            if rows * columns == places:
                return rows, columns
        grid = grid_by_ratio(places, *self.images.shape[-2:])
        if grid is None:
            height, width = self.images.shape[-2:]
            raise NetworkError(f"{places} patches do not form rows and columns of a {height} x {width} image")
        return grid

    def as_maps(self, tensor: Tensor) -> Tensor:
        """A layer's output as ``(B, D, h, w)``; tokens without those before the patches.

        Raises:
            NetworkError: If it has no rows and columns.
        """
        if tensor.ndim == 3:
            grid = self._token_grid(tensor)
            return tensor[:, self.structure.prefix_tokens :].transpose(1, 2).unflatten(2, grid)
        if tensor.ndim != 4:
            raise NetworkError(f"a layer that gives {tuple(tensor.shape)} has no rows and columns")
        return tensor.permute(0, 3, 1, 2) if self.structure.layout == "NHWC" else tensor

    @property
    def features(self) -> Tensor:
        """The feature as ``(B, D, h, w)``, without gradient."""
        return self.as_maps(self._recorder[self.structure.feature].output.detach())

    def gradients(self, class_ids: Tensor) -> list[LayerGradients]:
        """The feature, or every layer named, and the gradient of each image's class ``(B,)`` with respect to it."""
        key = ("gradients", *class_ids.tolist())
        return self.once(key, lambda: self._gradients(class_ids))

    def _gradients(self, class_ids: Tensor) -> list[LayerGradients]:
        sites = [Site(layer) for layer in self.layers] or [self.structure.feature]
        tensors = [self._recorder[site].output for site in sites]
        score = self._logits.gather(1, class_ids.view(-1, 1)).sum()
        gradients: Sequence[Tensor | None] = [None]
        if score.requires_grad:
            gradients = torch.autograd.grad(score, tensors, retain_graph=True, allow_unused=True)
        if self._graph_from is not None and gradients[0] is None:
            # The network goes on with what it changed in place, not with what that call returned.
            self._run(differentiable=True)
            return self._gradients(class_ids)
        found = []
        for site, tensor, gradient in zip(sites, tensors, gradients, strict=True):
            if gradient is None:
                raise NetworkError(f"the logits do not depend on what {site} returns; name another layer")
            found.append(LayerGradients(self.as_maps(tensor.detach()).float(), self.as_maps(gradient).float()))
        return found

    def linear_form(self) -> LinearForm:
        """The logits as a sum over places, for a structure of form "weights"."""
        return self.once("linear form", self._linear_form)

    def _linear_form(self) -> LinearForm:
        raw = self._recorder[self.structure.feature].output.detach()
        with torch.no_grad(), torch.autocast(self.images.device.type, enabled=False):
            return linear_form(self.network, self.structure, raw.float(), self.features.float())
