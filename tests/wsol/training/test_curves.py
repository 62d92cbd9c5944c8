from __future__ import annotations

from wsol.training.curves import training_curves, write_training_curves

ROWS = [
    {"epoch": 1, "train_loss": 2.0, "train_top1": 10.0},
    {"epoch": 2, "train_loss": 1.0, "train_top1": 50.0, "top1_cls": 40.0, "max_box_acc": 30.0},
    {"epoch": 3, "train_loss": 0.5, "train_top1": 80.0, "top1_cls": 70.0, "max_box_acc": 25.0},
]


def test_curves_show_the_rows_and_leave_out_what_was_not_measured():
    loss_axes, percent_axes = training_curves(ROWS, selected_epoch=2).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in percent_axes.lines}
    assert loss_axes.lines[0].get_xydata().tolist() == [[1, 2.0], [2, 1.0], [3, 0.5]]
    assert lines["Top-1, training images"] == [[1, 10.0], [2, 50.0], [3, 80.0]]
    assert lines["MaxBoxAcc, val"] == [[2, 30.0], [3, 25.0]]
    assert "Top-1 Loc, val" not in lines
    assert lines["selected"][0][0] == 2


def test_the_figure_is_written_into_the_runs_folder(tmp_path):
    write_training_curves(tmp_path, ROWS, None)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
