"""Settings files: what --print-config writes --config reads, the command line wins, mistakes are named."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.commands.evaluate import EVALUATE
from eval.options import EvaluationOptions
from tdam.errors import UnknownNameError, UserError
from wsol.command_line.command import Command
from wsol.command_line.settings import read_settings, write_settings
from wsol.command_line.values import typed
from wsol.commands.train import TRAIN, parse
from wsol.training.config import TrainingConfig


@dataclass(frozen=True)
class AllKinds:
    """One option of every kind that options have.

    Attributes:
        text: Text.
        maybe: Text or nothing.
        number: A number.
        count: A whole number or nothing.
        on: On or off.
        path: A path.
        choice: One of three.
        names: Several names.
        pair: Two numbers.
        one_or_more: One name or several.
        pairs: Names and values.
    """

    text: str
    maybe: str | None = None
    number: float = 0.5
    count: int | None = None
    on: bool = True
    path: Path | None = None
    choice: Literal["a", "no", "1"] | None = None
    names: tuple[str, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    one_or_more: str | tuple[str, ...] = "cam"
    pairs: dict[str, Any] = field(default_factory=dict)


KINDS = Command(
    "kinds", "All kinds.", AllKinds, {"all": tuple(item.name for item in fields(AllKinds))}, takes_settings=True
)
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        AllKinds,
        text=PLAIN,
        maybe=st.none() | PLAIN | st.sampled_from(["null", "yes", "1e-4", "~", "- a", "a: b", "#"]),
        number=NUMBERS,
        count=st.none() | st.integers(),
        on=st.booleans(),
        path=st.none() | PLAIN.filter(bool).map(Path),
        choice=st.sampled_from([None, "a", "no", "1"]),
        names=st.lists(PLAIN).map(tuple),
        pair=st.tuples(NUMBERS, NUMBERS),
        one_or_more=PLAIN | st.lists(PLAIN).map(tuple),
        pairs=st.dictionaries(PLAIN, st.booleans() | st.integers() | NUMBERS | PLAIN | st.lists(PLAIN)),
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, options: AllKinds) -> None:
    path = tmp_path_factory.getbasetemp() / "settings.yaml"
    path.write_text(write_settings(options, KINDS.groups), encoding="utf-8")
    assert AllKinds(**read_settings(path, AllKinds)) == options


def printed(command: Any, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        command(words)
    assert stop.value.code == 0
    return capsys.readouterr().out


def other(value: Any, annotation: Any, name: str) -> list[str]:
    """Words that give an option another value than its default."""
    known = {
        "method": ["grad-cam", "layer-cam"],
        "split": ["val"],
        "schedule": ["step"],
        "crop": ["random_resized"],
        "precision": ["bf16"],
        "threshold_rules": ["area0.5"],
        "val_results": ["a b.json"],
        "pick": ["lost"],
        "decode": ["fast"],
        "on_error": ["count"],
        "select_by": ["top1_cls"],
        "label_smoothing": ["0.25"],
        "score_map_dtype": ["float64"],
        "log": ["wandb"],
    }
    if name in known:
        return known[name]
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [str(value / 2 if isinstance(value, float) and value else int(value) + 3)]
    text = str(annotation)
    if "dict" in text:
        return ["a=3", "b=[x, y]"]
    if "tuple[float, float]" in text:
        return ["0.25", "0.75"]
    if "tuple" in text:
        return ["1", "2"] if "int" in text or "float" in text else ["x", "y=1"]
    return ["0.125"] if "float" in text else ["5"] if "int" in text else ["some where"]


EXCLUSIVE = {"restart", "resume", "selection_boxes", "compile", "logits", "save_logits", "val"}


@pytest.mark.parametrize("options", [EvaluationOptions, TrainingConfig])
def test_every_option_survives_the_file(options, tmp_path, capsys) -> None:
    """All options at once, each with another value than its default, but for those that exclude each other."""
    hints = get_type_hints(options)
    words = []
    for item in fields(options):
        if item.name in EXCLUSIVE or item.name in ("model", "dataset"):
            continue
        value = item.default_factory() if callable(item.default_factory) else item.default
        flag = f"--{'no-' if value is True else ''}{item.name.replace('_', '-')}"
        words += [flag, *other(value, hints[item.name], item.name)]
    words += ["--model", "m", "--dataset", "d"]
    if options is TrainingConfig:
        words[words.index("--method") + 1 : words.index("--method") + 3] = ["has"]
        words += ["--recipe", "none"]

    def read(line: list[str]) -> Any:
        return parse(line).config if options is TrainingConfig else EVALUATE.parse(line)

    file = tmp_path / "settings.yaml"
    file.write_text(printed(read, [*words, "--print-config"], capsys))
    assert read(["--config", str(file)]) == read(words)
    changed = [item.name for item in fields(options) if item.name not in EXCLUSIVE | {"model", "dataset"}]
    plain = read(["--model", "m", "--dataset", "d", *(["--recipe", "none"] if options is TrainingConfig else [])])
    assert [name for name in changed if getattr(read(words), name) == getattr(plain, name)] == []


def test_the_command_line_wins_over_the_file_and_the_file_over_the_recipe(tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: resnet_mini\ndataset: minibirds\nlr: 1e-3\nema-decay: 0.99\nsync_norms: true\n")
    config, _, recipe = parse(["--config", str(file), "--epochs", "3", "--ema-decay", "None", "--no-sync-norms"])
    assert (recipe, config.optimizer, config.lr, config.epochs) == ("minibirds", "muon", 0.001, 3)
    assert (config.ema_decay, config.sync_norms) == (None, False)
    file.write_text("model: resnet_mini\ndataset: minibirds\n")
    assert EVALUATE.parse([f"--config={file}", "--dataset", "cub"]).dataset == "cub"


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("bach_size: 3", UnknownNameError, r"unknown setting in .*mine.yaml 'bach_size'; valid: batch_size"),
        ("gallery: many", UserError, r"mine.yaml: gallery: expected a whole number, got 'many'"),
        ("decode: quick", UserError, "decode: expected exact or fast, got 'quick'"),
        ("- a\n- b", UserError, "must hold lines like"),
        ("a: [", UserError, r"mine.yaml: cannot be read"),
    ],
)
def test_mistakes_in_the_file_are_named(content, kind, message, tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(kind, match=message):
        EVALUATE.parse(["--config", str(file), "--dataset", "minibirds", "--model", "resnet_mini"])


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        TRAIN.parse(["--config", str(tmp_path / "nowhere.yaml")])


@pytest.mark.parametrize("options", [EvaluationOptions, TrainingConfig])
def test_a_value_of_no_type_at_all_is_refused_by_every_option(options) -> None:
    for annotation in get_type_hints(options, include_extras=True).values():
        with pytest.raises(ValueError, match="expected"):
            typed(object(), annotation)
