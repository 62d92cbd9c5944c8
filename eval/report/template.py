"""Rendering of pages: Jinja2 with escaping always on, style and script inside the page, nothing loaded from outside."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2

from tdam.files import write_text
from wsol.class_names import readable_name

DARK: Final = (
    "--page: #16181b; --card: #1e2125; --ink: #e8e9ea; --soft: #a3a9b0; --rule: #363b41; --band: #22262b; "
    "--accent: #7cc0ff; --s1: #5fb4f0; --s2: #ff9250; --s3: #3fcf9f; --s4: #e39ac4; --s5: #e0cf4a; --s6: #8cc6e8; "
    "--p1: #2a9d78; --p2: #3f8fd0; --p3: #c98a1b; --p4: #c2557f; --p5: #7b828a; --p6: #5fa8cf; --p7: #9a7cc4; "
    "--good: #4fd3a6; --bad: #ff9a6b;"
)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eval.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(readable=readable_name, signed=signed)
    return environment


def percent(value: float) -> str:
    """A percentage that no line break tears apart.

    >>> percent(12.345).split()
    ['12.3', '%']
    """
    return f"{value:.1f}\u00a0%"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, minus as a minus.

    >>> signed(-1.25), signed(2)
    ('−1.2', '+2.0')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def render(template: str, **values: Any) -> str:
    """Render a page.

    Args:
        template: File name of the template.
        **values: What the template shows; all of it is text, never markup, unless it is `markupsafe.Markup`.

    Returns:
        HTML. A content security policy in it allows this page's own script, pictures inside the page, and nothing else.
    """
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    style = _asset("report.css").replace("DARK", DARK)
    return _environment().get_template(template).render(style=style, script=script, script_sha256=digest, **values)


def write_page(path: Path, html: str) -> Path:
    """Write a page, whole or not at all.

    Args:
        path: File to write.
        html: The page.

    Returns:
        The path.

    Raises:
        UserError: If it cannot be written.
    """
    # Names of files need not be valid Unicode; a replacement character is better than no report.
    write_text(path, html, errors="replace")
    return path


def _asset(name: str) -> str:
    return (resources.files("eval.report") / "templates" / name).read_text(encoding="utf-8").strip()
