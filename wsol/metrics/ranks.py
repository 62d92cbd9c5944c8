"""Where an image's own class stands among the classes, by its logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsol.errors import InputError
from wsol.sweep.inputs import refuse_masked


def label_ranks(logits: Any, labels: Any) -> NDArray[np.int64]:
    """How many classes are ranked before each image's label; below k means "in the top k".

    Among equal logits the lower class index comes first.

    Args:
        logits: ``(N, C)`` class scores.
        labels: ``(N,)`` integer classes below C.

    Returns:
        ``(N,)`` int64.

    Raises:
        InputError: If shapes or types do not fit, a logit is NaN or a label is no class.

    >>> label_ranks([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], [2, 1]).tolist()
    [1, 1]
    """
    refuse_masked(logits, "logits")
    refuse_masked(labels, "labels")
    scores = torch.as_tensor(logits).detach().cpu()
    classes = torch.as_tensor(labels).detach().cpu()
    if scores.ndim != 2 or classes.shape != scores.shape[:1]:
        raise InputError(
            f"logits must have the shape (N, C) and labels (N,), got {tuple(scores.shape)}, {tuple(classes.shape)}"
        )
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise InputError(f"labels must be integers, got {classes.dtype}")
    if torch.isnan(scores).any():
        raise InputError(f"logits of image {int(torch.isnan(scores).any(dim=1).nonzero()[0])} of the batch hold NaN")
    outside = (classes < 0) | (classes >= scores.shape[1])
    if outside.any():
        raise InputError(f"label {int(classes[outside][0])} is none of the {scores.shape[1]} classes of the logits")
    classes = classes.long()[:, None]
    own = scores.gather(1, classes)
    earlier = torch.arange(scores.shape[1]) < classes
    return ((scores > own) | ((scores == own) & earlier)).sum(dim=1).numpy()
