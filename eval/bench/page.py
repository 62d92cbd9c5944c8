"""What is written of a comparison: one page, its tables as CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from eval.bench.description import Description
from eval.bench.figures import CONFIGURATION, finished_rows, mean_curves
from eval.bench.over_seeds import baseline_of, best_rows, summary
from eval.bench.runs import Run
from eval.bench.state import State, failure_of, state_of
from eval.bench.tables import COST_NAMES, cells, latex, markdown, name_of, shown_names, with_half
from eval.output.compare import FIGURES as FIGURE_NAMES
from eval.output.environment import environment
from eval.report.charts import Series, line_chart
from eval.report.template import render, write_page
from tdam.files import write_text

PAGE: Final = "report.html"
RUNS_CSV, TABLE_CSV, TABLE_TEX, TABLE_MD = "runs.csv", "table.csv", "table.tex", "table.md"
POLICIES: Final = {
    "val": "the threshold with the best GT-known Loc on the val split, whose boxes it looks at",
    "fixed": "the protocol's fixed threshold",
}


def write_comparison(description: Description, runs: Sequence[Run]) -> list[Path]:
    """Write the page and the tables of all finished runs into the comparison's folder.

    Args:
        description: The comparison.
        runs: All its runs.

    Returns:
        The files.

    Raises:
        UserError: If no run is finished, or a file cannot be written.
    """
    # Asked once: other processes may finish runs meanwhile, and all tables are of the same ones.
    states = [(run, state_of(run, description)) for run in runs]
    done = [run for run, state in states if state is State.DONE]
    rows = finished_rows(description, done)
    table = summary(rows, description.baseline)
    shown = {str(name): cells(part, description.figure) for name, part in table.groupby("protocol", sort=False)}
    folder = description.output
    write_text(folder / RUNS_CSV, rows.to_csv(index=False, float_format="%.6g"))
    write_text(folder / TABLE_CSV, table.to_csv(index=False, float_format="%.6g"))
    captions = {
        name: f"{description.name} on {description.dataset}, protocol {name}. {_interval_words(rows)}" for name in shown
    }
    write_text(folder / TABLE_TEX, "\n".join(latex(part, captions[name]) for name, part in shown.items()))
    write_text(folder / TABLE_MD, "\n".join(f"{captions[name]}\n\n{markdown(part)}" for name, part in shown.items()))
    curves = mean_curves(description, done)
    write_page(folder / PAGE, _page(description, states, rows, curves, table, shown))
    return [folder / name for name in (PAGE, TABLE_MD, TABLE_TEX, TABLE_CSV, RUNS_CSV)]


def _page(
    description: Description,
    states: Sequence[tuple[Run, State]],
    rows: pd.DataFrame,
    curves: pd.DataFrame,
    table: pd.DataFrame,
    shown: dict[str, pd.DataFrame],
) -> str:
    base = baseline_of(rows, description.baseline)
    names = shown_names(table)
    return render(
        "bench.html.j2",
        results={"environment": environment()},
        description=description,
        figure=FIGURE_NAMES[description.figure],
        baseline=", ".join(base[name] for name in names),
        done=sum(state is State.DONE for _, state in states),
        undone=[(run.name, state, failure_of(run)) for run, state in states if state is not State.DONE],
        policy="; ".join(POLICIES[name] for name in dict.fromkeys(rows["policy"])),
        centre_box=rows["centre_box"].dropna().max() if rows["centre_box"].notna().any() else None,
        comparisons=int((~table["is_baseline"]).sum()),
        interval_words=_interval_words(rows),
        names=names,
        tables={name: (list(part), part.values.tolist()) for name, part in shown.items()},
        best=_best(table, names),
        charts=_charts(curves, base, names),
        costs=list(COST_NAMES.values()),
        settings=_settings(description),
    )


def _interval_words(rows: pd.DataFrame) -> str:
    seeds = rows.groupby(list(CONFIGURATION)).size()
    words = []
    if seeds.max() > 1:
        words.append("± is half the 95 % interval over seeds (Student's t); differences are paired by seed.")
    if seeds.min() < 2:
        words.append("Rows of one seed: intervals in brackets are over images (paired bootstrap), none over seeds.")
    return " ".join(words)


def _best(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, str, str, str, str, str]]:
    """Protocol, figure, the best configuration and the next with their means, for every figure."""
    found = []
    for line in best_rows(table):
        figure, best = str(line["figure"]), line["best"]
        following = line["next"]
        found.append(
            (
                str(line["protocol"]),
                FIGURE_NAMES[figure],
                name_of(best, names),
                with_half(best[figure], best[f"{figure}_half"]),
                "–" if following is None else name_of(following, names),
                "" if following is None else with_half(following[figure], following[f"{figure}_half"]),
            )
        )
    return found


def _charts(curves: pd.DataFrame, base: dict[str, str], names: Sequence[str]) -> list[tuple[str, Any]]:
    """GT-known Loc over the threshold, each configuration beside the baseline."""
    charts = []
    for protocol, of_protocol in curves.groupby("protocol", sort=False) if not curves.empty else ():
        lines = {
            key: (name_of(part.iloc[0], names), part["threshold"].tolist(), part["gt_known_loc"].tolist())
            for key, part in of_protocol.groupby(list(base), sort=False)
        }
        of_base = tuple(base.values())
        top = max(max(values) for _, _, values in lines.values())
        for key, (name, x, y) in lines.items():
            series = [Series(name, x, y)]
            if key != of_base and of_base in lines:
                series.append(Series(f"{lines[of_base][0]} (baseline)", *lines[of_base][1:]))
            title = f"{name}, {protocol}"
            chart = line_chart(
                title, series, "score-map threshold", "GT-known Loc, percent", y_top=10 * (top // 10 + 1)
            )
            charts.append((title, chart))
    return charts


def _settings(description: Description) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = [
        ("dataset", description.dataset),
        ("recipe", description.recipe or "none"),
        ("seeds", ", ".join(map(str, description.seeds))),
    ]
    pairs += [(f"training: {key}", value) for key, value in description.training.items()]
    pairs += [(f"evaluation: {key}", value) for key, value in description.evaluation.items()]
    for kind, variants in (("network", description.networks), ("method", description.methods)):
        for variant in variants:
            words = ", ".join(f"{key} {value}" for key, value in variant.settings.items())
            pairs.append((f"{kind}: {variant.name}", words or "–"))
    return pairs
