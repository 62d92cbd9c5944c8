"""The TDAM authors' own way from maps to any-step accuracy, so that their figures can be compared.

Reproduces `custom_utils.py` of the TDAM repository, its side effects included: a box per step from a
thresholded heat map, an IoU filter that makes near-equal steps equal, and an accuracy that counts an
image as right if any step is right. With T steps that is up to T guesses, of which the ground truth
picks the best: an oracle. The honest figure is the last step's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from eval.measures.counts import Counts
from eval.measures.fusion import softmax
from wsol.errors import InputError, NothingToJudgeError
from wsol.sweep.contours import most_pointed_contour

# The authors threshold the grey value of the JET-coloured map, 0 … 155, at int(0.15 * 255). Grey(JET(v)) does
# not decrease on 0 … 159, and the detour is the same as v >= 37, a cut at 36.5 / 155 of the map's range.
HEAT_LEVELS = 155
LOWEST_HOT_LEVEL = 37


def heat_map_box(cam: npt.NDArray[np.floating], size: int = 224) -> npt.NDArray[np.int64]:
    """Box of a raw class activation map by the authors' rule.

    The contour with the most polygon points wins, if it has more than 15: a rough small blob beats a
    smooth large one, and a region with straight edges gives no box.

    Args:
        cam: ``(h, w)`` raw map.
        size: Side of the square frame that the map is resized to.

    Returns:
        ``(4,)`` int64 ``x y width height`` in pixels of the frame; zeros without a contour.
    """
    resized = cv2.resize(np.asarray(cam, dtype=np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    heat = cv2.normalize(resized, None, 0, HEAT_LEVELS, cv2.NORM_MINMAX, cv2.CV_8U)  # type: ignore[call-overload]
    contours, _ = cv2.findContours((heat >= LOWEST_HOT_LEVEL).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    index = most_pointed_contour(contours)
    if index is None:
        return np.zeros(4, dtype=np.int64)
    return np.array(cv2.boundingRect(contours[index]), dtype=np.int64)


@dataclass
class Guess:
    """One step's answer for one image. Several steps may hold the same object, as in the authors' code."""

    box: npt.NDArray[Any]
    probability: float
    logits: npt.NDArray[np.floating]

    def become(self, other: Guess) -> None:
        """Take over another guess's answer, for every step that holds this object."""
        self.box, self.probability, self.logits = other.box, other.probability, other.logits


def filter_steps(
    boxes: npt.NDArray[Any],
    probabilities: npt.NDArray[np.floating],
    logits: npt.NDArray[np.floating],
    iou_threshold: float = 0.5,
) -> npt.NDArray[np.floating]:
    """Make steps whose boxes overlap equal to the more confident of them.

    Each new step is compared with the earlier ones in turn. Where they overlap, the earlier step is
    given the new guess if that is more confident; otherwise the new guess becomes the earlier one, and
    so does every earlier step that was given it before. (The authors store views of one tensor and
    write through them; that can happen from three steps on.)

    Args:
        boxes: ``(T, N, 4)`` ``x y width height`` of every step.
        probabilities: ``(T, N)`` probability of each step's own top class.
        logits: ``(T, N, C)``.
        iou_threshold: Boxes overlap above this IoU.

    Returns:
        ``(T, N, C)`` logits after the filter.

    Raises:
        InputError: If the shapes do not fit each other.
    """
    if boxes.shape[:-1] != probabilities.shape or logits.shape[:-1] != probabilities.shape or boxes.shape[-1] != 4:
        raise InputError(
            "boxes (T, N, 4), probabilities (T, N) and logits (T, N, C) do not fit: "
            f"{boxes.shape}, {probabilities.shape}, {logits.shape}"
        )
    filtered = np.empty_like(logits)
    steps, num_images = probabilities.shape
    for i in range(num_images):
        guesses: list[Guess] = []
        for t in range(steps):
            new = Guess(boxes[t, i], float(probabilities[t, i]), logits[t, i])
            for earlier, old in enumerate(guesses):
                if width_height_iou(new.box, old.box) <= iou_threshold:
                    continue
                if new.probability > old.probability:
                    guesses[earlier] = new
                else:
                    new.become(old)
            guesses.append(new)
        filtered[:, i] = [guess.logits for guess in guesses]
    return filtered


def width_height_iou(box: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """IoU of two boxes ``x y width height``, as pycocotools counts it; 0 where one of them is empty."""
    overlap = np.minimum(box[:2] + box[2:], other[:2] + other[2:]) - np.maximum(box[:2], other[:2])
    intersection = float(overlap.clip(0).prod())
    union = float(box[2:].prod() + other[2:].prod()) - intersection
    return intersection / union if union > 0 else 0.0


def right_at_any_step(
    logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64], k: int = 1
) -> npt.NDArray[np.bool_]:
    """Whether each image's label is among the k highest logits of any step: an oracle over T guesses.

    Args:
        logits: ``(T, N, C)``.
        labels: ``(N,)``.
        k: Guesses per step.

    Returns:
        ``(N,)`` bool.
    """
    top_k = np.argsort(-logits, axis=-1, kind="stable")[..., :k]
    right: npt.NDArray[np.bool_] = (top_k == labels[:, None]).any(axis=(0, 2))
    return right


class FilteredStepAccuracy(Counts):
    """The authors' published accuracy: IoU filter between steps, then right if any step is right. An oracle.

    Attributes:
        images, num_top1, num_top5: int64 counts.

    >>> metric = FilteredStepAccuracy()
    >>> metric.update(np.zeros((2, 1, 7, 7)), np.eye(6)[None, :1].repeat(2, 0), np.array([0]))
    >>> metric.compute()
    {'top1_cls': 100.0, 'top5_cls': 100.0}
    """

    images: Tensor
    num_top1: Tensor
    num_top5: Tensor

    def __init__(self) -> None:
        super().__init__(images=(), num_top1=(), num_top5=())

    def update(
        self, cams: npt.NDArray[np.floating], logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]
    ) -> None:
        """Count a batch.

        Args:
            cams: ``(T, N, h, w)`` raw maps of each step's own top class.
            logits: ``(T, N, C)``.
            labels: ``(N,)``; no image at all is fine.
        """
        boxes = np.array([[heat_map_box(cam) for cam in of_step] for of_step in cams]).reshape(*cams.shape[:2], 4)
        filtered = filter_steps(boxes, softmax(logits).max(axis=-1), logits)
        self.images += len(labels)
        for k, state in ((1, self.num_top1), (5, self.num_top5)):
            state += int(right_at_any_step(filtered, labels, k).sum())

    def compute(self) -> dict[str, float]:
        """Percent of images, under the keys of results.json.

        Raises:
            NothingToJudgeError: If no image has been counted.
        """
        if self.images == 0:
            raise NothingToJudgeError("no image has been counted yet; call update first")
        images = int(self.images)
        return {"top1_cls": int(self.num_top1) * 100.0 / images, "top5_cls": int(self.num_top5) * 100.0 / images}
