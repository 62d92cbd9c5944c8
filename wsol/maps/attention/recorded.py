"""Attention of a batch, recorded once for all methods that show it."""

from __future__ import annotations

import torch
from torch import Tensor

from tdam.errors import UserError
from wsol.networks import ForwardPass
from wsol.transformers.run import TransformerRun, run_transformer


def recorded_attention(forward: ForwardPass, differentiable: bool = False) -> TransformerRun:
    """A run of the network with the attention of every block; see `wsol.transformers.run.run_transformer`.

    Raises:
        UserError: If the network has not one attention between all tokens in every block.
    """

    def run() -> TransformerRun:
        return run_transformer(forward.network, forward.images, differentiable)

    return forward.once(("attention", differentiable), run)


def attention_gradients(forward: ForwardPass, class_ids: Tensor) -> tuple[Tensor, ...]:
    """Gradients ``(B, H, N, N)``, with respect to every block's attention, of the logit of each image's class.

    Raises:
        UserError: If the network ends in a softmax, so that its output is no logits, or does not read its class
            token, whose row of attention is then without gradient.
    """
    run = recorded_attention(forward, differentiable=True)
    if forward.structure.activation is not None:
        raise UserError(
            f"{type(forward.network).__name__} ends in {forward.structure.activation}, so its output is no logits; "
            "take that layer off, or use attention-rollout"
        )
    score = run.output.gather(1, class_ids.view(-1, 1)).sum()
    gradients = torch.autograd.grad(score, run.weights, retain_graph=True)
    if run.layout.class_token and not bool(run.layout.class_row(gradients[-1]).any()):
        raise UserError(
            f"the classifier of {type(forward.network).__name__} does not read the class token; use cam or legrad"
        )
    return gradients
