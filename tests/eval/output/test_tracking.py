"""What experiment trackers are told of an evaluation."""

from __future__ import annotations

from pathlib import Path

from eval.options import EvaluationOptions
from eval.output.tracking import track_evaluation


class Tracker:
    def __init__(self):
        self.told = []

    def log(self, values, step, group):
        self.told.append((values, step, group))

    def close(self):
        self.told.append("closed")


def test_every_tracker_is_told_the_numbers_of_the_headline(monkeypatch):
    trackers, opened = [Tracker(), Tracker()], []

    def open_trackers(*arguments):
        opened.append(arguments)
        return trackers

    monkeypatch.setattr("eval.output.tracking.open_trackers", open_trackers)
    headline = {"gt_known_loc": 56, "threshold": 0.25, "policy": "val", "pxap": None, "flag": True}
    results = {"model": "net", "dataset": "cub", "data": {"split": "test"}, "headline": headline}
    options = EvaluationOptions(dataset="cub", model="net", output=Path("out"))
    track_evaluation(["wandb", "mlflow"], results, options)
    ((names, folder, title, settings),) = opened
    assert (names, folder, title) == (["wandb", "mlflow"], Path("out"), "net on cub test")
    assert settings["output"] == "out", "as text"
    assert "limit" not in settings, "what is not given is left out"
    for tracker in trackers:
        assert tracker.told == [
            ({"headline/gt_known_loc": 56.0, "headline/threshold": 0.25}, 0, "evaluation"),
            "closed",
        ]


def test_an_evaluation_of_maps_alone_has_a_title_and_a_place(monkeypatch):
    opened = []
    monkeypatch.setattr("eval.output.tracking.open_trackers", lambda *arguments: opened.append(arguments) or [])
    results = {"model": None, "dataset": "cub", "data": {"split": "val"}, "headline": {}}
    track_evaluation(["wandb"], results, EvaluationOptions(dataset="cub", score_maps=Path("maps")))
    assert opened[0][1:3] == (Path(), "score maps on cub val")
