"""Evaluation protocols: the conventions in which papers differ, as data.

`docs/protocols.md` tabulates them and says what each convention alone is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tdam.errors import check_name
from wsol.boxes import to_map_pixels
from wsol.sweep import BoxConvention

CUB = "cub"  # the dataset of a protocol's fixed threshold, where it has others for other datasets


@dataclass(frozen=True)
class Protocol:
    """One paper's or repository's way to score boxes.

    Attributes:
        name: Name for `--protocol`.
        source: Repository or paper, with the commit read.
        convention: How a box is found, written down, and how IoU is counted.
        resize_ratio: Images are resized to this times the network's input and then centre-cropped to it;
            1 resizes straight to the input, without a crop.
        interpolation: Interpolation of that resize.
        map_interpolation: How a network's maps are enlarged to the input's size, see `wsol.score_maps`.
        divide_first: Ground truth is scaled as ``v / size * side``, else as ``v * side / size``. Before
            truncation the last bit matters.
        clip: Where scaled ground truth ends: ``"last_pixel"`` of the map, its ``"edge"`` (one further), or None.
        truncate: Scaled ground truth is truncated to whole pixels.
        gt_known_strict: GT-known Loc demands an IoU above the threshold instead of at least it.
        top_k_strict: The same for Top-1 and Top-5 Loc.
        macro: Means are taken over the classes' means instead of over images.
        fixed_threshold: Score-map threshold of the "fixed" figures, relative to a map's maximum; the
            authors' for CUB.
        dataset_thresholds: Where the authors take another threshold for a dataset, by its name.
        published_threshold: How the authors come by the threshold of the figures they publish.
        map_class: Whose map gives the box: of the ``"label"``, of each ``"predicted"`` class (the same
            figures, as only the guess that equals the label can count), or ``"agnostic"``: one map or box
            for all classes.
        step_filter: Also give the TDAM authors' classification: IoU filter between steps, then any step's guess.
    """

    name: str
    source: str
    convention: BoxConvention = field(default_factory=BoxConvention)
    resize_ratio: float = 1.0
    interpolation: str = "bilinear"
    map_interpolation: str = "bicubic"
    divide_first: bool = False
    clip: Literal["last_pixel", "edge"] | None = None
    truncate: bool = True
    gt_known_strict: bool = False
    top_k_strict: bool = False
    macro: bool = False
    fixed_threshold: float = 0.2
    dataset_thresholds: Mapping[str, float] = field(default_factory=dict)
    published_threshold: Literal["oracle", "fixed"] = "fixed"
    map_class: Literal["label", "predicted", "agnostic"] = "label"
    step_filter: bool = False

    def geometry(self, input_size: tuple[int, int]) -> dict[str, Any]:
        """Options of `wsol.data.transforms.evaluation_transform` for a network's input (height, width)."""
        if self.resize_ratio == 1:
            return {"interpolation": self.interpolation}
        resize = tuple(self._resized(side) for side in input_size)
        return {"interpolation": self.interpolation, "resize": resize, "crop": input_size}

    def threshold_for(self, dataset: str) -> float:
        """The authors' fixed threshold for a dataset."""
        return self.dataset_thresholds.get(dataset, self.fixed_threshold)

    def threshold_source(self, dataset: str) -> str:
        """Why `threshold_for` gives its value, in words."""
        if not self.dataset_thresholds:
            return f"as in protocol {self.name}"
        if dataset in (CUB, *self.dataset_thresholds):
            return f"the value of protocol {self.name} for {dataset}"
        others = ", ".join(f"{value:g} for {name}" for name, value in self.dataset_thresholds.items())
        return (
            f"protocol {self.name} has no value for {dataset} and takes that of {CUB}; it has {others}, and "
            "--threshold sets another"
        )

    def map_boxes(
        self, boxes: npt.NDArray[Any], image_size: npt.ArrayLike, map_size: tuple[int, int]
    ) -> npt.NDArray[Any]:
        """Ground-truth boxes of an image in score-map pixels.

        Args:
            boxes: ``(K, 4)`` ``x0 y0 x1 y1`` in pixels of the original image.
            image_size: Width and height of the image.
            map_size: Width and height of the score map.

        Returns:
            ``(K, 4)`` in score-map pixels, int64 where the protocol truncates, else float64. A box outside
            the crop shrinks to the border and meets nothing.
        """
        resized = [self._resized(length) for length in map_size]
        scaled = to_map_pixels(boxes, image_size, resized, self.divide_first) - self._crop_start(map_size)
        if self.clip is not None:
            end = np.tile(map_size, 2) - (1 if self.clip == "last_pixel" else 0)
            scaled = np.clip(scaled, 0, end)
        return scaled.astype(np.int64) if self.truncate else scaled

    def unmap_boxes(
        self, boxes: npt.NDArray[Any], image_size: npt.ArrayLike, map_size: tuple[int, int]
    ) -> npt.NDArray[np.float64]:
        """Boxes ``(K, 4)`` of a score map in pixels of the original image: `map_boxes` backwards, unrounded."""
        size = np.tile(np.asarray(image_size, dtype=np.float64), 2)
        side = np.array([self._resized(length) for length in map_size] * 2, dtype=np.float64)
        return (np.asarray(boxes, dtype=np.float64) + self._crop_start(map_size)) * size / side

    def average(self, hits: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Percent of hits ``(N, ...)`` over images of classes ``(N,)``, or over the means of the classes.

        >>> hits, labels = np.array([1, 1, 0]), np.array([0, 0, 1])
        >>> float(get_protocol("sat").average(hits, labels)), float(get_protocol("bas").average(hits, labels))
        (66.66666666666667, 50.0)
        """
        if not self.macro:
            return np.asarray(hits).sum(axis=0) * 100.0 / len(labels)
        classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
        weights = 1.0 / (len(classes) * counts[place])
        return 100.0 * np.tensordot(weights, np.asarray(hits, dtype=np.float64), axes=1)

    def _resized(self, length: int) -> int:
        return round(length * self.resize_ratio)

    def _crop_start(self, map_size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """First pixel of torchvision's CenterCrop in the resized image, for x0 y0 x1 y1."""
        starts = [round((self._resized(length) - length) / 2.0) for length in map_size]
        return np.array(starts * 2, dtype=np.float64)


CROP_256_224 = 256 / 224

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="wsolevaluation",
            source="clovaai/wsolevaluation@96f4b88; Choe et al., CVPR 2020 and TPAMI 2022",
            published_threshold="oracle",
        ),
        Protocol(
            name="ts-cam",
            source="vasgaowei/TS-CAM@25aece4; Gao et al., ICCV 2021",
            convention=BoxConvention(clamp_end=False, empty_box=(0, 0, 1, 1)),
            map_interpolation="bilinear",
            divide_first=True,
            clip="last_pixel",
            top_k_strict=True,
            fixed_threshold=0.1,
            dataset_thresholds={"imagenet": 0.12},
            map_class="predicted",
        ),
        Protocol(
            name="psol",
            source="tzzcl/PSOL@ddecfce; Zhang et al., CVPR 2020",
            convention=BoxConvention(closed_pixels=False, clamp_end=False),
            resize_ratio=CROP_256_224,
            clip="edge",
            truncate=False,
            gt_known_strict=True,
            top_k_strict=True,
            macro=True,
            map_class="agnostic",
        ),
        Protocol(
            name="bas",
            source="wpy1999/BAS@102c6f6; Wu et al., CVPR 2022",
            convention=BoxConvention(clamp_end=False, empty_box="full", largest_by="pixel_count"),
            resize_ratio=CROP_256_224,
            map_interpolation="bilinear",
            clip="edge",
            truncate=False,
            gt_known_strict=True,
            top_k_strict=True,
            macro=True,
            fixed_threshold=0.15,
            dataset_thresholds={"imagenet": 0.45},
        ),
        Protocol(
            name="sat",
            source="wpy1999/SAT@2b35429; Wu et al., ICCV 2023",
            convention=BoxConvention(clamp_end=False, empty_box="full", largest_by="pixel_count"),
            resize_ratio=CROP_256_224,
            divide_first=True,
            clip="last_pixel",
            fixed_threshold=0.4,
            dataset_thresholds={"imagenet": 0.3},
            map_class="agnostic",
        ),
        Protocol(
            name="tdam",
            source="Jaiswal et al., TDAM, ECCV 2022: the authors' custom_utils",
            convention=BoxConvention(closed_pixels=False, clamp_end=False, largest_by="polygon_points"),
            fixed_threshold=36.5 / 155,
            map_class="predicted",
            step_filter=True,
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UnknownNameError: If there is none; valid names come nearest first.

    >>> get_protocol("wsolevaluation").map_boxes(np.array([[60, 27, 385, 331]]), (500, 335), (224, 224))
    array([[ 26,  18, 172, 221]])
    """
    return PROTOCOLS[check_name("protocol", name, PROTOCOLS)]
