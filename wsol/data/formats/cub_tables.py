"""Tables in CUB-200-2011's format: an image number and values, separated by blanks, one row a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from tdam.files import write_text
from wsol.data.errors import DatasetError
from wsol.data.ground_truth import group_rows, read_lines

LONGEST_NUMBER = 18  # digits that surely fit 64 bits
LARGEST = 10**LONGEST_NUMBER


def read_table(path: Path, columns: int) -> tuple[list[int], list[list[str]]]:
    """Numbers of the first column, and the texts of the other `columns` of each row.

    Raises:
        DatasetError: If the table is missing or malformed; the message names file and line.
    """
    numbers: list[int] = []
    values: list[list[str]] = []
    for line_number, line in enumerate(read_lines(path), start=1):
        first, *rest = line.split()
        if len(rest) != columns or not (first.isdecimal() and len(first) <= LONGEST_NUMBER):
            wanted = f"a number and {columns} value(s) separated by blanks"
            raise DatasetError(f"{path}:{line_number}: expected {wanted}, got {line!r}")
        numbers.append(int(first))
        values.append(rest)
    return numbers, values


def integer_columns(path: Path, row_of: dict[int, int], columns: int) -> np.ndarray:
    """Integers (N, columns) of a table that has exactly one row per image.

    Args:
        path: The table.
        row_of: Row of the result that each of the N image numbers goes to.
        columns: Number of columns after the image number.

    Raises:
        DatasetError: If the table is malformed, or has not exactly these images.
    """
    numbers, texts = read_table(path, columns)
    rows = _rows(path, numbers, row_of)
    if len(rows) != len(row_of) or len(set(numbers)) != len(numbers):
        raise DatasetError(f"{path}: {len(rows)} rows of {len(set(numbers))} images, expected {len(row_of)}")
    result = np.empty((len(row_of), columns), dtype=np.int64)
    result[rows] = _parsed(path, texts, int).astype(np.int64).reshape(-1, columns)
    return result


def integer_column(path: Path, row_of: dict[int, int]) -> np.ndarray:
    """Integers (N,) of a table with one value per image; see `integer_columns`."""
    return integer_columns(path, row_of, columns=1)[:, 0]


def read_boxes(path: Path, row_of: dict[int, int]) -> tuple[np.ndarray, ...]:
    """Boxes (K_i, 4) float64 of each image, ``x y width height``; an image may have any number of rows.

    Raises:
        DatasetError: If the table is malformed, or has a row of an unknown image.
    """
    numbers, texts = read_table(path, columns=4)
    boxes = _parsed(path, texts, float).astype(np.float64).reshape(-1, 4)
    for line in np.flatnonzero(~(np.abs(boxes) < LARGEST).all(axis=1)) + 1:
        raise DatasetError(f"{path}:{line}: {' '.join(texts[line - 1])!r} are not numbers of pixels")
    return group_rows(_rows(path, numbers, row_of), boxes, len(row_of))


def write_table(path: Path, rows: Iterable[tuple[object, ...]]) -> None:
    """Write rows of values separated by blanks."""
    write_text(path, "".join(" ".join(map(str, row)) + "\n" for row in rows))


def _rows(path: Path, numbers: list[int], row_of: dict[int, int]) -> np.ndarray:
    try:
        return np.array([row_of[number] for number in numbers], dtype=np.int64)
    except KeyError as error:
        line = numbers.index(error.args[0]) + 1
        raise DatasetError(f"{path}:{line}: unknown image number {error.args[0]}") from None


def _parsed(path: Path, texts: list[list[str]], parse: Callable[[str], float]) -> np.ndarray:
    parsed = []
    for line, row in enumerate(texts, start=1):
        try:
            parsed.append([parse(text) for text in row])
            if max(map(abs, parsed[-1])) > LARGEST:
                raise ValueError
        except (ValueError, OverflowError):
            raise DatasetError(f"{path}:{line}: {' '.join(row)!r} is not numeric") from None
    return np.array(parsed)
