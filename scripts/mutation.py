"""Mutation testing of one room: the share of small faults, put in one at a time, that its tests notice.

python scripts/mutation.py judging                # every fault that mutmut knows
python scripts/mutation.py judging --sample 200   # some of them, drawn at random by --seed

Works in a copy of the files git knows, build/mutation/ROOM, and prints the share of each module and every fault that
no test noticed. docs/testing.md holds the figures. Needs `pip install mutmut==3.8.1`; see scripts/mutation.sh.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from scipy import stats

ROOT = Path(__file__).parents[1]
# Room: its modules, and the tests that are to notice their faults.
ROOMS = {
    "judging": (["eval/judging/*"], ["tests/eval/judging"]),
    "analysis": (["eval/analysis/*"], ["tests/eval/analysis", "tests/eval/judging/test_split.py"]),
    "output": (["eval/output/*"], ["tests/eval/output", "tests/eval/analysis/test_threshold_choices.py"]),
    "report": (["eval/report/data.py"], ["tests/eval/report"]),
}
# They start other processes, read large lists or evaluate networks; what only they would notice counts as not noticed.
LEFT_OUT = (
    "tests/eval/judging/test_split.py::test_two_processes_count_the_same_integers",
    "tests/eval/judging/test_split.py::test_a_flipped_bit_anywhere_in_what_a_killed_run_left_is_refused_or_changes_nothing",
    "tests/eval/analysis/test_intervals.py::test_interval_covers_the_truth_in_about_95_of_100",
    "tests/eval/analysis/test_baselines.py::test_best_centre_box_of_the_real_lists",
    "tests/eval/analysis/test_baselines.py::test_centre_map_on_the_real_lists_gives_the_recorded_counts",
    "tests/eval/output/test_command.py::test_the_pasted_command_reproduces_the_figures",
    "tests/eval/output/test_compare.py",
    "tests/eval/output/test_gallery.py::test_picked_images_are_drawn_in_pages",
    "tests/eval/output/test_gallery.py::test_pictures_of_the_gallery_are_known_as_our_own",
    "tests/eval/output/test_gallery.py::test_the_gallery_of_an_evaluation_says_what_predictions_say",
    "tests/eval/report/test_report.py::test_two_hundred_images_stay_under_eight_megabytes",
)
# Two collections of garbage after every run are most of the time that a fast test takes.
OPTIONS = ("-p", "no:cacheprovider", "-p", "no:warnings", "-p", "no:unraisableexception")
NOTICED = ("killed", "timeout", "segfault")


def copy_files(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def write_settings(folder: Path, room: str) -> None:
    modules, tests = ROOMS[room]
    settings = {
        "source_paths": ["eval"],
        "only_mutate": modules,
        "also_copy": ["tdam", "wsol"],
        "pytest_add_cli_args": [*OPTIONS, *(f"--deselect={test}" for test in LEFT_OUT)],
        "pytest_add_cli_args_test_selection": tests,
    }
    lines = ["[mutmut]"]
    for name, values in settings.items():
        lines += [f"{name} =", *(f"    {value}" for value in values)]
    (folder / "setup.cfg").write_text("\n".join(lines) + "\n")


def outcomes(folder: Path) -> dict[str, dict[str, int | None]]:
    """Module -> fault -> exit code of its tests, as mutmut keeps them."""
    found = {}
    for path in sorted((folder / "mutants" / "eval").rglob("*.meta")):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        if codes:
            found[path.relative_to(folder / "mutants").with_suffix("").as_posix()] = codes
    return found


def run_mutmut(folder: Path, sample: int | None, seed: int) -> None:
    os.chdir(folder)
    from mutmut.__main__ import CatchOutput, _run, copy_also_copy_files, copy_src_dir, create_mutants

    (folder / "mutants").mkdir(exist_ok=True)
    with CatchOutput():
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(1)
    names = sorted(name for codes in outcomes(folder).values() for name in codes)
    chosen = names if sample is None else random.Random(seed).sample(names, min(sample, len(names)))
    _run(chosen, 1)


def print_shares(folder: Path) -> None:
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    total: Counter[str] = Counter()
    for module, codes in outcomes(folder).items():
        statuses = {name: status_by_exit_code[code] for name, code in codes.items() if code is not None}
        noticed = sum(status in NOTICED for status in statuses.values())
        total.update(noticed=noticed, tried=len(statuses), all=len(codes))
        print(f"{module}: {noticed} of {len(statuses)} noticed ({len(codes)} in all)")
        for name, status in statuses.items():
            if status not in NOTICED:
                diff = get_diff_for_mutant(name, path=Path(module)).splitlines()[2:]
                print(
                    f"  {name.rpartition('.')[2]}: {status}",
                    *(f"    {line}" for line in diff if line[0] in "+-"),
                    sep="\n",
                )
    noticed, tried = total["noticed"], total["tried"]
    low, high = stats.binomtest(noticed, tried).proportion_ci(0.95, method="wilson")
    interval = "" if tried == total["all"] else f", 95 % interval [{100 * low:.1f}, {100 * high:.1f}]"
    print(f"{noticed} of {tried} noticed: {100 * noticed / tried:.1f} %{interval}; {total['all']} in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--sample", type=int, help="how many faults to draw (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--show", action="store_true", help="only print what the last run found")
    options = parser.parse_args()
    folder = ROOT / "build" / "mutation" / options.room
    sys.setrecursionlimit(10_000)
    if not options.show:
        copy_files(folder)
        write_settings(folder, options.room)
        run_mutmut(folder, options.sample, options.seed)
    os.chdir(folder)
    print_shares(folder)


if __name__ == "__main__":
    main()
