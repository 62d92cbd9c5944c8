"""`wsol-demo`: a local web page that shows where a network looks, step by step.

The page is served to this machine only. It needs Gradio: pip install 'wsol[demo]'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from tdam.errors import one_line_errors
from wsol.demo.networks import Networks
from wsol.demo.page import build_page, served, temporary_files
from wsol.runtime.terminal import print_version


@dataclass
class DemoOptions:
    """Open a web page on this machine that shows where a network looks in an image, step by step.

    Args:
        model: Also offer this network, by its registered name.
        checkpoint: Its weights.
        port: Port on this machine; 0 takes a free one.
        open: Open the page in the browser.
    """

    model: str | None = None
    checkpoint: Path | None = None
    port: int = 7860
    open: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `wsol-demo` until it is stopped.

    Args:
        arguments: Command line without the program's name; None reads `sys.argv`.

    Returns:
        Exit code.
    """
    if print_version(arguments):
        return 0
    options = tyro.cli(DemoOptions, args=arguments, prog="wsol-demo", config=(tyro.conf.FlagCreatePairsOff,))
    try:
        with one_line_errors("run wsol-demo again"), temporary_files():
            page = build_page(Networks(options.model, options.checkpoint))
            with served(page, options.port, options.open) as address:
                print(f"{address} (this machine only; Ctrl+C stops)", flush=True)
                page.block_thread()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
