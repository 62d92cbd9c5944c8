"""How a transformer turns pooled tokens into logits, to be applied to the tokens of any block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tdam.errors import UserError

# Layers that do nothing in eval mode.
_IDLE = (nn.Identity, nn.Dropout)


def token_readout(network: nn.Module, calls_after: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """The network's last norm and classifier, as a function of one vector ``(B, D)`` instead of tokens.

    Two classifiers, as of a distilled network, are averaged.

    Args:
        network: The network.
        calls_after: Names of the modules that ran after the last block, from `TransformerRun`.

    Returns:
        Function ``(B, D)`` -> ``(B, C)``.

    Raises:
        UserError: If there is more after the last block than norms and linear classifiers.
    """
    modules = dict(network.named_modules())
    leaves = [(name, modules[name]) for name in calls_after if not list(modules[name].children())]
    norms = [module for _, module in leaves if _is_norm(module)]
    heads = [module for _, module in leaves if isinstance(module, nn.Linear)]
    others = [name for name, module in leaves if not (_is_norm(module) or isinstance(module, (nn.Linear, *_IDLE)))]
    if not heads:
        raise UserError(f"{type(network).__name__} has no linear classifier after its last block, so it has no classes")
    if others or len({(head.in_features, head.out_features) for head in heads}) != 1:
        found = ", ".join(name for name, module in leaves if not isinstance(module, _IDLE))
        raise UserError(
            f"{type(network).__name__} has more than norms and linear classifiers after its last block ({found}), "
            "so a block's own score is not defined; use gradient-attention or grad-cam"
        )

    def readout(pooled: Tensor) -> Tensor:
        for norm in norms:
            pooled = norm(pooled)
        if pooled.shape[-1] != heads[0].in_features:
            raise UserError(
                f"the classifier of {type(network).__name__} reads {heads[0].in_features} numbers where a token has "
                f"{pooled.shape[-1]}, so a block's own score is not defined; use gradient-attention or grad-cam"
            )
        return torch.stack([head(pooled) for head in heads]).mean(dim=0)

    return readout


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()
