"""A network's class is matched with a dataset's by name or number, or the pair is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsol.data.benchmarks import imagenet
from wsol.opening.classes import ClassesDifferError, match_classes

SOURCE = "file w.safetensors"


@pytest.mark.parametrize(
    ("names", "used", "known", "num_classes", "numbers", "note"),
    [
        # the same classes
        (["cup", "mug"], {0, 1}, ["cup", "mug"], 2, (0, 1), ""),
        (["0", "1"], {0, 1}, None, 2, (0, 1), ""),
        (
            ["cup", "mug"],
            {0, 1},
            None,
            2,
            (0, 1),
            "names no classes: its outputs are taken to be cup, mug, in this order",
        ),
        (["cup", "mug"], {0, 1}, ["0", "1"], 2, (0, 1), ""),  # our own file, trained on class numbers
        (["0", "1"], {0}, ["cup", "mug"], 2, (0, 1), ""),
        # another order, some of the classes, other spellings
        (["mug", "cup"], {0, 1}, ["cup", "mug"], 2, (1, 0), "2 of the network's 2 classes, matched by name"),
        (["mug"], {0}, ["cup", "mug", "pan"], 3, (1,), "1 of the network's 3 classes, matched by name"),
        (["Coffee_Mug"], {0}, ["cup", "coffee mug, mug"], 2, (1,), "matched by name"),
        (["black footed albatross"], {0}, ["001.Black_footed_Albatross", "x"], 2, (0,), "matched by name"),
        # classes without images need not be known
        (["cup", "kite", "mug"], {0, 2}, ["mug", "cup"], 2, (1, -1, 0), "matched by name"),
        (["mug", "1", "cup"], {0, 2}, ["mug", "pan", "cup"], 3, (0, 1, 2), ""),
        # numbers of classes
        (["10", "2"], {0, 1}, None, 12, (10, 2), "2 of the network's 12 classes, matched by number"),
        (["10", "2"], {0, 1}, list("abcdefghijkl"), 12, (10, 2), "matched by number"),
        (["0", "1", "2"], {0, 2}, None, 7, (0, 1, 2), "matched by number"),
    ],
)
def test_matched(
    names: list[str], used: set[int], known: list[str] | None, num_classes: int, numbers: tuple[int, ...], note: str
) -> None:
    match = match_classes(names, used, known, num_classes, SOURCE)
    assert match.numbers == numbers
    assert note in match.note
    assert bool(note) == bool(match.note)
    assert len(match.names) == num_classes


def test_imagenet_by_wordnet_id_and_by_name() -> None:
    ids, names = imagenet.wordnet_ids(), imagenet.class_names()
    for known in (None, names):
        for given_names in (ids[5:400:7], names[5:400:7]):
            match = match_classes(given_names, set(range(len(given_names))), known, 1000, SOURCE)
            assert match.numbers == tuple(range(5, 400, 7))
            assert match.names == names
    assert match_classes(["tench"], {0}, names, 1000, SOURCE).numbers == (0,)
    assert match_classes(names, set(range(1000)), names, 1000, SOURCE).note == ""
    with pytest.raises(ClassesDifferError):  # a bird and a machine
        match_classes(["crane"], {0}, names, 1000, SOURCE)


@pytest.mark.parametrize(
    ("names", "used", "known", "num_classes", "message"),
    [
        (
            ["apple", "pear"],
            {0, 1},
            ["cup", "mug"],
            2,
            "trained on the classes cup, mug; the dataset has others: apple",
        ),
        (["cup", "pear"], {0, 1}, ["cup", "mug"], 2, "others: pear"),
        (["cup", "Cup"], {0, 1}, ["cup", "mug"], 2, "others"),  # both would be one class
        (["cup", "mug"], {0, 1}, None, 3, "has 3 classes and does not name them, the dataset has 2: cup, mug"),
        (["cup", "mug"], {0, 1}, None, 1000, "has 1000 classes"),
        (["3017", "48460"], {0, 1}, None, 1000, "has 1000 classes"),
        (["007", "012"], {0, 1}, None, 1000, "has 1000 classes"),  # padded: names, not numbers
        (["0", "1", "2"], {0, 1, 2}, None, 2, "has 2 classes"),
        (["0", "1", "2"], {0, 1, 2}, ["cup", "mug"], 2, "others: 0, 1, 2"),
    ],
)
def test_refused(names: list[str], used: set[int], known: list[str] | None, num_classes: int, message: str) -> None:
    with pytest.raises(ClassesDifferError, match=f"^{SOURCE} .*{message}"):
        match_classes(names, used, known, num_classes, SOURCE)


words = st.lists(st.sampled_from(["cup", "mug", "pan", "pot", "jug", "can"]), unique=True, min_size=1)


@given(names=words, known=words)
def test_a_matched_class_has_the_same_name(names: list[str], known: list[str]) -> None:
    used = set(range(len(names)))
    try:
        match = match_classes(names, used, known, len(known), SOURCE)
    except ClassesDifferError:
        assert not set(names) <= set(known)
        return
    assert [known[number] for number in match.numbers] == names
