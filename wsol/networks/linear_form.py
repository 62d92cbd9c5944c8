"""The logits as a sum over places: exact class activation maps, through norms and class tokens too."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from wsol.networks.structure import Head, Norm, Structure


class LinearForm(NamedTuple):
    """Logits as a sum over places: ``logits = mean over places of (weight · features) + rest``.

    Attributes:
        features: ``(B, D, h, w)`` float32.
        weight: ``(C, D)`` float32.
        rest: ``(B, C)``: bias, and what is read from a class token.
    """

    features: Tensor
    weight: Tensor
    rest: Tensor


def linear_form(network: nn.Module, structure: Structure, raw: Tensor, features: Tensor) -> LinearForm:
    """The linear form of a batch, for a structure of form "weights".

    Args:
        network: The network.
        structure: What was found of it.
        raw: The feature in the network's own layout, float32.
        features: The same as ``(B, D, h, w)``.
    """
    if not structure.heads:
        classes = features.shape[1]
        return LinearForm(
            features, torch.eye(classes, device=features.device), features.new_zeros(len(features), classes)
        )
    forms = [_of_head(network, structure, head, raw, features) for head in structure.heads]
    if len(forms) == 1:
        return forms[0]
    weight = torch.stack([form.weight for form in forms]).mean(0)
    return LinearForm(forms[0].features, weight, torch.stack([form.rest for form in forms]).mean(0))


def _of_head(network: nn.Module, structure: Structure, head: Head, raw: Tensor, features: Tensor) -> LinearForm:
    weight = tensor_of(network, head.weight).flatten(1)
    rest = weight.new_zeros(len(features), len(weight))
    if head.bias:
        rest = rest + tensor_of(network, head.bias)
    # What tokens before the patches add to the pooled vector.
    before = features.new_zeros(features.shape[:2])
    if structure.pooling == "class token and mean":
        width = features.shape[1]
        rest = rest + raw[:, 0] @ weight[:, :width].T
        weight = weight[:, width:]
    if structure.pooling == "mean of all tokens":
        pooled_tokens = raw.shape[1] - structure.pooled_from
        features = features * (features.shape[2:].numel() / pooled_tokens)
        before = raw[:, structure.pooled_from : structure.prefix_tokens].sum(1) / pooled_tokens
    form = LinearForm(features, weight, rest)
    if head.norm is None:
        return form._replace(rest=rest + before @ weight.T)
    return through_norm(network, head.norm, form, before)


def through_norm(network: nn.Module, norm: Norm, form: LinearForm, before: Tensor | None = None) -> LinearForm:
    """The form before a norm of the pooled vector: with the scale of each image held fixed, the norm is linear.

    Applying the norm at every place instead gives other logits. A layer norm subtracts the mean over channels, which
    goes into the weights; a batch norm is linear as it stands.

    Args:
        network: The network.
        norm: The norm.
        form: The form after it, with features from before it.
        before: ``(B, D)``, what is added to the mean of the features before the norm.
    """
    scaled = form.weight * tensor_of(network, norm.weight) if norm.weight else form.weight
    shift = form.weight @ tensor_of(network, norm.bias) if norm.bias else form.weight.new_zeros(len(form.weight))
    pooled = form.features.mean((2, 3))
    before = torch.zeros_like(pooled) if before is None else before
    pooled = pooled + before
    if norm.kind == "batch_norm":
        scaled = scaled / (tensor_of(network, str(norm.variance)) + norm.eps).sqrt()
        shift = shift - scaled @ tensor_of(network, str(norm.mean))
        return LinearForm(form.features, scaled, form.rest + shift + before @ scaled.T)
    if norm.kind == "layer_norm":
        scaled = scaled - scaled.mean(1, keepdim=True)
        deviation = (pooled.var(1, unbiased=False) + norm.eps).sqrt()
    else:
        deviation = (pooled.square().mean(1) + norm.eps).sqrt()
    features = form.features / deviation[:, None, None, None]
    return LinearForm(features, scaled, form.rest + shift + (before / deviation[:, None]) @ scaled.T)


def tensor_of(network: nn.Module, name: str) -> Tensor:
    """A parameter or buffer by name, as float32 without gradient."""
    module, _, leaf = name.rpartition(".")
    return cast(Tensor, getattr(network.get_submodule(module), leaf)).detach().float()
