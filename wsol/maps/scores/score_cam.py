"""Score-CAM, and what its smoothed and integrated forms share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor

from wsol.maps.base import MapMethod
from wsol.maps.registry import register_method
from wsol.networks import ForwardPass

MASKED_IMAGES_PER_FORWARD = 32


@register_method
class ScoreCAM(MapMethod):
    """A channel weighs as much as the class's logit grows if the image is masked by the channel.

    Masks are the channels, scaled to [0, 1] and enlarged to the image; weights are a softmax over channels. The masked
    images run `MASKED_IMAGES_PER_FORWARD` at once.
    """

    name = "score-cam"
    paper = "Wang et al., Score-CAM: Score-Weighted Visual Explanations, CVPR Workshops 2020"
    cost = "1 + D forwards"

    def maps(self, forward: ForwardPass, class_ids: Tensor) -> Tensor:
        """Rectified weighted sums over channels ``(B, h, w)``."""
        features = forward.features.float()
        with torch.no_grad():
            maps = [
                self._map(forward, features[index], index, int(class_id)) for index, class_id in enumerate(class_ids)
            ]
        return torch.stack(maps)

    def _map(self, forward: ForwardPass, features: Tensor, index: int, class_id: int) -> Tensor:
        low, high = features.amin((1, 2), keepdim=True), features.amax((1, 2), keepdim=True)
        masks = (features - low) / (high - low + 1e-8)
        gains = torch.zeros(len(features), device=features.device)
        copies = list(self.masked(forward.images[index], masks))
        for gain in _with_progress(copies, self.name):
            gains += gain(forward, class_id)
        weights = (gains / len(copies)).softmax(0)
        return (weights[:, None, None] * features).sum(0).relu()

    def masked(self, image: Tensor, masks: Tensor) -> Iterator[MaskedScores]:
        """The sets of masked images whose logits are averaged, one score per channel each."""
        yield MaskedScores(image, masks)


class MaskedScores:
    """Logits of an image ``(3, H, W)`` masked by every channel of ``(D, h, w)``.

    Args:
        image: The image.
        masks: The masks, enlarged here bilinearly.
        noise: Standard deviation of what is added to the enlarged masks.
        seed: Of that noise.
        scale: Factor of the masked images.
    """

    def __init__(self, image: Tensor, masks: Tensor, noise: float = 0.0, seed: int = 0, scale: float = 1.0) -> None:
        self.image, self.masks, self.noise, self.seed, self.scale = image, masks, noise, seed, scale

    def __call__(self, forward: ForwardPass, class_id: int) -> Tensor:
        """Logits ``(D,)`` of a class."""
        generator = torch.Generator().manual_seed(self.seed)
        scores = []
        for start in range(0, len(self.masks), MASKED_IMAGES_PER_FORWARD):
            masks = self.masks[start : start + MASKED_IMAGES_PER_FORWARD, None]
            masks = F.interpolate(masks, self.image.shape[-2:], mode="bilinear", align_corners=False)
            if self.noise:
                masks = masks + self.noise * torch.randn(masks.shape, generator=generator).to(masks)
            images = self.scale * masks.to(self.image.dtype) * self.image
            scores.append(forward.scores(images)[:, class_id].float())
        return torch.cat(scores)


def _with_progress(copies: list[MaskedScores], name: str) -> Iterable[MaskedScores]:
    """A bar on a terminal for what takes many forward passes."""
    console = Console(stderr=True)
    passes = sum(ceil(len(one.masks) / MASKED_IMAGES_PER_FORWARD) for one in copies)
    return track(copies, name, console=console, disable=passes < 100 or not console.is_terminal, transient=True)


__all__ = ["MaskedScores", "ScoreCAM"]
