"""The figures of an image and their sums over a split, against plain means over images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm

from eval.maps import MapBatch
from eval.measures.attention_shift import GROUPS, AttentionShift, figure_keys, image_figures, step_pairs
from eval.measures.map_comparison import js_distance, rank_correlation
from eval.protocols import get_protocol
from wsol.data import GroundTruth
from wsol.errors import InputError

SIZE = 40


def scene(*squares: tuple[int, int]) -> np.ndarray:
    """A map with 10 x 10 squares of full score at these corners (x, y)."""
    score_map = np.zeros((SIZE, SIZE), np.float32)
    for x, y in squares:
        score_map[y : y + 10, x : x + 10] = 1
    return score_map


def truth(*corners: tuple[int, int]) -> np.ndarray:
    return np.array([[x, y, x + 10, y + 10] for x, y in corners])


def test_attention_that_moves_from_one_object_to_the_other() -> None:
    maps = np.stack([scene((2, 2)), scene((25, 22))])
    figures = image_figures(maps, truth((2, 2), (25, 22)), (SIZE, SIZE), (0.2, 0.2))
    assert figures["pair/1-2/box_iou"] == 0
    assert figures["pair/1-2/region_iou"] == 0
    assert figures["pair/1-2/centroid_shift"] == pytest.approx(np.hypot(23, 20) / np.hypot(40, 40))
    assert figures["step/1/localized"] == figures["step/2/localized"] == 1
    assert figures["pair/1-2/net_gain"] == 0
    assert figures["objects/step_1"] == figures["objects/step_2"] == 1
    assert figures["objects/all_steps"] == 2
    assert figures["objects/last_step_as_many_boxes"] == 1
    assert figures["objects/gain_over_last_step"] == 1
    assert figures["objects/gain_over_as_many_boxes"] == 1


def test_more_boxes_of_one_step_are_the_control_for_more_steps() -> None:
    both = scene((2, 2), (25, 22))
    figures = image_figures(np.stack([scene((2, 2)), both]), truth((2, 2), (25, 22)), (SIZE, SIZE), (0.2, 0.2))
    assert figures["objects/last_step_as_many_boxes"] == 2
    assert figures["objects/gain_over_as_many_boxes"] <= 0


def test_gained_and_lost_and_energy() -> None:
    maps = np.stack([scene((25, 22)), scene((2, 2))])
    figures = image_figures(maps, truth((2, 2)), (SIZE, SIZE), (0.2, 0.2))
    assert (figures["pair/1-2/gained"], figures["pair/1-2/lost"], figures["pair/1-2/net_gain"]) == (1, 0, 1)
    assert (figures["step/1/energy_in_boxes"], figures["step/2/energy_in_boxes"]) == (0, 1)
    assert figures["step/1/box_area"] == 11 * 11 / SIZE**2
    assert not any(key.startswith("objects") for key in figures)
    back = image_figures(maps[::-1], truth((2, 2)), (SIZE, SIZE), (0.2, 0.2))
    assert (back["pair/1-2/gained"], back["pair/1-2/lost"], back["pair/1-2/net_gain"]) == (0, 1, -1)


def test_ignored_pixels_count_on_neither_side() -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[2:12, 2:7], mask[2:12, 7:10] = 1, 255
    maps = np.stack([scene((2, 2))])
    figures = image_figures(maps, truth((2, 2)), (SIZE, SIZE), (0.2,), mask=mask)
    assert figures["step/1/energy_in_mask"] == pytest.approx(50 / 70)


def test_class_and_confidence() -> None:
    maps = np.stack([scene((2, 2))] * 3)
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    figures = image_figures(maps, truth((2, 2)), (SIZE, SIZE), (0.2,) * 3, probabilities)
    changed = [figures[f"pair/{pair}/class_changed"] for pair in ("1-2", "2-3", "1-3")]
    assert changed == [1, 1, 0]
    assert figures["pair/1-3/confidence_change"] == pytest.approx(0.2)


def random_batch(images: int, steps: int = 3, seed: int = 0) -> tuple:
    generator = np.random.default_rng(seed)
    maps = generator.random((steps, images, SIZE, SIZE), dtype=np.float32)
    maps[:, :, 25:] *= 0.5
    maps[0, 0] = 0  # a map that says nothing
    corners = [
        [(generator.integers(0, 28), generator.integers(0, 28)) for _ in range(1 + i % 3)] for i in range(images)
    ]
    sizes = generator.integers(30, 300, (images, 2))
    logits = generator.normal(size=(steps, images, 4)).astype(np.float32)
    return maps, [truth(*one) for one in corners], sizes, logits


THRESHOLDS = (0.8, 0.6, 0.9)


def test_compute_gives_the_mean_over_the_images_of_each_group() -> None:
    maps, boxes, sizes, logits = random_batch(30)
    metric = AttentionShift(3, THRESHOLDS)
    metric.update(maps, boxes, sizes, logits)
    probabilities = torch.from_numpy(logits).softmax(-1).numpy()
    images = [image_figures(maps[:, i], boxes[i], sizes[i], THRESHOLDS, probabilities[:, i]) for i in range(30)]
    members = {
        "all": images,
        "one_object": [one for one, found in zip(images, boxes, strict=True) if len(found) == 1],
        "several_objects": [one for one, found in zip(images, boxes, strict=True) if len(found) > 1],
    }
    computed = metric.compute()["groups"]
    for group in GROUPS:
        assert computed[group]["images"] == len(members[group])
        for key in figure_keys(3):
            values = [one[key] for one in members[group] if key in one]
            kind, *place = key.split("/")
            node = computed[group][{"step": "steps", "pair": "pairs", "objects": "objects"}[kind]]
            for name in place:
                node = node.get(name, {})
            if not values:
                assert node == {}
                continue
            assert node["images"] == len(values)
            assert node["mean"] == pytest.approx(np.mean(values), abs=1e-5)
    assert computed["all"]["pairs"]["1-2"]["js_distance"]["images"] == 29, "an empty map has no distribution"


def test_intervals_agree_with_scipy() -> None:
    maps, boxes, sizes, logits = random_batch(40)
    metric = AttentionShift(3, THRESHOLDS)
    metric.update(maps, boxes, sizes, logits)
    pair = metric.compute()["groups"]["all"]["pairs"]["2-3"]
    changed = int((logits[1].argmax(-1) != logits[2].argmax(-1)).sum())
    wilson = binomtest(changed, 40).proportion_ci(method="wilson")
    assert (pair["class_changed"]["low"], pair["class_changed"]["high"]) == pytest.approx(wilson, abs=1e-5)
    values = [rank_correlation(maps[1, i], maps[2, i]) for i in range(40)]
    expected = norm.interval(0.95, np.mean(values), np.std(values) / np.sqrt(40))
    assert (pair["rank_correlation"]["low"], pair["rank_correlation"]["high"]) == pytest.approx(expected, abs=1e-4)


def test_any_sharding_gives_the_same_bits() -> None:
    maps, boxes, sizes, logits = random_batch(23)
    whole = AttentionShift(3, THRESHOLDS)
    whole.update(maps, boxes, sizes, logits)
    shards = [AttentionShift(3, THRESHOLDS) for _ in range(3)]
    for number, shard in enumerate(shards):
        for i in range(number, 23, 3):
            shard.update(maps[:, i : i + 1], boxes[i : i + 1], sizes[i : i + 1], logits[:, i : i + 1])
    for state in ("images", "count", "total", "total_of_squares"):
        assert torch.equal(sum(getattr(shard, state) for shard in shards), getattr(whole, state))


def test_update_batch_takes_what_the_evaluation_has() -> None:
    maps, boxes, sizes, logits = random_batch(5)
    scale = sizes[0] / SIZE
    ground_truth = GroundTruth(
        dataset="birds",
        split="test",
        image_ids=tuple("abcde"),
        labels=np.zeros(5, np.int64),
        sizes=np.tile(sizes[0], (5, 1)),
        boxes=tuple(np.ceil(one * np.tile(scale, 2)).astype(np.int64) for one in boxes),
        class_names=("bird",),
    )
    batch = MapBatch(
        indices=np.array([3, 1]),
        score_maps=maps[:, [3, 1]],
        predicted_maps=None,
        predicted_cams=None,
        logits=logits[:, [3, 1]],
        degenerate=np.zeros((3, 2), bool),
        unreadable={3: "damaged"},
    )
    metric, expected = AttentionShift(3, THRESHOLDS), AttentionShift(3, THRESHOLDS)
    hits = np.array([[True, False], [True, True], [True, False]])
    metric.update_batch(batch, ground_truth, get_protocol("wsolevaluation"), hits)
    expected.update(maps[:, [1]], [boxes[1]], [sizes[0]], logits[:, [1]], hits=hits[:, [1]])
    assert torch.equal(metric.total, expected.total)
    group = metric.compute()["groups"]["all"]
    assert [group["steps"][step]["localized"]["mean"] for step in "123"] == [0, 1, 0], "as the evaluation decided"
    assert group["pairs"]["1-2"]["gained"]["mean"] == group["pairs"]["2-3"]["lost"]["mean"] == 1


def test_without_logits_there_are_no_figures_of_classes() -> None:
    maps, boxes, sizes, _ = random_batch(4)
    metric = AttentionShift(3, THRESHOLDS)
    metric.update(maps, boxes, sizes)
    group = metric.compute()["groups"]["all"]
    assert "class_changed" not in group["pairs"]["1-2"]
    assert "confidence" not in group["steps"]["1"]
    assert group["pairs"]["1-2"]["js_distance"]["mean"] == pytest.approx(
        np.mean([js_distance(maps[0, i], maps[1, i]) for i in range(1, 4)]), abs=1e-5
    )


def test_a_network_of_one_step_has_steps_but_no_pairs() -> None:
    maps, boxes, sizes, logits = random_batch(4, steps=1)
    metric = AttentionShift(1, (0.2,))
    metric.update(maps, boxes, sizes, logits)
    group = metric.compute()["groups"]["all"]
    assert list(group["steps"]) == ["1"]
    assert group["pairs"] == {}
    assert step_pairs(1) == []


def test_what_does_not_fit_is_refused() -> None:
    maps, boxes, sizes, _ = random_batch(4)
    with pytest.raises(InputError, match="2 thresholds"):
        AttentionShift(2, (0.2,))
    with pytest.raises(InputError, match="need score maps"):
        AttentionShift(2, (0.2, 0.2)).update(maps, boxes, sizes)
    with pytest.raises(InputError, match="image 2 of the batch has no"):
        AttentionShift(3, THRESHOLDS).update(maps, [*boxes[:2], [], boxes[3]], sizes)
