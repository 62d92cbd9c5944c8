"""Where the score maps to be judged come from: a stream of batches, whatever makes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

OnError = Literal["stop", "count"]


@dataclass(frozen=True)
class MapBatch:
    """Score maps of some images at every computation step.

    Attributes:
        indices: Positions of the images in the ground truth, ``(B,)`` int64.
        score_maps: Float ``(T, B, H, W)`` in [0, 1], of the ground-truth class.
        predicted_maps: The same of each step's own top class, or None where only the maps above are known.
        predicted_cams: Those maps raw, ``(T, B, h, w)``, or None.
        logits: Float32 ``(T, B, C)``, or None where only maps are known.
        degenerate: ``(T, B)`` bool: the raw map was constant or held a NaN and became zeros.
        unreadable: For images that could not be read: position -> what is wrong. Their maps are zeros.
    """

    indices: npt.NDArray[np.int64]
    score_maps: npt.NDArray[np.floating]
    predicted_maps: npt.NDArray[np.floating] | None
    predicted_cams: npt.NDArray[np.floating] | None
    logits: npt.NDArray[np.float32] | None
    degenerate: npt.NDArray[np.bool_]
    unreadable: dict[int, str] = field(default_factory=dict)


UnfinishedBatches = Generator[Callable[[], tuple[MapBatch, ...]], None, None]
"""Functions that make the next batch of every map method; another thread than the one that iterates may call them."""


class MapSource(Protocol):
    """What the evaluation asks of a source of score maps."""

    @property
    def batch_size(self) -> int:
        """Images per batch."""

    @property
    def steps(self) -> int:
        """Number of computation steps T."""

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the score maps."""

    @property
    def has_logits(self) -> bool:
        """Whether the classes' scores are known."""

    def batches(self, indices: Sequence[int]) -> Iterator[MapBatch]:
        """Score maps of the images at `indices`."""
