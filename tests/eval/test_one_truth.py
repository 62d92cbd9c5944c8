"""Every outlet of an evaluation says of every image the same, and what a plain count of 30 lines says.

Small evaluations are drawn at random: protocols, on-error, score maps of one or several steps, ties at the IoU limit,
several boxes, images without a box, files that are missing or damaged, images that are not square.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from eval.evaluation import evaluate
from eval.judging.process import Process
from eval.options import EvaluationOptions
from eval.output.compare import compare, read_result
from eval.output.gallery import Gallery
from eval.output.predictions import read_predictions
from eval.protocols import PROTOCOLS, Protocol, get_protocol
from eval.report.data import class_rows, error_kinds, headline_rows, read_report

WIDTH, HEIGHT = 40, 24  # of images and maps alike, so that boxes need no scaling where a protocol does not crop
THRESHOLD = 0.5


@st.composite
def evaluations(draw: st.DrawFn) -> dict[str, object]:
    """Boxes, one rectangle as map of each step, and which files are damaged, of up to seven images."""
    count, steps = draw(st.integers(2, 7)), draw(st.integers(1, 2))

    def box() -> tuple[int, int, int, int]:
        x0, y0 = draw(st.integers(0, 20)), draw(st.integers(0, 10))
        return x0, y0, x0 + draw(st.integers(4, 18)), y0 + draw(st.integers(4, 12))

    def near(one: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        # A region's box ends one pixel after it.
        x0, y0, x1, y1 = one
        kind = draw(st.sampled_from(["equal", "half", "other"]))
        if kind == "half" and (x1 - x0) % 2 and x1 - x0 > 2:  # exactly IoU 0.5 where boxes are closed
            return x0, y0, x0 + (x1 - x0 + 1) // 2 - 2, y1 - 1
        return (x0, y0, x1 - 1, y1 - 1) if kind == "equal" else box()

    truths = [[box() for _ in range(draw(st.integers(0 if image else 1, 2)))] for image in range(count)]
    maps = [[near(truth[0]) if truth else box() for _ in range(steps)] for truth in truths]
    faults = [draw(st.sampled_from(["", "", "", "missing", "damaged"])) if image else "" for image in range(count)]
    return {
        "truths": truths,
        "maps": maps,
        "faults": faults,
        "labels": [draw(st.integers(0, 1)) for _ in range(count)],
        "protocol": draw(st.sampled_from(sorted(PROTOCOLS))),
    }


def write_files(folder: Path, drawn: dict) -> None:
    """A dataset of one's own and the score maps of its test split."""
    lines = ["path,label,x0,y0,x1,y1"]
    for image, (label, truth) in enumerate(zip(drawn["labels"], drawn["truths"], strict=True)):
        path = folder / "set" / "test" / f"c{label}" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (image, 9, 9)).save(path)
        name = path.relative_to(folder / "set" / "test").as_posix()
        lines += [f"{name},c{label},{','.join(map(str, box))}" for box in truth] or [f"{name},c{label},,,,"]
        if drawn["faults"][image] != "missing":
            maps = np.zeros((len(drawn["maps"][image]), HEIGHT, WIDTH), np.float32)
            for one, (x0, y0, x1, y1) in zip(maps, drawn["maps"][image], strict=True):
                one[y0 : y1 + 1, x0 : x1 + 1] = 1
            target = folder / "maps" / f"{name}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, maps if len(maps) > 1 else maps[0])
            if drawn["faults"][image] == "damaged":
                target.write_bytes(target.read_bytes()[:100])
    (folder / "set" / "test.csv").write_text("\n".join(lines) + "\n")


def plain_hits(drawn: dict, protocol: Protocol) -> list[list[bool | None]]:
    """Per image and step whether it is found; None without a box. An independent count, pixel by pixel or by hand."""
    plus = 1 if protocol.convention.closed_pixels else 0
    found: list[list[bool | None]] = []
    for truth, maps, fault in zip(drawn["truths"], drawn["maps"], drawn["faults"], strict=True):
        if not truth or fault:
            found.append([None if not truth else False] * len(maps))
            continue
        scaled = [protocol.map_boxes(np.array([one]), (WIDTH, HEIGHT), (WIDTH, HEIGHT))[0].tolist() for one in truth]
        of_image: list[bool | None] = []
        for x0, y0, x1, y1 in maps:
            end = (x1 + 1, y1 + 1)
            if protocol.convention.clamp_end:
                end = (min(x1 + 1, WIDTH - 1), min(y1 + 1, HEIGHT - 1))
            best = 0.0
            for a0, b0, a1, b1 in scaled:
                width = min(end[0], a1) - max(x0, a0) + plus
                height = min(end[1], b1) - max(y0, b0) + plus
                overlap = max(width, 0) * max(height, 0)
                areas = (end[0] - x0 + plus) * (end[1] - y0 + plus) + (a1 - a0 + plus) * (b1 - b0 + plus)
                best = max(best, overlap / (areas - overlap) if overlap else 0.0)
            of_image.append(best > 0.5 if protocol.gt_known_strict else best >= 0.5)
        found.append(of_image)
    return found


def mean(hits: list[bool], labels: list[int], macro: bool) -> float:
    """Percent over images, or over the classes' means."""
    if not macro:
        return 100 * sum(hits) / len(hits)
    classes = sorted(set(labels))
    return float(np.mean([100 * np.mean([h for h, c in zip(hits, labels, strict=True) if c == k]) for k in classes]))


def check_object_sizes(results: dict, drawn: dict, hits: list[list[bool | None]], protocol: Protocol) -> None:
    """The figures by object size of every step against a count image by image."""
    ends = (0.1, 0.25, 0.5, np.inf)
    bucket = {}
    for place, truth in enumerate(drawn["truths"]):
        if truth:
            share = max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in truth) / (WIDTH * HEIGHT)
            bucket[place] = next(number for number, end in enumerate(ends) if share < end)
    # The centre box as if every map showed it, by the plain count; a region's box ends one pixel after it.
    x0, y0, x1, y1 = results["baselines"]["centre_box"]["box"]
    shown = {
        **drawn,
        "maps": [[(x0, y0, x1 - 1, y1 - 1)]] * len(drawn["truths"]),
        "faults": [""] * len(drawn["truths"]),
    }
    centre = [one[0] for one in plain_hits(shown, protocol)]
    for number, step in enumerate(results["steps"]):
        found = results["object_sizes"][step]
        percent = {
            one: 100 * np.mean([bool(hits[place][number]) for place in bucket if bucket[place] == one])
            for one in sorted(set(bucket.values()))
        }
        assert [row["fixed"] for row in found["by_size"]] == pytest.approx(list(percent.values()))
        assert sum(row["images"] for row in found["by_size"]) == len(bucket)
        balanced = results["steps"][step]["size_balanced"]
        assert balanced["fixed"] == found["size_balanced"]["fixed"] == pytest.approx(np.mean(list(percent.values())))
        assert balanced["fixed"] <= balanced["oracle"]
        assert balanced["val"] is None
        low, high = results["intervals"]["rows"][step]["size_balanced"]["fixed"]
        assert 0 <= low <= high <= 100
        missed = [place for place in bucket if not centre[place]]
        assert found["centre_box_fails"]["images"] == len(missed)
        assert found["centre_box_fails"]["share"] == pytest.approx(100 * len(missed) / len(bucket))
        told = results["steps"][step]["centre_box_fails"]["fixed"]
        assert told == (pytest.approx(100 * np.mean([bool(hits[p][number]) for p in missed])) if missed else None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=evaluations())
def test_all_outlets_say_the_same(drawn: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("truth")
    write_files(folder, drawn)
    protocol = get_protocol(drawn["protocol"])
    if protocol.convention.largest_by == "polygon_points":
        return  # a rectangle has four polygon points: the TDAM authors' rule finds no box in it
    options = EvaluationOptions(
        dataset=str(folder / "set"),
        score_maps=folder / "maps",
        protocol=drawn["protocol"],
        threshold=THRESHOLD,
        on_error="count",
        output=folder / "out",
        batch_size=3,
        bootstrap=20,
    )
    results = evaluate(options, Process(), torch.device("cpu"))
    hits = plain_hits(drawn, protocol)
    boxed = [place for place, truth in enumerate(drawn["truths"]) if truth]
    labels = [drawn["labels"][place] for place in boxed]
    steps = list(results["steps"])
    expected = {
        step: mean([bool(hits[place][number]) for place in boxed], labels, protocol.macro)
        for number, step in enumerate(steps)
    }
    last = steps[-1]

    # results.json: figures, kinds of error, classes, sizes, mean IoU
    for number, step in enumerate(steps):
        assert results["steps"][step]["gt_known_loc"]["fixed"] == pytest.approx(expected[step])
        correct = sum(bool(hits[place][number]) for place in boxed)
        assert results["breakdown"][step]["correct"] == correct
        assert sum(results["breakdown"][step].values()) == len(boxed)
        assert results["breakdown"][step]["unreadable"] == sum(bool(drawn["faults"][place]) for place in boxed)
    assert results["headline"]["gt_known_loc"] == pytest.approx(expected[last])
    for row in results["per_class"]:
        of_class = [bool(hits[p][-1]) for p in boxed if f"c{drawn['labels'][p]}" == row["class"]]
        assert row["gt_known_loc"] == (pytest.approx(100 * np.mean(of_class)) if of_class else None)
    assert sum(row["images"] for row in results["per_size"]) == len(boxed)
    in_sizes = sum(row["gt_known_loc"] * row["images"] / 100 for row in results["per_size"])
    assert in_sizes == pytest.approx(sum(bool(hits[place][-1]) for place in boxed))
    check_object_sizes(results, drawn, hits, protocol)
    if len(boxed) > 1:
        low, high = results["intervals"]["rows"][last]["gt_known_loc"]["fixed"]
        assert low - 1e-9 <= expected[last] <= high + 1e-9

    # predictions.csv
    table = read_predictions(folder / "out" / "predictions.csv")
    told = table.pivot(index="image", columns="step", values="hit_gt_known_loc")
    outcomes = table.pivot(index="image", columns="step", values="outcome")
    names = {name: int(Path(name).stem) for name in told.index}
    for name, place in names.items():
        for number in range(len(steps)):
            hit = hits[place][number]
            assert (told.loc[name, number + 1] == 1) == bool(hit)
            assert np.isnan(told.loc[name, number + 1]) == (hit is None)
            assert (outcomes.loc[name, number + 1] == "correct") == bool(hit)
    iou = table[table["step"] == len(steps)]["iou"]
    assert iou.mean() == pytest.approx(results["mean_iou"][last]["headline"], abs=1e-5)

    # curves.csv at the fixed threshold
    curves = pd.read_csv(folder / "out" / "curves.csv", dtype={"step": str})
    at = curves[(curves["step"] == last) & np.isclose(curves["threshold"], THRESHOLD)]
    assert at["gt_known_loc"].item() == pytest.approx(expected[last], abs=1e-3)

    # comparison, report, gallery
    result = read_result(folder / "out")
    (row,) = [one for one in compare(result, result, 20).differences if one.figure == "gt_known_loc"]
    assert row.first == pytest.approx(expected[last])
    report = read_report(folder / "out")
    shown = {one["name"]: one["cells"][2]["value"] for one in headline_rows(report)}
    assert list(shown.values())[len(steps) - 1] == pytest.approx(expected[last])
    assert error_kinds(report)[last]["correct"] == pytest.approx(
        100 * results["breakdown"][last]["correct"] / len(boxed)
    )
    assert [one["last"] for one in class_rows(report)] == [one["gt_known_loc"] for one in results["per_class"]]
    for entry in Gallery.read(folder / "out").entries:
        place = int(Path(entry["image"]).stem)
        assert [step["localized"] for step in entry["steps"]] == [bool(hit) for hit in hits[place]]
    assert json.loads((folder / "out" / "results.json").read_text())["images"] == len(drawn["truths"])
