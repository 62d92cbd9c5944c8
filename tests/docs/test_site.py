"""The documents build into a site without a warning, and the reference shows every public name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tdam
import wsol

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="needs the documents' tools: pip install '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="needs the documents' tools: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "how-to" / "boxes-for-my-photos" / "index.html").is_file()


@pytest.mark.slow
def test_the_reference_shows_the_public_names_with_their_arguments(site: Path) -> None:
    page = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in ("wsol.Localizer", "wsol.boxes_from_score_map", "tdam.forward_steps", "wsol.hub.from_hub"):
        assert f'id="{name}"' in page, name
    text = re.sub(r"<[^>]+>", "", page)
    assert "Share of a map's maximum above which a pixel belongs to the object" in text.replace("&#39;", "'")


def test_every_name_of_the_reference_exists() -> None:
    packages = {"wsol": wsol, "tdam": tdam}
    for path in re.findall(r"^::: (\S+)", (ROOT / "docs" / "reference" / "python.md").read_text(), re.MULTILINE):
        found = packages[path.split(".")[0]]
        for part in path.split(".")[1:]:
            if not hasattr(found, part):
                __import__(f"{found.__name__}.{part}")
            found = getattr(found, part)


def test_the_commands_of_the_makefile_are_programs_and_files_that_exist() -> None:
    text = (ROOT / "Makefile").read_text()
    for script in re.findall(r"scripts/\S+", text):
        assert (ROOT / script).is_file(), script
    if make := shutil.which("make"):
        listed = subprocess.run([make, "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
        assert {"setup", "test", "docs", "demo"} <= {line.split()[0] for line in listed.splitlines() if line.split()}
