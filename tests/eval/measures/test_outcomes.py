"""Kinds of error by hand and against a plain reading of their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from eval.measures.outcomes import Outcome, count_outcomes, outcome
from wsol.sweep import box_iou

OBJECT = np.array([[20, 20, 79, 79]])
TWINS = np.array([[0, 0, 39, 99], [60, 0, 99, 99]])


@pytest.mark.parametrize(
    ("box", "truth", "class_correct", "expected"),
    [
        ((20, 20, 79, 79), OBJECT, True, Outcome.CORRECT),
        ((20, 20, 79, 79), OBJECT, None, Outcome.CORRECT),
        ((20, 20, 79, 79), OBJECT, False, Outcome.WRONG_CLASS),
        ((90, 90, 99, 99), OBJECT, False, Outcome.WRONG_CLASS),
        ((40, 40, 59, 59), OBJECT, True, Outcome.PART),
        ((0, 0, 99, 99), OBJECT, True, Outcome.MORE),
        ((0, 0, 99, 99), TWINS, True, Outcome.SEVERAL_OBJECTS),
        ((0, 0, 99, 99), TWINS[:1], True, Outcome.MORE),
        ((90, 90, 99, 99), OBJECT, True, Outcome.MISSED),
        ((60, 60, 119, 119), OBJECT, True, Outcome.MISSED),
        ((0, 0, 0, 0), OBJECT, True, Outcome.MISSED),
    ],
)
def test_outcomes_by_hand(
    box: tuple[int, ...], truth: np.ndarray, class_correct: bool | None, expected: Outcome
) -> None:
    hit = expected is Outcome.CORRECT
    assert outcome(np.array(box), truth, class_correct, hit) is expected


def plain_outcome(box: list[int], truth: list[list[int]], class_correct: bool) -> str:
    """The definitions on sets of pixels."""

    def pixels(b: list[int]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(b[0], b[2] + 1) for y in range(b[1], b[3] + 1)}

    mine, theirs = pixels(box), [pixels(b) for b in truth]
    best = max(theirs, key=lambda one: len(mine & one) / len(mine | one))
    if not class_correct:
        return "wrong_class"
    if len(mine & best) / len(mine | best) >= 0.5:
        return "correct"
    if sum(len(mine & one) / len(one) > 0.3 for one in theirs) > 1:
        return "several_objects"
    if len(mine & best) / len(mine) > 0.5:
        return "part"
    return "more" if len(mine & best) / len(best) >= 0.7 else "missed"


def test_outcomes_equal_counting_pixels() -> None:
    random = np.random.default_rng(0)

    def boxes(number: int) -> np.ndarray:
        corners = random.integers(0, 14, (number, 2, 2))
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    found, truth = boxes(400), [boxes(random.integers(1, 4)) for _ in range(400)]
    class_correct = random.random(400) < 0.9
    expected, result = [], []
    for box, boxes_of, correct in zip(found, truth, class_correct.tolist(), strict=True):
        expected.append(plain_outcome(box.tolist(), boxes_of.tolist(), correct))
        result.append(outcome(box, boxes_of, correct, hit=box_iou(box[None], boxes_of).max() >= 0.5))
    assert [kind.name.lower() for kind in result] == expected
    counts = count_outcomes(np.array([*result, Outcome.UNREADABLE, Outcome.NO_BOX], dtype=np.uint8))
    assert counts == {name: expected.count(name) + (name == "unreadable") for name in counts}
    assert min(counts.values()) > 0
    assert "no_box" not in counts
