"""`wsol-demo`: a local web page that shows where a network looks, step by step.

The page is served to this machine only. It needs Gradio: pip install 'wsol[demo]'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tdam.errors import one_line_errors
from wsol.command_line.command import Command
from wsol.runtime.terminal import print_version


@dataclass
class DemoOptions:
    """What the page offers, and where.

    Attributes:
        model: Registered name of a network to offer beside the bundled ones.
        checkpoint: Its weights.
        port: Port on this machine; 0 takes a free one.
        open: Open the page in the browser.
    """

    model: str | None = None
    checkpoint: Path | None = None
    port: int = 7860
    open: bool = False


DEMO = Command(
    "wsol-demo",
    "Open a web page on this machine that shows where a network looks, step by step.",
    DemoOptions,
    {"network": ("model", "checkpoint"), "page": ("port", "open")},
    examples=("wsol-demo --open", "wsol-demo --model resnet50 --port 8000"),
    notes=("The page needs Gradio:", "  pip install 'wsol[demo]'"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `wsol-demo` until it is stopped.

    Args:
        arguments: Command line without the program's name; None reads `sys.argv`.

    Returns:
        Exit code.
    """
    if print_version(arguments):
        return 0
    try:
        with one_line_errors("run wsol-demo again"):
            options = DEMO.parse(arguments)
            from wsol.demo.networks import Networks
            from wsol.demo.page import build_page, served, temporary_files

            with temporary_files():
                page = build_page(Networks(options.model, options.checkpoint))
                with served(page, options.port, options.open) as address:
                    print(f"{address} (this machine only; Ctrl+C stops)", flush=True)
                    page.block_thread()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
