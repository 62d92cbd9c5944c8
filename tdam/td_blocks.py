"""The option `td_blocks`: which blocks of which stages get feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tdam.errors import UserError


def check_td_blocks(td_blocks: object) -> dict[int, str | tuple[int, ...]]:
    """The option ``td_blocks`` with whole numbers for stages and sorted block indices.

    Args:
        td_blocks: Stage number (from 1) -> block indices (from 0), or "all".

    Raises:
        UserError: If it is anything else.
    """
    if not isinstance(td_blocks, Mapping):
        raise UserError(f"td_blocks must map stage numbers to block indices or 'all', not {td_blocks!r}")
    checked: dict[int, str | tuple[int, ...]] = {}
    for stage, blocks in td_blocks.items():
        # JSON has no integer keys: a checkpoint's configuration brings "3" for 3.
        stage = int(stage) if isinstance(stage, str) and stage.isdigit() else stage
        if not isinstance(stage, int):
            raise UserError(f"td_blocks: {stage!r} is not a stage number")
        if blocks != "all" and (
            isinstance(blocks, str)
            or not isinstance(blocks, Sequence)
            or not all(isinstance(index, int) and index >= 0 for index in blocks)
        ):
            raise UserError(f"td_blocks: stage {stage} needs a list of block indices from 0, or 'all', not {blocks!r}")
        checked[stage] = blocks if isinstance(blocks, str) else tuple(sorted(set(blocks)))
    return checked
