import warnings
from pathlib import Path

from matplotlib.figure import Figure

from wsol.draw import save, scripts


def test_letters_that_no_font_has_are_written_as_numbers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scripts, "_family_with", lambda letter: None)
    figure = Figure()
    axes = figure.add_subplot()
    axes.set_title("鳥 0.93")
    axes.set_xlabel("é × IoU → ü")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path / "a.png")
    assert axes.title.get_text() == "U+9CE5  0.93"
    assert axes.xaxis.label.get_text() == "é × IoU → ü"
