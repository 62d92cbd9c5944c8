"""What a command says on its standard error."""

from __future__ import annotations

import warnings

from tdam.errors import one_line_errors


def test_a_warning_is_one_line_without_places_in_the_code(capsys):
    before = warnings.formatwarning
    with one_line_errors():
        print(warnings.formatwarning("maps are\nnot exact", UserWarning, "a.py", 3), end="")
    assert capsys.readouterr().out == "warning: maps are not exact\n"
    assert warnings.formatwarning is before
