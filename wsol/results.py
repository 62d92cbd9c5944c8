"""Results of an evaluation, read from the folder that `wsol-eval --output` wrote.

results = wsol.read_results("out")
results.headline["gt_known_loc"], results.figures.loc["step 2", "max_box_acc"]
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdam.errors import UserError
from tdam.files import file_sha256, write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "wsol-results/1"
RESULTS, PREDICTIONS, CURVES = "results.json", "predictions.csv", "curves.csv"
REPORT = "report.html"
CHECKSUMS = "checksums.json"  # SHA-256 of the first three, so that a damaged number is told from a measured one
# Columns of predictions.csv that hold names, and those that may be empty.
TEXTS = ("image", "label_name", "class_name")
HITS = tuple(f"hit_{figure}{at}" for at in ("", "_fixed") for figure in ("gt_known_loc", "top1_loc", "top5_loc"))
GAPS = ("confidence", "iou", "iou_fixed", *HITS)


@dataclass(frozen=True)
class Results:
    """What an evaluation found.

    Attributes:
        content: Everything in results.json; docs/results.md describes the keys.
        folder: Folder of the files.
    """

    content: dict[str, Any]
    folder: Path

    @property
    def headline(self) -> dict[str, Any]:
        """The answer: the last step's figures in percent, its threshold and the interval of GT-known Loc."""
        return dict(self.content["headline"])

    @property
    def figures(self) -> pd.DataFrame:
        """Figures in percent: a row for every step, fusion and the any-step oracle; Loc columns as ``name@policy``."""
        import pandas as pd

        rows = {f"step {step}": figures for step, figures in self.content["steps"].items()}
        rows |= {f"fusion {name}": figures for name, figures in self.content["fusions"].items()}
        if self.content["any_step_oracle"] is not None:
            rows["any step (oracle)"] = self.content["any_step_oracle"]
        return pd.DataFrame({name: _flat(figures) for name, figures in rows.items()}).T.astype(float)

    @property
    def per_class(self) -> pd.DataFrame:
        """The last step's figures of every class; empty where no image has a box."""
        import pandas as pd

        return pd.DataFrame(self.content["per_class"] or [])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per image and step; boxes in pixels of the original image.

        Raises:
            UserError: If the file is missing or damaged.
        """
        return read_table(self.folder / PREDICTIONS, TEXTS, GAPS)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Every accuracy at each of 1,000 thresholds; empty where no image has a box.

        Raises:
            UserError: If the file is missing or damaged.
        """
        return read_table(self.folder / CURVES, ("step",))


def _flat(figures: dict[str, Any]) -> dict[str, float | None]:
    flat: dict[str, float | None] = {}
    for name, value in figures.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}@{key}" if key else name: one for key, one in inner.items() if not isinstance(one, dict)}
    return flat


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read a results.json, or the one in a folder.

    Args:
        path: The file or its folder.

    Raises:
        UserError: If it is missing, damaged or of another schema.
    """
    file = Path(path) / RESULTS if Path(path).is_dir() else Path(path)
    try:
        _check(file)
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist: it is written by wsol-eval --output DIR") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not a readable results file ({error})") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(f"{file} is not of schema {SCHEMA}: evaluate again with this version")
    return Results(content, file.parent)


def write_checksums(folder: Path) -> None:
    """Write the checksums of the files of an evaluation, by which readers know them whole."""
    sums = {name: file_sha256(folder / name) for name in (RESULTS, PREDICTIONS, CURVES)}
    write_text(folder / CHECKSUMS, json.dumps(sums, indent=1) + "\n")


def _check(path: Path) -> None:
    """Refuse a file that is not as it was written; a folder without checksums is taken as it is.

    Raises:
        UserError: Naming the file and what to do.
    """
    sums_file = path.parent / CHECKSUMS
    if not sums_file.is_file():
        return
    try:
        expected = json.loads(sums_file.read_text(encoding="utf-8")).get(path.name)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{sums_file} is damaged ({error}): evaluate again") from error
    if expected is not None and file_sha256(path) != expected:
        raise UserError(
            f"{path} is damaged or was edited, its checksum differs: evaluate again, "
            f"or delete {sums_file} to take it as it is"
        )


def read_table(path: Path, texts: tuple[str, ...], gaps: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a table of an evaluation, names as text whatever they are.

    Args:
        path: A CSV file.
        texts: Columns that hold names; a class may be called "NA" or "null".
        gaps: Columns of numbers that may be empty.

    Raises:
        UserError: If it is missing or damaged.
    """
    import pandas as pd

    try:
        _check(path)
        return pd.read_csv(
            path,
            dtype=dict.fromkeys(texts, str),
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in gaps},
        )
    except pd.errors.EmptyDataError:  # a split without boxes has no curves
        return pd.DataFrame()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: it is written by wsol-eval --output DIR") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable table ({error}): evaluate again") from error


def results_schema() -> dict[str, Any]:
    """The JSON schema of results.json."""
    text = resources.files("wsol").joinpath("schemas", RESULTS).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
