"""Whatever a torchmetrics user does with the metrics is right or refused."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.wrappers import MetricTracker

from wsol.errors import InputError, NothingToJudgeError
from wsol.metrics import LocalizationAccuracy, MaxBoxAcc, MaxBoxAccV2, PixelAveragePrecision
from wsol.metrics.counting import CountingMetric
from wsol.sweep import BoxConvention

Kinds = dict[str, Callable[[], CountingMetric]]
KINDS: Kinds = {
    "iou50": lambda: LocalizationAccuracy(0.5),
    "iou90": lambda: LocalizationAccuracy(0.9),
    "strict": lambda: LocalizationAccuracy(0.5, strict=True),
    "all": lambda: LocalizationAccuracy(0.5, rule="all"),
    "continuous": lambda: LocalizationAccuracy(0.5, convention=BoxConvention(closed_pixels=False)),
    "interval": lambda: LocalizationAccuracy(0.5, cam_threshold_interval=0.5),
}
BOX_KINDS: Kinds = {
    "three": MaxBoxAcc,
    "other three": lambda: MaxBoxAcc((0.5, 0.7, 0.9)),
    "v2": MaxBoxAccV2,
    # 0, 1/999, …: as many thresholds as 0, 0.001, … has.
    "same length": lambda: MaxBoxAcc(cam_threshold_interval=1 / 999.5),
}


def batch(seed: int, images: int = 3) -> tuple[np.ndarray, list[np.ndarray], torch.Tensor, torch.Tensor]:
    """Random maps of 20 x 12 pixels with one or two boxes, class scores and labels."""
    rng = np.random.default_rng(seed)
    maps = rng.random((images, 12, 20), dtype=np.float32)
    corners = rng.integers(0, 6, (images, 2, 2))
    boxes = [np.concatenate([c, c + rng.integers(2, 7, (2, 2))], axis=1)[: 1 + i % 2] for i, c in enumerate(corners)]
    return maps, boxes, torch.from_numpy(rng.random((images, 4))), torch.from_numpy(rng.integers(0, 4, images))


def arguments(metric: CountingMetric, seed: int) -> tuple[Any, ...]:
    """A batch as the metric takes it."""
    maps, boxes, logits, labels = batch(seed)
    if isinstance(metric, LocalizationAccuracy):
        return maps, boxes, logits, labels
    if isinstance(metric, PixelAveragePrecision):
        return maps, (np.random.default_rng(seed).random(maps.shape) < 0.4).astype(np.uint8)
    return maps, boxes


ALL: Kinds = {**KINDS, **BOX_KINDS, "pxap": PixelAveragePrecision}


@pytest.mark.parametrize("kinds", [KINDS, BOX_KINDS], ids=["localization", "max box"])
def test_metrics_of_other_settings_in_one_collection_count_as_each_does_alone(kinds: Kinds) -> None:
    # The first batch is a map that equals its box, so that all metrics begin with equal counts.
    exact = np.zeros((2, 12, 20), np.float32)
    exact[:, 3:9, 4:14] = 1
    boxes = [np.array([[4, 3, 14, 9]])] * 2
    first = (exact, boxes, torch.eye(2, 4), torch.tensor([0, 1]))
    collection = MetricCollection({name: make() for name, make in kinds.items()})
    alone = {name: make() for name, make in kinds.items()}
    localizes = kinds is KINDS
    for values in (first, batch(1), batch(2), batch(3)):
        given = values if localizes else values[:2]
        collection.update(*given)
        for metric in alone.values():
            metric.update(*given)
    for name, metric in alone.items():
        for state, value in metric.metric_state.items():
            assert torch.equal(getattr(collection[name], state), value), (name, state)
    computed = collection.compute()
    for name, metric in alone.items():
        for key, value in metric.compute().items():
            assert computed[f"{name}_{key}"] == value


@pytest.mark.parametrize("kinds", [KINDS, BOX_KINDS], ids=["localization", "max box"])
def test_counts_of_other_settings_are_neither_merged_nor_loaded(kinds: Kinds) -> None:
    for (_, make), (_, make_other) in itertools.permutations(kinds.items(), 2):
        metric, other = make(), make_other()
        metric.update(*arguments(metric, 1))
        other.update(*arguments(other, 2))
        before = copy.deepcopy(metric.metric_state)
        with pytest.raises((InputError, ValueError)):
            metric.merge_state(other)
        with pytest.raises((InputError, ValueError)):
            metric.merge_state(other.metric_state)
        with pytest.raises(RuntimeError, match=r"other settings|is no state of|Missing key|Unexpected key"):
            metric.load_state_dict(other.state_dict())
        assert all(torch.equal(value, before[name]) for name, value in metric.metric_state.items())


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_merged_loaded_cloned_pickled_and_forwarded_counts_are_those_of_one_pass(
    make: Callable[[], CountingMetric],
) -> None:
    whole = make()
    for seed in (1, 2):
        whole.update(*arguments(whole, seed))
    expected = whole.compute()

    first, second = make(), make()
    first.update(*arguments(first, 1))
    second.update(*arguments(second, 2))
    first.compute(), second.compute()  # a figure computed before must not be given out again
    merged = first.clone()
    merged.merge_state(second)
    assert merged.compute() == expected

    loaded = make()
    loaded.update(*arguments(loaded, 3))
    loaded.compute()
    saved = first.state_dict()
    loaded.load_state_dict(saved)
    loaded.update(*arguments(loaded, 2))
    assert loaded.compute() == expected
    assert all(torch.equal(value, first.state_dict()[name]) for name, value in saved.items())

    pickled = pickle.loads(pickle.dumps(first))
    pickled.update(*arguments(pickled, 2))
    assert pickled.compute() == expected

    forwarded = make()
    of_batches = [forwarded(*arguments(forwarded, seed)) for seed in (1, 2)]
    assert of_batches == [first.compute(), second.compute()]
    assert forwarded.compute() == expected
    assert first.compute() == of_batches[0]

    forwarded.reset()
    forwarded.update(*arguments(forwarded, 2))
    assert forwarded.compute() == of_batches[1]


@pytest.mark.filterwarnings("error")
def test_a_loaded_metric_computes_without_a_warning() -> None:
    metric, loaded = MaxBoxAcc(), MaxBoxAcc()
    metric.update(*arguments(metric, 1))
    loaded.load_state_dict(metric.state_dict())
    assert loaded.compute() == metric.compute()


def test_a_refused_batch_is_not_counted_by_forward() -> None:
    metric = PixelAveragePrecision()
    maps, masks = arguments(metric, 1)
    metric(maps, masks)
    figure, counts = metric.compute(), copy.deepcopy(metric.metric_state)
    with pytest.raises(NothingToJudgeError):
        metric(maps, np.zeros_like(masks))
    with pytest.raises(InputError):
        metric(maps + 2, masks)
    assert all(torch.equal(value, counts[name]) for name, value in metric.metric_state.items())
    assert metric.compute() == figure
    metric.update(maps, np.zeros_like(masks))  # background counts
    assert metric.compute() < figure


@pytest.mark.parametrize("fault", ["a count is missing", "a negative count", "floats", "a wider table"])
def test_a_damaged_state_dict_is_refused_whole(fault: str) -> None:
    metric = MaxBoxAccV2()
    metric.update(*arguments(metric, 1))
    state, before = metric.state_dict(), copy.deepcopy(metric.metric_state)
    if fault == "a count is missing":
        del state["num_boxes"]
    elif fault == "a negative count":
        state["images"] = torch.tensor(-3)
    elif fault == "floats":
        state["images"] = torch.tensor(3.5)
    else:
        state["num_correct"] = torch.zeros(3, 1001, dtype=torch.int64)
    state["num_correct"] = state["num_correct"] + 1
    with pytest.raises(RuntimeError, match=r"num_boxes|count is negative|images|num_correct"):
        metric.load_state_dict(state)
    assert all(torch.equal(value, before[name]) for name, value in metric.metric_state.items())


def test_counts_never_become_floats() -> None:
    metric = MaxBoxAcc().half().double()
    assert metric.num_correct.dtype == torch.int64
    with pytest.raises(InputError, match="64-bit integers"):
        metric.set_dtype(torch.float16)


def test_a_tracker_keeps_every_epoch() -> None:
    tracker = MetricTracker(PixelAveragePrecision())
    for seed in (1, 2):
        tracker.increment()
        tracker.update(*arguments(PixelAveragePrecision(), seed))
    alone = []
    for seed in (1, 2):
        metric = PixelAveragePrecision()
        metric.update(*arguments(metric, seed))
        alone.append(metric.compute())
    assert tracker.compute_all() == alone


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_a_plot_shows_the_counted_curves(make: Callable[[], CountingMetric]) -> None:
    metric = make()
    with pytest.raises(NothingToJudgeError), pytest.warns(UserWarning, match="before the ``update``"):
        metric.compute()
    with pytest.raises(NothingToJudgeError):
        metric.plot()
    metric.update(*arguments(metric, 1))
    figure, axes = metric.plot()
    drawn = [np.asarray(line.get_ydata()) for line in axes.lines]
    curves = list(metric.curves().values())
    for line, curve in zip(drawn, curves if len(drawn) > 1 else curves[:1], strict=True):
        np.testing.assert_array_equal(line, curve)
    own = mpl.figure.Figure().add_subplot()
    assert metric.plot(ax=own) == (own.figure, own)
    assert axes.figure is figure
    with pytest.raises(InputError, match="plot draws the curves"):
        metric.plot(50.0)


def test_what_a_mask_hides_is_not_scored() -> None:
    maps, boxes, logits, labels = batch(1)
    hidden = np.ma.masked_array(maps, mask=maps > 0.5)
    masks = np.ones(maps.shape, np.uint8)
    with pytest.raises(InputError, match="score maps are a masked array"):
        MaxBoxAcc().update(hidden, boxes)
    with pytest.raises(InputError, match="boxes of image 1 are a masked array"):
        MaxBoxAcc().update(maps, [boxes[0], np.ma.masked_array(boxes[1]), boxes[2]])
    with pytest.raises(InputError, match="boxes are a masked array"):
        MaxBoxAcc().update(maps, np.ma.masked_array(np.stack([boxes[0]] * 3)))
    with pytest.raises(InputError, match="logits are a masked array"):
        LocalizationAccuracy().update(maps, boxes, np.ma.masked_array(logits.numpy()), labels)
    with pytest.raises(InputError, match="labels are a masked array"):
        LocalizationAccuracy().update(maps, boxes, logits, np.ma.masked_array(labels.numpy()))
    with pytest.raises(InputError, match="masks are a masked array"):
        PixelAveragePrecision().update(maps, np.ma.masked_array(masks))
    with pytest.raises(InputError, match="score maps are a masked array"):
        PixelAveragePrecision().update(hidden, masks)


@pytest.mark.parametrize("corner", [np.inf, np.nan, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_boxes_without_end_are_refused(corner: float, place: int) -> None:
    maps, boxes, _, _ = batch(1)
    boxes = [box.astype(np.float64) for box in boxes]
    boxes[1][0, place] = corner
    metric = MaxBoxAcc()
    with pytest.raises(InputError, match="boxes of image 1"):
        metric.update(maps, boxes)
    assert metric.images == 0


def test_a_rule_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="unknown box rule"):
        LocalizationAccuracy(rule="biggest")  # type: ignore[arg-type]
