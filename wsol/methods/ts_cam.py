"""TS-CAM: Token Semantic Coupled Attention Map (Gao et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tdam.errors import UserError
from wsol.cam import ClassActivationMaps
from wsol.methods.base import MethodOutput, OwnMaps
from wsol.transformers.attention_maps import summed_attention
from wsol.transformers.run import has_class_token, run_transformer


class TokenMaps(NamedTuple):
    """What a transformer with a semantic head says of a batch.

    Attributes:
        logits: ``(B, C)``.
        maps: Class maps ``(B, C, h, w)``: attention times semantics.
        attention: ``(B, 1, h, w)``, the same for all classes.
        semantics: ``(B, C, h, w)``, whose spatial mean is the logits.
    """

    logits: Tensor
    maps: Tensor
    attention: Tensor
    semantics: Tensor


class TSCAM(OwnMaps):
    """A 3x3 convolution over the patch tokens classifies; attention of the class token says where.

    The convolution replaces the network's own classifier, so this module as a whole is saved and evaluated. Logits
    are the spatial mean of its maps. The map of a class is its semantic map times the class token's attention,
    averaged over heads and summed over all blocks.

    Args:
        network: A vision transformer of timm with class token and a norm before pooling: DeiT, ViT, DINOv2.
        **options: See `Method`; supervision of every step is not part of this method.

    Raises:
        UserError: If the network is none of these, or supervision of every step is asked for.
    """

    name: ClassVar[str] = "ts-cam"
    """What people call the method by."""

    authors_classifiers = ("head.weight",)

    def __init__(self, network: nn.Module, **options: Any) -> None:
        super().__init__(network, **options)
        _check_network(self.network, self.name)
        self.network.reset_classifier(0)
        if getattr(self.network, "attn_pool", None) is not None:
            # Not used, hence not trained: DistributedDataParallel waits for the gradient of every trained parameter.
            self.network.attn_pool.requires_grad_(False)
        self.head = nn.Conv2d(self.network.num_features, self.num_classes, 3, padding=1)

    def forward(self, images: Tensor, targets: Tensor) -> MethodOutput:
        """Cross-entropy of the mean semantic maps. Attention is not needed, so it may stay fused."""
        logits = self.semantics(self.network.forward_features(images), images).mean((2, 3))
        return MethodOutput(self.criterion(logits, targets), logits)

    def semantics(self, tokens: Tensor, images: Tensor) -> Tensor:
        """Semantic maps ``(B, C, h, w)`` of all tokens ``(B, N, D)`` after the last norm."""
        rows, columns = self.network.patch_embed.dynamic_feat_size(images.shape[-2:])
        patches = tokens[:, self.network.num_prefix_tokens :]
        return self.head(patches.transpose(1, 2).unflatten(2, (rows, columns)))

    @torch.no_grad()
    def token_maps(self, images: Tensor) -> TokenMaps:
        """Logits and the maps of all classes; attention is the sum over blocks as it is, semantics may be negative."""
        run = run_transformer(self.network, images, forward=self.network.forward_features)
        semantics = self.semantics(run.output, images)
        attention = self.coupled_attention(run.layout.class_row(summed_attention(run.weights))).unsqueeze(1)
        return TokenMaps(semantics.mean((2, 3)), attention * semantics, attention, semantics)

    def coupled_attention(self, attention: Tensor) -> Tensor:
        """The attention ``(B, h, w)`` that multiplies the semantic maps: here as it is."""
        return attention

    def class_activation_maps(self, images: Tensor, class_ids: Tensor | None = None) -> ClassActivationMaps:
        """Maps ``(1, B, h, w)`` of given classes ``(B,)`` or of the predicted ones."""
        found = self.token_maps(images)
        classes = found.logits.argmax(1) if class_ids is None else class_ids.flatten()
        maps = found.maps[torch.arange(len(images), device=images.device), classes]
        return ClassActivationMaps(maps.float()[None], classes[None], found.logits[None])

    @classmethod
    def is_authors_state(cls, state: Mapping[str, Tensor]) -> bool:
        """Whether weights have the names and shapes of the authors' checkpoints: a 3x3 head on transformer blocks."""
        head = state.get("head.weight")
        return head is not None and head.ndim == 4 and "blocks.0.attn.qkv.weight" in state

    @classmethod
    def in_our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the authors' checkpoint under this module's names."""
        return {_renamed(key): value for key, value in state.items()}


def _renamed(key: str) -> str:
    own = {"fuse._loss_rate": "rate", "thred": "threshold"}
    if key.startswith("layers."):
        layers, index, parameter = key.split(".", 2)
        return f"{layers}.{index}.{own.get(parameter, parameter)}"
    return key if key.startswith("head.") else f"network.{key}"


def _check_network(network: Any, method: str) -> None:
    """Refuse networks whose tokens are not what the method needs."""
    name = type(network).__name__
    needs = ("patch_embed", "num_prefix_tokens", "forward_features", "reset_classifier", "norm")
    if any(not hasattr(network, need) for need in needs) or not has_class_token(network):
        raise UserError(
            f"method {method} needs a vision transformer of timm with a class token, such as deit_small_patch16_224 "
            f"or vit_tiny_patch16_224; {name} is none"
        )
    if isinstance(network.norm, nn.Identity):
        raise UserError(
            f"method {method} needs tokens after the last norm, but this {name} normalizes after pooling: "
            "create it with global_pool=token"
        )
