"""The worked example of the documentation runs, and does what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from tdam_families import assert_close, images, trained

import tdam
from tdam.families.known import FAMILIES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def registries() -> Iterator[None]:
    """Leave timm's registry and ours as they were."""
    families = dict(FAMILIES)
    yield
    FAMILIES.clear()
    FAMILIES.update(families)
    registry = timm.models._registry
    for names in registry._module_to_models.values():
        names.discard("regnety_002_tdam")
    for table in (registry._model_to_module, registry._model_entrypoints):
        table.pop("regnety_002_tdam", None)


def test_adding_a_family(registries: None, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "adding-a-family.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(code, "adding-a-family.md", "exec"), {})
    stated = re.findall(r"# (torch\.Size.*)", text)
    assert capsys.readouterr().out.split("\n")[:-1] == stated

    with torch.no_grad():
        torch.manual_seed(0)
        plain = trained(timm.create_model("regnety_002", num_classes=5))
        expected = plain(images())
        model = tdam.add_feedback(plain, tdam.FeedbackOptions(steps=3, distance=2, init="identity"))
        for logits in tdam.forward_steps(model, images()).logits:
            assert_close(logits, expected, 1e-4)
        assert_close(tdam.fold_norms(model)(images()), expected, 1e-3)


def test_table_of_published_configurations_is_current() -> None:
    """Two rows of the table are counted again; the script writes all of them."""
    import runpy

    script = runpy.run_path(str(DOCS.parent / "scripts" / "table_tdam.py"))
    document = (DOCS / "tdam.md").read_text(encoding="utf-8")
    table = document.split(script["START"])[1].split(script["END"])[0]
    script["table"].__globals__["ROWS"] = script["ROWS"][1:2] + script["ROWS"][7:8]
    for line in script["table"]().splitlines()[2:]:
        assert line in table
