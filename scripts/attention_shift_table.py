"""Prints the tables of docs/attention-shift.md from a results folder.

python scripts/attention_shift_table.py runs/demo
"""

from __future__ import annotations

import sys
from typing import Any

from eval.report.page import EFFECTS, MOVES, OF_STEPS
from wsol.results import read_results

GROUPS = {"one_object": "one object", "several_objects": "several objects"}


def cell(figure: dict[str, float] | None, scale: float, digits: int, signed: bool) -> str:
    if figure is None:
        return "–"
    mean, low, high = (
        f"{scale * figure[end]:{'+' if signed else ''}.{digits}f}".replace("-", "−") for end in ("mean", "low", "high")
    )
    return f"{mean} [{low}, {high}]"


def table(shift: dict[str, Any]) -> str:
    groups = [shift["groups"][name] for name in GROUPS]
    heading = " | ".join(f"{words} ({group['images']})" for words, group in zip(GROUPS.values(), groups, strict=True))
    lines = [f"| | {heading} |", "|---|---|---|"]
    rows = [(f"steps {pair}", "pairs", pair, MOVES + EFFECTS) for pair in groups[0]["pairs"]]
    rows += [(f"step {step}", "steps", step, OF_STEPS) for step in groups[0]["steps"]]
    for words, part, key, columns in rows:
        for column in columns:
            cells = [
                cell(group[part].get(key, {}).get(column.key), column.scale, column.digits, column.signed)
                for group in groups
            ]
            lines.append(f"| {column.name}, {words} | {' | '.join(cells)} |")
    lines += ["", "| boxes | objects covered per image |", "|---|---|"]
    for name, figure in groups[1]["objects"].items():
        lines.append(f"| `{name}` | {cell(figure, 1, 3, name.startswith('gain'))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(read_results(sys.argv[1]).content["attention_shift"]))
