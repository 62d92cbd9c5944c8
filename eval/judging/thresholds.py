"""Score-map thresholds that are known before a split is judged."""

from __future__ import annotations

from dataclasses import dataclass

from tdam.errors import UserError


@dataclass(frozen=True)
class Thresholds:
    """The fixed threshold, those chosen on the validation split, and the rules that every map applies to itself.

    Attributes:
        fixed: The protocol's or the user's one threshold.
        val: Threshold of every row, chosen on the validation split; None where there is none.
        chosen_on: What `val` was chosen on, or why there is none, in words.
        selection: Threshold of every row chosen on the validation split by selection boxes, which are not its ground
            truth; None where none were given.
        selected_on: What `selection` was chosen on, in words.
        fixed_from: Where `fixed` comes from, in words.
        rules: Names of the rules by which every map also finds its own threshold, see `wsol.boxes.thresholds`.
    """

    fixed: float
    val: dict[str, float] | None = None
    chosen_on: str | None = None
    selection: dict[str, float] | None = None
    selected_on: str | None = None
    rules: tuple[str, ...] = ()
    fixed_from: str = ""

    @property
    def policy(self) -> str:
        """Name of the headline's threshold policy: "val" where thresholds were chosen on val, else "fixed"."""
        return "fixed" if self.val is None else "val"

    def headline(self, row: str) -> float:
        """The threshold of a row's headline figures.

        Raises:
            UserError: If thresholds were chosen for other rows than those that are judged.
        """
        if self.val is None:
            return self.fixed
        if row not in self.val:
            raise UserError(
                f"{self.chosen_on} has thresholds of the rows {', '.join(self.val)} and none of {row}: "
                "take them from a run with the same steps, or leave --val-results out"
            )
        return self.val[row]
