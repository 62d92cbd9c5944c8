"""Names in any script: fonts of this machine that have their letters, else the letters' numbers."""

from __future__ import annotations

from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

DEFAULT = "DejaVu Sans"  # comes with Matplotlib


def make_drawable(figure: Figure) -> None:
    """Give every text of a figure a font that has its letters.

    A letter that no font of this machine has is written as its Unicode number (``U+9CE5``), never as an empty square.
    """
    for text in figure.findobj(Text):
        letters = {letter for letter in text.get_text() if ord(letter) > 0x2FF and ord(letter) not in _letters(DEFAULT)}
        if not letters:
            continue
        families = [family for family in (_family_with(letter) for letter in sorted(letters)) if family]
        text.set_fontfamily([DEFAULT, *dict.fromkeys(families)])
        shown = {letter: letter if _family_with(letter) else f"U+{ord(letter):04X} " for letter in letters}
        text.set_text("".join(shown.get(letter, letter) for letter in text.get_text()).rstrip(" "))


@cache
def _letters(family: str) -> frozenset[int]:
    """Code points that a font has."""
    return frozenset(FT2Font(font_manager.findfont(font_manager.FontProperties(family=[family]))).get_charmap())


@cache
def _family_with(letter: str) -> str | None:
    """A font of this machine that has a letter."""
    for family in sorted({entry.name for entry in font_manager.fontManager.ttflist}):
        if not family.startswith("Last Resort") and ord(letter) in _letters(family):
            return family
    return None
