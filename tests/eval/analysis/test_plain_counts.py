"""All that is counted from the records of a split, against plain loops over its images.

The split has images of two shapes, several boxes, an image without a box, unreadable ones, one of unknown size, a class
without any box, and a class without any image.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import product

import numpy as np
import pytest
from tiny_source import HEIGHT, PROTOCOL, WIDTH, ArraySource, mask_of, tiny_split

from eval.analysis.baselines import hits_of_box
from eval.analysis.curves import count_split
from eval.analysis.figures import row_figures
from eval.analysis.groups import SIZE_NAMES
from eval.analysis.intervals import poisson_counts
from eval.analysis.object_sizes import object_size_figures
from eval.analysis.summary import breakdown_figures, interval_figures
from eval.judging.records import read_records
from eval.judging.split import judge_split
from eval.judging.thresholds import Thresholds
from eval.measures.outcomes import Outcome
from wsol.sweep import cam_thresholds

ROWS = ("1", "2", "mean", "max", "confidence")
RULES = ("otsu", "area0.3")
VAL = dict(zip(ROWS, (0.35, 0.45, 0.5, 0.55, 0.6), strict=True))
SELECTION = {"1": 0.3, "2": 0.38}
THRESHOLDS = Thresholds(0.2, VAL, "val", SELECTION, "boxes", RULES)
LOC = ("gt_known_loc", "top1_loc", "top5_loc")
IMAGES, UNBOXED, UNREADABLE, UNKNOWN_SIZE = 21, (2, 8), 5, 17
REPLICATES = 12
PROTOCOLS = {
    "plain": PROTOCOL,
    "macro": dataclasses.replace(PROTOCOL, macro=True),
    "macro above": dataclasses.replace(PROTOCOL, macro=True, top_k_strict=True, gt_known_strict=True),
}


def split():
    truth, maps, logits = tiny_split(num_images=IMAGES, classes=6, seed=3)
    labels = np.where(truth.labels >= 4, 3, truth.labels)  # 4 only without a box, 5 never
    labels[list(UNBOXED)] = 4
    sizes = np.array([[48, 36], [60, 90]])[np.arange(IMAGES) % 2]
    sizes[UNKNOWN_SIZE] = 0
    boxes = list(truth.boxes)
    for image in range(0, IMAGES, 2):  # larger objects
        boxes[image] = np.clip(boxes[image] + image % 3 * np.array([-4, -4, 5, 5]), 0, [47, 35, 47, 35])
    for image in UNBOXED:
        boxes[image] = boxes[image][:0]
    return dataclasses.replace(truth, labels=labels, sizes=sizes, boxes=tuple(boxes)), maps, logits


@pytest.fixture(scope="module", params=PROTOCOLS.values(), ids=PROTOCOLS)
def judged(request, tmp_path_factory):
    truth, maps, logits = split()
    source = ArraySource(maps, logits, unreadable=[UNREADABLE, UNKNOWN_SIZE], degenerate=[(1, 3), (0, 4), (0, 12)])
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.judging.split.read_records", partial(read_records, chunk=8))  # records come in three chunks
        yield judge_split(source, truth, request.param, THRESHOLDS, folder, mask_of=mask_of)


def records_of(judged):
    return np.concatenate(list(judged.records()))


def percent(judged, values, boxed_only=True, weights=None):
    """Mean of values over images, or over the classes' means, each image as often as its weight says."""
    truth = judged.ground_truth
    weights = np.ones(IMAGES) if weights is None else weights
    counted = [image for image in range(IMAGES) if not boxed_only or len(truth.boxes[image])]
    if not judged.protocol.macro:
        return 100 * sum(values[i] * weights[i] for i in counted) / sum(weights[i] for i in counted)
    sizes = np.bincount(truth.labels[counted])
    shares = {i: weights[i] / sizes[truth.labels[i]] for i in counted}
    return 100 * sum(values[i] * share for i, share in shares.items()) / sum(shares.values())


def level(judged, iou=0.5, figure="gt_known_loc"):
    strict = judged.protocol.gt_known_strict if figure == "gt_known_loc" else judged.protocol.top_k_strict
    return {0.3: 1, 0.5: 3, 0.7: 5}[iou] + strict


def reached(records, row, threshold, demanded, field="reached_largest"):
    """Whether each image's box reaches a level at a threshold relative to the map's maximum."""
    return np.array([one[field][row, int(threshold * float(one["maximum"][row]))] >= demanded for one in records])


def localized(judged, row, threshold, figure):
    """One Loc figure of each image at a threshold; `row` is a number, or a tuple of which any may be right."""
    if isinstance(row, tuple):
        return np.any([localized(judged, one, threshold, figure) for one in row], axis=0)
    records = records_of(judged)
    hits = reached(records, row, threshold, level(judged, figure=figure))
    return hits if figure == "gt_known_loc" else hits & records[f"in_{figure[:4]}"][:, row]


def accuracies(judged, row, demanded, field):
    """Percent at every threshold of the curves."""
    records = records_of(judged)
    rows = row if isinstance(row, tuple) else (row,)
    hits = np.array(
        [np.any([reached(records, one, t, demanded, field) for one in rows], axis=0) for t in cam_thresholds(0.02)]
    )
    return [percent(judged, one) for one in hits]


@pytest.mark.parametrize("name", [*ROWS, "any"])
def test_figures_of_every_row(judged, name):
    row = (0, 1) if name == "any" else ROWS.index(name)
    records, counts = records_of(judged), count_split(judged, 0.02)
    figures = row_figures(judged, counts, name)
    for k in (1, 5):
        right = records[f"in_top{k}"][:, row]
        right = right.any(axis=1) if name == "any" else right
        assert figures[f"top{k}_cls"] == pytest.approx(percent(judged, right, boxed_only=False))
    thresholds = cam_thresholds(0.02)
    for place, figure in enumerate(LOC):
        found = figures[figure]
        curve = [percent(judged, localized(judged, row, t, figure)) for t in thresholds]
        assert found["fixed"] == pytest.approx(percent(judged, localized(judged, row, 0.2, figure)))
        assert found["oracle"] == pytest.approx(max(curve))
        if name == "any":
            assert found["val"] is None
        else:
            assert found["val"] == pytest.approx(percent(judged, localized(judged, row, VAL[name], figure)))
        if name in SELECTION:
            nearest = thresholds[np.abs(thresholds - SELECTION[name]).argmin()]
            assert found["selection"] == pytest.approx(percent(judged, localized(judged, row, nearest, figure)))
        else:
            assert found["selection"] is None
        for number, rule in enumerate(RULES):
            hits = records["hit"][:, row, 2 + number, place]
            hits = hits.any(axis=1) if name == "any" else hits
            assert figures["by_rule"][rule][figure] == pytest.approx(percent(judged, hits))
        assert counts.curves[name].localization[figure].tolist() == pytest.approx(curve)
    for key, field in (("max_box_acc", "reached_largest"), ("max_box_acc_v2", "reached_all")):
        best = {str(iou): max(accuracies(judged, row, level(judged, iou), field)) for iou in (0.3, 0.5, 0.7)}
        assert figures[f"{key}_by_iou"] == pytest.approx(best)
        assert figures[key] == pytest.approx(best["0.5"] if key == "max_box_acc" else np.mean(list(best.values())))
    assert figures["pxap"] == (None if name == "any" else judged.pixel_metrics[name].compute())
    best = [t for t, value in zip(thresholds, counts.curves[name].localization["gt_known_loc"], strict=True)]
    place = counts.curves[name].localization["gt_known_loc"].argmax()
    assert counts.curves[name].best_threshold == best[place]


def test_any_step_has_one_threshold_for_all_steps(judged):
    both = dataclasses.replace(judged, thresholds=dataclasses.replace(THRESHOLDS, val={**VAL, "any": 0.44}))
    figures = row_figures(both, count_split(both, 0.02), "any")
    for figure in LOC:
        expected = percent(judged, localized(judged, (0, 1), 0.44, figure))
        assert figures[figure]["val"] == pytest.approx(expected)


def test_what_was_not_chosen_is_not_told(judged):
    bare = dataclasses.replace(judged, thresholds=dataclasses.replace(THRESHOLDS, val=None, selection=None))
    found = row_figures(bare, count_split(bare), "2")["gt_known_loc"]
    assert found.keys() == {"fixed", "val", "oracle"}
    assert found["val"] is None
    assert interval_figures(bare, 3)["rows"]["2"]["gt_known_loc"].keys() == {"fixed"}


def test_odd_images_are_listed(judged):
    counts = count_split(judged)
    assert len(list(judged.records())) == 3
    assert counts.degenerate == [3, 4, 12]
    assert counts.unreadable == [UNREADABLE, UNKNOWN_SIZE]
    assert list(counts.curves) == list(counts.classification) == [*ROWS, "any"]


def test_maps_alone_give_no_figure_of_classes(tmp_path):
    truth, maps, _ = split()
    judged = judge_split(ArraySource(maps, None), truth, PROTOCOL, THRESHOLDS, tmp_path)
    counts = count_split(judged)
    figures = row_figures(judged, counts, "1")
    assert counts.classification == {}
    assert (figures["top1_cls"], figures["top5_cls"], figures["pxap"]) == (None, None, None)
    assert set(figures["top1_loc"].values()) == set(figures["top5_loc"].values()) == {None}
    assert set(figures["top1_loc"]) == {"fixed", "val", "oracle", "selection"}
    for rule in RULES:
        assert figures["by_rule"][rule]["gt_known_loc"] is not None
        assert figures["by_rule"][rule]["top1_loc"] is figures["by_rule"][rule]["top5_loc"] is None
    for row in (*breakdown_figures(judged)["per_class"], *breakdown_figures(judged)["per_size"]):
        assert row["top1_loc"] is row["top5_loc"] is row["top1_cls"] is None
        assert (row["gt_known_loc"] is None) == (row.get("class") == "class 4")


def test_without_boxes_there_are_figures_of_classes_and_pixels(tmp_path):
    truth, maps, logits = split()
    truth = dataclasses.replace(truth, boxes=tuple(one[:0] for one in truth.boxes))
    judged = judge_split(ArraySource(maps, logits), truth, PROTOCOL, THRESHOLDS, tmp_path, mask_of=mask_of)
    counts = count_split(judged)
    figures = row_figures(judged, counts, "2")
    assert counts.curves == {}
    assert figures["top1_cls"] == pytest.approx(100 * records_of(judged)["in_top1"][:, 1].mean())
    assert figures["pxap"] == judged.pixel_metrics["2"].compute()
    assert figures["gt_known_loc"] == dict.fromkeys(("fixed", "val", "oracle", "selection"))
    assert figures["max_box_acc"] is figures["max_box_acc_v2"] is figures["by_rule"] is None


def bucket(truth, image):
    """Name of an image's size of object, by its largest box."""
    width, height = truth.sizes[image]
    if not width:
        return "unknown"
    share = max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in truth.boxes[image]) / (width * height)
    return SIZE_NAMES[sum(share >= end for end in (0.1, 0.25, 0.5))]


def check_group(row, judged, members):
    """One class or size: the last step's figures, of boxes over the images that have some."""
    records, truth = records_of(judged), judged.ground_truth
    boxed = [image for image in members if len(truth.boxes[image])]
    assert row["images"] == len(members)
    assert row["top1_cls"] == pytest.approx(100 * records["in_top1"][members, 1].mean())
    expected = {name: records["hit"][boxed, 1, 0, place] for place, name in enumerate(LOC)}
    expected |= {"first_step": records["hit"][boxed, 0, 0, 0], "mean_iou": records["iou"][boxed, 1]}
    for name, values in expected.items():
        assert row[name] == (pytest.approx(100 * values.mean(), rel=1e-6) if boxed else None), name


def test_kinds_of_error_and_groups(judged):
    records, truth, found = records_of(judged), judged.ground_truth, breakdown_figures(judged)
    boxed = [image for image in range(IMAGES) if image not in UNBOXED]
    kinds = [kind for kind in Outcome if kind is not Outcome.NO_BOX]
    for row, name in enumerate(ROWS):
        outcomes = records["outcome"][:, row].tolist()
        assert found["breakdown"][name] == {kind.name.lower(): outcomes.count(kind) for kind in kinds}
        assert found["mean_iou"][name]["headline"] == pytest.approx(records["iou"][boxed, row].mean(), rel=1e-5)
        assert found["mean_iou"][name]["fixed"] == pytest.approx(records["iou_fixed"][boxed, row].mean(), rel=1e-5)
        assert found["candidates"][name] == pytest.approx(records["candidates"][boxed, row].mean())
    assert list(found["iou_histogram"]) == ["1", "2"]
    for step, bins in enumerate(found["iou_histogram"].values()):
        places = [min(int(iou * 20), 19) for iou in records["iou"][boxed, step].tolist()]
        assert bins == [places.count(place) for place in range(20)]
    classes = {name: np.flatnonzero(truth.labels == label).tolist() for label, name in enumerate(truth.class_names)}
    assert [row["class"] for row in found["per_class"]] == [f"class {label}" for label in range(5)]
    for row in found["per_class"]:
        check_group(row, judged, classes[row["class"]])
    buckets = {name: [image for image in boxed if bucket(truth, image) == name] for name in SIZE_NAMES}
    assert [row["size"] for row in found["per_size"]] == [name for name in SIZE_NAMES if buckets[name]]
    assert len(found["per_size"]) >= 4
    for row in found["per_size"]:
        check_group(row, judged, buckets[row["size"]])


def ends(values):
    return pytest.approx(np.percentile(values, [2.5, 97.5]).tolist(), abs=1e-7)


def test_intervals_of_every_figure(judged):
    found = interval_figures(judged, REPLICATES, seed=4)
    assert {key: found[key] for key in ("level", "replicates", "seed")} == {
        "level": 95.0,
        "replicates": REPLICATES,
        "seed": 4,
    }
    records = records_of(judged)
    drawn = poisson_counts(np.arange(IMAGES), REPLICATES, 4)
    for row, name in enumerate(ROWS):
        told = found["rows"][name]
        for k in (1, 5):
            right = records[f"in_top{k}"][:, row]
            assert told[f"top{k}_cls"] == ends([percent(judged, right, False, weights) for weights in drawn])
        for figure, (policy, threshold) in product(LOC, {"fixed": 0.2, "val": VAL[name]}.items()):
            hits = localized(judged, row, threshold, figure)
            assert told[figure][policy] == ends([percent(judged, hits, True, weights) for weights in drawn])
        assert ("max_box_acc" in told) == ("max_box_acc_v2" in told) == (row < 2)
        if row >= 2:
            continue
        best = {}
        for field, iou in (("reached_largest", 0.5), *(("reached_all", iou) for iou in (0.3, 0.5, 0.7))):
            curves = np.unique(records[field][:, row, :255] >= level(judged, iou), axis=1).T
            best[field, iou] = [max(percent(judged, hits, True, weights) for hits in curves) for weights in drawn]
        assert told["max_box_acc"] == ends(best["reached_largest", 0.5])
        assert told["max_box_acc_v2"] == ends(np.mean([best["reached_all", iou] for iou in (0.3, 0.5, 0.7)], axis=0))


def test_figures_by_object_size(judged):
    records, truth = records_of(judged), judged.ground_truth
    box = tuple(judged.protocol.map_boxes(truth.boxes[3], truth.sizes[3], (WIDTH, HEIGHT))[0].tolist())
    found = object_size_figures(judged, box, (WIDTH, HEIGHT), 20)
    boxed = [image for image in range(IMAGES) if image not in UNBOXED]
    centre = hits_of_box(box, truth, judged.protocol, (WIDTH, HEIGHT))
    missed = [image for image in boxed if not centre[image]]
    assert 0 < len(missed) < len(boxed)
    for row, name in enumerate(ROWS):
        of_row, hits = found[name], records["hit"][:, row, :, 0]
        known = [size for size in SIZE_NAMES[:-1] if any(bucket(truth, image) == size for image in boxed)]
        assert [one["size"] for one in of_row["by_size"]] == known
        for one in of_row["by_size"]:
            members = [image for image in boxed if bucket(truth, image) == one["size"]]
            assert one["images"] == len(members)
            assert one["val"] == pytest.approx(100 * hits[members, 0].mean())
            assert one["fixed"] == pytest.approx(100 * hits[members, 1].mean())
            curve = [100 * reached(records, row, t, level(judged))[members].mean() for t in cam_thresholds()[::5]]
            assert one["oracle"] >= max(curve) - 1e-9
        fails = of_row["centre_box_fails"]
        assert fails["images"] == len(missed)
        assert fails["share"] == pytest.approx(100 * len(missed) / len(boxed))
        assert (fails["val"], fails["fixed"]) == pytest.approx(tuple(100 * hits[missed].mean(axis=0)[:2]))
        assert (fails["intervals"] is None) == (row >= 2), "only the steps have intervals"
    plain = dataclasses.replace(judged, thresholds=dataclasses.replace(THRESHOLDS, val=None))
    assert object_size_figures(plain, box, (WIDTH, HEIGHT), 0)["1"]["size_balanced"].keys() == {
        *("fixed", "oracle", "threshold", "intervals")
    }
