"""Attention and tokens of vision transformers: how they are recorded, and the maps the literature makes of them.

run = run_transformer(network, images)                # timm, torchvision or Hugging Face, fused attention or not
run.weights                                           # every block's (B, H, N, N)
maps = run.layout.class_row(attention_rollout(run.weights))

N tokens are p prefix tokens (class token, registers, distillation token) and h x w patches in row-major order. In an
attention matrix rows are queries and columns are keys. The modules `attention_maps`, `gradient_maps` and `pooled_norm`
hold equations and know no network.
"""

from wsol.transformers.layout import TokenLayout
from wsol.transformers.recorder import AttentionRecorder
from wsol.transformers.run import TransformerRun, run_transformer

__all__ = ["AttentionRecorder", "TokenLayout", "TransformerRun", "run_transformer"]
