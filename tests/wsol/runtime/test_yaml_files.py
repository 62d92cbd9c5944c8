"""YAML files that people write."""

from __future__ import annotations

import pytest

from tdam.errors import UserError
from wsol.runtime.yaml_files import read_yaml


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "nets:\n  plain: {lr: 1}\n  plain: {lr: 2}\n"])
def test_a_key_that_is_there_twice_is_refused(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml: cannot be read \(the key '(a|plain)' is there twice.* line 3"):
        read_yaml(path)


def test_equal_keys_of_different_mappings(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("one: {a: 1}\ntwo: {a: 2}\n")
    assert read_yaml(path) == {"one": {"a": 1}, "two": {"a": 2}}
