"""An entry of a list means one file or none, never another one of the same name."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsol.data import DatasetError
from wsol.data.custom.listed_files import ListedFiles

FOLDER = Path("/data/photos")


def find(files: list[str], entries: list[str]) -> list[str]:
    listed = ListedFiles(FOLDER, files, entries)
    return [listed.find(entry, "list.csv:2") for entry in entries]


@pytest.mark.parametrize(
    ("files", "entries", "found"),
    [
        (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        # missing ones stay where they are listed, whatever lies elsewhere under their name
        (["b/1.jpg"], ["a/1.jpg"], ["a/1.jpg"]),
        (["b/1.jpg", "c/2.jpg"], ["a/1.jpg", "c/2.jpg"], ["a/1.jpg", "c/2.jpg"]),
        (["1.jpg", "c/2.jpg"], ["a/1.jpg", "c/2.jpg"], ["a/1.jpg", "c/2.jpg"]),
        (["x/a/1.jpg", "x/b/2.jpg"], ["a/2.jpg", "b/2.jpg"], ["a/2.jpg", "x/b/2.jpg"]),
        (["a/1.jpg"], ["aa/1.jpg"], ["aa/1.jpg"]),
        # written on Windows
        (["a/1.jpg"], [r"a\1.jpg"], ["a/1.jpg"]),
        (["a/1.jpg"], [r".\a\1.jpg"], ["a/1.jpg"]),
        (["a/1.jpg"], [r"C:\data\photos\a\1.jpg"], ["a/1.jpg"]),
        ([r"a\1.jpg"], [r"a\1.jpg"], [r"a\1.jpg"]),
        # absolute, with . and ..
        (["a/1.jpg"], ["/data/photos/a/1.jpg"], ["a/1.jpg"]),
        (["a/1.jpg"], ["./b/../a/1.jpg"], ["a/1.jpg"]),
        # the end of a path, with and without suffix
        (["cup/b.jpg", "mug/a.jpg"], ["b.jpg", "a"], ["cup/b.jpg", "mug/a.jpg"]),
        (["cup/b.v2.jpg"], ["b.v2"], ["cup/b.v2.jpg"]),
        (["x/cup/b.jpg", "x/mug/b.jpg"], ["mug/b"], ["x/mug/b.jpg"]),
        # a list written from folders further up: the same parts come off every entry
        (["a/1.jpg", "b/2.jpg"], ["set/photos/a/1.jpg", "set/photos/b/2.jpg"], ["a/1.jpg", "b/2.jpg"]),
        (["a/1.jpg", "2.jpg"], ["photos/a/1.jpg", "photos/b/2.jpg"], ["a/1.jpg", "photos/b/2.jpg"]),
        # letters that Unicode writes in two ways
        ([unicodedata.normalize("NFD", "é/1.jpg")], ["é/1.jpg"], [unicodedata.normalize("NFD", "é/1.jpg")]),
    ],
)
def test_the_file_an_entry_means(files: list[str], entries: list[str], found: list[str]) -> None:
    assert find(files, entries) == found


@pytest.mark.parametrize("entry", ["a.jpg", "a"])
def test_two_files_may_be_meant(entry: str) -> None:
    with pytest.raises(DatasetError, match=r"list\.csv:2: 'a.*' may be cup/a\.jpg or mug/a\.jpg in /data/photos"):
        find(["cup/a.jpg", "mug/a.jpg"], [entry])


@pytest.mark.parametrize("entry", ["../a.jpg", "/etc/a.jpg", r"..\a.jpg", "a/../../b.jpg", r"D:\other\c.jpg"])
def test_nothing_leads_out_of_the_folder(entry: str) -> None:
    with pytest.raises(DatasetError, match=r"list\.csv:2: .* leads out of /data/photos"):
        find(["x.jpg"], ["x.jpg", entry])


parts = st.sampled_from(["a", "b", "c"])
paths = st.lists(parts, min_size=1, max_size=3).map(lambda found: "/".join(found) + ".jpg")


@given(files=st.lists(paths, unique=True, max_size=6), entries=st.lists(paths, min_size=1, max_size=4))
def test_trailing_parts_agree(files: list[str], entries: list[str]) -> None:
    try:
        found = find(files, entries)
    except DatasetError:
        return
    for entry, path in zip(entries, found, strict=True):
        assert path == entry or path.endswith(f"/{entry}") or entry.endswith(f"/{path}")
        if entry in files:
            assert path == entry
    if set(entries) & set(files):
        assert not any(entry.endswith(f"/{path}") for entry, path in zip(entries, found, strict=True))
