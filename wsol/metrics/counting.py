"""What every metric of integer counts has in common, so that all that torchmetrics offers is right or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from wsol.errors import InputError

SETTINGS = "settings"


class CountingMetric(Metric):
    """A metric whose states are integer counts, summed over batches, processes and merged metrics.

    A fingerprint of the settings is a state of its own. Metrics with other settings are therefore never taken for equal
    (the compute groups of a `MetricCollection` compare states) and never summed: not by `merge_state`, not by
    `load_state_dict`, not over processes.

    Not with `torchmetrics.wrappers.BootStrapper`, which resamples tensors and leaves lists of boxes as they are:
    `wsol-eval --bootstrap` has intervals.

    Args:
        description: The settings that decide what is counted, by name.
        **kwargs: Passed to `torchmetrics.Metric`.

    Attributes:
        description: As given.
        settings: ``(32,)`` int64 fingerprint of class and settings.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    settings: Tensor
    thresholds: NDArray[Any]

    def __init__(self, description: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.description = dict(description)
        digest = hashlib.sha256(f"{type(self).__name__} {self.description}".encode()).digest()
        # The first state of all, so that nothing is summed before it has been compared.
        self.add_state(SETTINGS, torch.tensor(list(digest)), dist_reduce_fx=_the_same, persistent=True)

    def add_count(self, name: str, *shape: int) -> None:
        """Add a count or a table of counts, 0 at first."""
        self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum", persistent=True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Count a batch and return the figures of this batch alone.

        Raises:
            InputError: If the batch cannot be scored; it is not counted then.
            NothingToJudgeError: If the batch alone has no figures (no object pixel); it is not counted then: count it
                with `update`.
        """
        kept, updates = self._copy_state_dict(), self._update_count
        settings = self._to_sync, self._should_unsync, self._enable_grad, self.compute_on_cpu
        try:
            return super().forward(*args, **kwargs)
        except BaseException:
            for name, value in kept.items():
                setattr(self, name, value)
            self._to_sync, self._should_unsync, self._enable_grad, self.compute_on_cpu = settings
            self._update_count, self._computed = updates, None
            raise

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the counts of another metric of the same class and settings.

        Raises:
            InputError: If the settings differ.
        """
        if isinstance(incoming_state, CountingMetric) and incoming_state.description != self.description:
            raise InputError(f"counts with {incoming_state.description} cannot be added to {self.description}")
        super().merge_state(incoming_state)
        self._has_counts()

    def set_dtype(self, dst_type: str | torch.dtype) -> NoReturn:
        """Refused: counts are integers."""
        raise InputError(f"counts are 64-bit integers and cannot become {dst_type}")

    def curves(self) -> dict[str, NDArray[Any]]:
        """Percent at each of `thresholds`, by name."""
        raise NotImplementedError

    def plot(self, val: Any = None, ax: Axes | None = None) -> tuple[Any, Axes]:
        """Draw the counted curves over the score-map threshold.

        Args:
            val: Not used here: computed values say nothing of the curves.
            ax: Where to draw; None makes a figure.

        Returns:
            The figure and its axes.

        Raises:
            InputError: If values are given.
            NothingToJudgeError: If nothing has been counted.
        """
        if val is not None:
            raise InputError("plot draws the curves that were counted; draw computed values with matplotlib")
        curves = self.curves()
        if ax is None:
            ax = Figure(layout="constrained").add_subplot()
        self._draw(ax, curves)
        return ax.get_figure(), ax

    def _draw(self, axes: Axes, curves: dict[str, NDArray[Any]]) -> None:
        for name, curve in curves.items():
            axes.plot(self.thresholds, curve, label=name)
        axes.set_xlabel("score-map threshold")
        axes.set_ylabel("percent")
        axes.legend()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load all counts or none: those of other settings, shapes or types are refused, as tensors of a layer are."""
        empty = {name: value for name, value in self._defaults.items() if isinstance(value, Tensor)}
        given = {name: torch.as_tensor(state_dict[prefix + name]) for name in empty if prefix + name in state_dict}
        missing = [prefix + name for name in empty if name not in given]
        faults = [
            f"{prefix}{name}: {tuple(value.shape)} {value.dtype} is no state of {tuple(own.shape)} {own.dtype}"
            for name, value in given.items()
            if (own := empty[name]).shape != value.shape or own.dtype != value.dtype
        ]
        if not faults and SETTINGS in given and not torch.equal(given[SETTINGS].cpu(), empty[SETTINGS].cpu()):
            faults = [f"{prefix}{SETTINGS}: saved by a metric with other settings than {self.description}"]
        if not faults and any((value < 0).any() for value in given.values()):
            faults = [f"{prefix.rstrip('.') or type(self).__name__}: a saved count is negative"]
        if faults or missing:
            error_msgs.extend(faults)
            missing_keys.extend(missing)
            for name in given:
                del state_dict[prefix + name]
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        for name in empty:
            # Counting works in place; the saved tensors stay the caller's own.
            setattr(self, name, getattr(self, name).to(self.device, copy=True))
        self._has_counts()

    def _has_counts(self) -> None:
        """Forget what was computed before counts came from elsewhere."""
        self._computed = None
        self._update_count = max(self._update_count, 1)


def _the_same(fingerprints: Tensor) -> Tensor:
    """The one fingerprint of several ``(n, 32)``.

    Raises:
        InputError: If they differ.
    """
    if (fingerprints != fingerprints[0]).any():
        raise InputError("counts of metrics with different settings cannot be added")
    return fingerprints[0]
