"""Judging maps that are made of kept feature maps, so that many map methods cost one pass of the network.

For networks that end in global average pooling and one linear layer everything that a map method asks for follows from
the last feature maps and that layer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from eval.judging.split import JudgedSplit, judge_split
from eval.judging.thresholds import Thresholds
from eval.maps import NetworkMaps
from eval.protocols import Protocol
from wsol.data import LocalizationDataset
from wsol.opening import TrainedNetwork

CHANNEL_MEAN = "mean of channels"


class FeatureDataset(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    """Feature maps (N, D, h, w) in place of images."""

    def __init__(self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return torch.from_numpy(self.features[index]), int(self.labels[index]), index


class Head(nn.Module):
    """What a network does after its last maps: pooling and classifier. Its images are those maps."""

    def __init__(self, classifier: nn.Linear) -> None:
        super().__init__()
        # As timm's networks have both: what does not is asked by running it on images.
        self.num_classes = classifier.out_features
        self.pretrained_cfg: dict[str, str] = {}
        self.features, self.classifier = nn.Identity(), classifier
        self.feature_info = [{"module": "features"}]

    def forward_features(self, x: Tensor) -> Tensor:
        """The maps themselves."""
        return self.features(x)

    def forward_head(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """As timm's networks."""
        return self.classifier


def judge_features(
    features: npt.NDArray[np.float32],
    network: TrainedNetwork,
    dataset: LocalizationDataset,
    method: str,
    protocol: Protocol,
    thresholds: Thresholds,
    folder: Path,
) -> JudgedSplit:
    """Judge the maps that a method makes of kept features.

    Args:
        features: Maps under global pooling (N, D, h, w) of all images of the split.
        network: The network whose classifier weighs them; it is left as it is.
        dataset: The split.
        method: A map method, or `CHANNEL_MEAN`, the CAM of equal weights.
        protocol: Conventions to score by.
        thresholds: Thresholds known beforehand.
        folder: Folder of the records.
    """
    given = network.model.get_classifier()  # type: ignore[operator]
    classifier = nn.Linear(given.in_features, given.out_features)
    classifier.load_state_dict(given.state_dict())
    if method == CHANNEL_MEAN:
        nn.init.ones_(classifier.weight)
    source = NetworkMaps(
        replace(network, model=Head(classifier).eval()),
        FeatureDataset(features, dataset.ground_truth.labels),
        method="cam" if method == CHANNEL_MEAN else method,
        map_interpolation=protocol.map_interpolation,
    )
    masks = dataset.ground_truth.masks
    mask_of = dataset.mask if masks is not None and any(files.objects for files in masks) else None
    return judge_split(source, dataset.ground_truth, protocol, thresholds, folder, mask_of=mask_of)
