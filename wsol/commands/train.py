"""The command `wsol-train`; its work is in `wsol.training.session`."""

from __future__ import annotations

import os

# OpenMP's waiting threads sleep: where other programs use the cores too, spinning ones slow training
# several times over. OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tdam.errors import UserError, one_line_errors
from wsol.runtime.terminal import print_version


def main() -> None:
    """Entry point: exit code 0 if the work was done, 2 for wrong usage, 1 for a failure."""
    if print_version(None):
        return
    with one_line_errors("--resume goes on from the last saved state"):
        try:
            from wsol.training.session import run
        except ModuleNotFoundError as error:
            if error.name != "accelerate":
                raise
            raise UserError("wsol-train needs accelerate: pip install 'wsol[train]'") from error
        run()


if __name__ == "__main__":
    main()
