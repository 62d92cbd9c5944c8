"""What every benchmark prints of the machine it runs on."""

from __future__ import annotations

import os

from eval.output.environment import environment


def machine() -> str:
    """Processor, cores, Python and load."""
    told = environment()
    return f"{told['processor']}, {told['cores']} cores, Python {told['python']}, load {os.getloadavg()[0]:.1f}"
