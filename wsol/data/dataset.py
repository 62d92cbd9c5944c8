"""The torch dataset that every benchmark becomes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from tdam.errors import check_name
from wsol.data.files.decoders import Rule, decode_exact, decode_fast, decode_mask
from wsol.data.files.stores import ImageStore
from wsol.data.findings import Finding, Severity
from wsol.data.ground_truth import GroundTruth
from wsol.data.transforms import ToFloat

OBJECT, BACKGROUND, IGNORED = 1, 0, 255
DECODERS: dict[str, Callable[[bytes, str, Rule], Any]] = {"exact": decode_exact, "fast": decode_fast}


class LocalizationDataset(Dataset[tuple[torch.Tensor, int, int]]):
    """Images of a split with their ground truth.

    Item i is ``(image, label, i)``: image is what `transform` returns, float32 (3, H, W).

    Args:
        ground_truth: Labels, boxes and sizes of the images.
        images: Store that holds the image of every id.
        transform: From a PIL image, or for ``decode="fast"`` a uint8 tensor (3, H, W), to a tensor.
            Default: the image as it is, in [0, 1].
        decode: "exact" decodes with PIL, the pixels wsolevaluation sees; "fast" decodes
            with OpenCV to a tensor, which is also resized faster; pixels differ by a grey level or two.
        masks: Store that holds the mask files named by the ground truth; default: `images`.
        rule: Rule by which images are opened, see `wsol.data.files.decoders`.
        findings: What was found when the split was opened, for whoever writes results.

    Raises:
        UnknownNameError: If `decode` is neither.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        images: ImageStore,
        transform: Callable[[Any], torch.Tensor] | None = None,
        decode: str = "exact",
        masks: ImageStore | None = None,
        rule: Rule = "benchmark",
        findings: Iterable[Finding] = (),
    ) -> None:
        self.ground_truth = ground_truth
        self.images = images
        self.masks = images if masks is None else masks
        self.transform = ToFloat() if transform is None else transform
        self.decode = check_name("decode", decode, DECODERS)
        self.rule = rule
        self.findings = tuple(findings)

    def __len__(self) -> int:
        return len(self.ground_truth)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        path = self.ground_truth.image_ids[index]
        image = DECODERS[self.decode](self.images.read(path), self.images.where(path), self.rule)
        return self.transform(image), int(self.ground_truth.labels[index]), index

    def image(self, index: int) -> Image.Image:
        """The whole image, RGB, in the frame of its boxes.

        Raises:
            ImageError: If it cannot be read; the message names its path.
        """
        path = self.ground_truth.image_ids[index]
        return decode_exact(self.images.read(path), self.images.where(path), self.rule)

    def mask(self, index: int, size: tuple[int, int] | None = None) -> np.ndarray | None:
        """The mask of an image, or None if it has none.

        A pixel is object where any of the object files is brighter than half, ignored where the
        ignore file is and no object is (as ``get_mask`` of wsolevaluation).

        Args:
            index: Number of the image.
            size: Height and width. The files are brought to it one by one with nearest neighbour
                before they are joined, as wsolevaluation does with (224, 224). Default: the image's
                own size, or that of the first file where the image's is not listed.

        Returns:
            (H, W) uint8: 1 object, 0 background, 255 ignored.

        Raises:
            ImageError: If a file cannot be read; the message names its path.
        """
        if self.ground_truth.masks is None or not self.ground_truth.masks[index].objects:
            return None
        files = self.ground_truth.masks[index]
        objects = [self._binary_mask(path) for path in files.objects]
        width, height = self.ground_truth.sizes[index].tolist()
        size = size or ((height, width) if width else objects[0].shape)
        mask = np.logical_or.reduce([_resize_nearest(o, size) for o in objects]).astype(np.uint8)
        if files.ignore is not None:
            ignored = _resize_nearest(self._binary_mask(files.ignore), size).astype(bool)
            mask[ignored & (mask == BACKGROUND)] = IGNORED
        return mask

    def add_finding(self, severity: Severity, kind: str, subject: str, detail: str) -> None:
        """Say one more thing about the split, on stderr and to whoever writes results."""
        finding = Finding(severity, self.ground_truth.split, kind, subject, detail)
        self.findings = (*self.findings, finding)
        print(f"{self.ground_truth.dataset} {self.ground_truth.split}: {finding}", file=sys.stderr)

    def subset(self, indices: Iterable[int]) -> LocalizationDataset:
        """The same dataset with the images at `indices` only, numbered from 0."""
        ground_truth = self.ground_truth.subset(indices)
        return LocalizationDataset(
            ground_truth, self.images, self.transform, self.decode, self.masks, self.rule, self.findings
        )

    def _binary_mask(self, path: str) -> np.ndarray:
        """(h, w) uint8 of 0 and 1."""
        return decode_mask(self.masks.read(path), self.masks.where(path), self.rule).astype(np.uint8)


def _resize_nearest(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    if mask.shape == (height, width):
        return mask
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
