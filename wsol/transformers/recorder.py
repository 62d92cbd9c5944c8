"""Recording of attention weights while a network runs, whichever way it computes them.

Fused attention (``scaled_dot_product_attention``, the default of timm, torchvision and Hugging Face) never forms the
weights. Inside an `AttentionRecorder` it is computed in the open instead; softmax attention is recorded as it is. The
network and its settings are not changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class AttentionRecord(NamedTuple):
    """One attention of a forward pass.

    Attributes:
        module: Name of the module that computed it.
        weights: After the softmax and before dropout, ``(B, H, queries, keys)``, part of the graph of the output.
    """

    module: str
    weights: Tensor


class AttentionRecorder(TorchFunctionMode):
    """Context in which a network's attention weights are recorded, in the order of computation.

    Args:
        network: The network that will run.
        differentiable: Make weights that hang on no parameter that is trained start a graph of their own, so that
            `torch.autograd.grad` reaches them in a frozen network too.
    """

    def __init__(self, network: nn.Module, differentiable: bool = False) -> None:
        super().__init__()
        self.network = network
        self.differentiable = differentiable
        self._handles: list[RemovableHandle] = []
        self._forget()

    def _forget(self) -> None:
        self.records: list[AttentionRecord] = []
        self.grid: tuple[int, int] | None = None
        """Rows and columns of the last convolution's output before the first attention: the patches."""
        self.outputs: dict[str, Any] = {}
        """Outputs of the modules within which attention took place, by name."""
        self.calls: list[str] = []
        """Names of all modules in the order in which they were entered."""
        self.left_at: dict[str, int] = {}
        """For the modules of `outputs`: how many calls there had been when they returned."""
        self._running: list[tuple[str, int]] = []

    def __enter__(self) -> AttentionRecorder:
        self._forget()
        for name, module in self.network.named_modules():
            self._handles.append(module.register_forward_pre_hook(self._enter_module(name)))
            self._handles.append(module.register_forward_hook(self._leave_module, always_call=True))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        while self._handles:
            self._handles.pop().remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace fused attention, look at softmaxes, and let everything else pass."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        result = func(*args, **kwargs)
        if func in _SOFTMAX and result.ndim == 4:
            return self._record(result)
        return result

    def _record(self, weights: Tensor) -> Tensor:
        if self.differentiable and not weights.requires_grad:
            weights = weights.requires_grad_()
        self.records.append(AttentionRecord(self._running[-1][0] if self._running else "", weights))
        return weights

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """`torch.nn.functional.scaled_dot_product_attention`, step by step as its documentation defines it."""
        if enable_gqa:
            key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
            value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
        scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = query * scale @ key.transpose(-2, -1)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(dim=-1)
        if weights.ndim == 4:
            weights = self._record(weights)
        # Autocast computes softmax in float32.
        weights = weights.to(value.dtype)
        return F.dropout(weights, dropout_p) @ value if dropout_p else weights @ value

    def _multi_head(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The self-attention of `torch.nn.MultiheadAttention`; what is not plain self-attention passes unseen."""
        query, key, value, _, heads, in_weight, in_bias, *extras, dropout, out_weight, out_bias = args[:13]
        plain = query is key and key is value and query.ndim == 3 and in_weight is not None
        # bias_k, bias_v and add_zero_attn lengthen the keys.
        if not plain or any(extra is not None and extra is not False for extra in extras):
            return func(*args, **kwargs)
        if kwargs.get("key_padding_mask") is not None or len(args) > 13:
            return func(*args, **kwargs)
        length, batch, width = query.shape
        projected = F.linear(query, in_weight, in_bias)
        # (L, B, 3 * E) -> three times (B, H, L, E / H)
        query, key, value = projected.view(length, batch, 3, heads, width // heads).permute(2, 1, 3, 0, 4)
        dropout = dropout if kwargs.get("training", True) else 0.0
        attended = self._attend(query, key, value, kwargs.get("attn_mask"), dropout)
        output = F.linear(attended.permute(2, 0, 1, 3).reshape(length, batch, width), out_weight, out_bias)
        if not kwargs.get("need_weights", True):
            return output, None
        weights = self.records[-1].weights
        return output, weights.mean(dim=1) if kwargs.get("average_attn_weights", True) else weights

    def _enter_module(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: Any) -> None:
            self._running.append((name, len(self.records)))
            self.calls.append(name)

        return enter

    def _leave_module(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name, records_before = self._running.pop()
        if len(self.records) > records_before:
            self.outputs[name], self.left_at[name] = output, len(self.calls)
        if not self.records and isinstance(module, nn.Conv2d) and isinstance(output, Tensor) and output.ndim == 4:
            self.grid = (output.shape[2], output.shape[3])
