"""Attention and tokens of vision transformers: how they are recorded, and the maps the literature makes of them.

with AttentionRecorder(network) as recorder:      # timm, torchvision or Hugging Face, fused attention or not
    network(images)
layout = token_layout(network, images.shape[-2:], recorder.tokens)
weights = recorder.class_weights(layout)          # every block's (B, H, N, N)
maps = layout.class_row(attention_rollout(weights))

N tokens are p prefix tokens (class token, registers, distillation token) and h x w patches in row-major order. In an
attention matrix rows are queries and columns are keys.
"""
