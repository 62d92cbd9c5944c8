"""What a comparison's YAML file says; docs/bench.md describes the keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tdam.errors import UsageError, UserError, check_name
from wsol.runtime.yaml_files import read_yaml

FIGURES = ("gt_known_loc", "top1_loc", "top1_cls", "max_box_acc", "max_box_acc_v2", "pxap", "size_balanced")


@dataclass(frozen=True)
class Variant:
    """A network or a training method of a comparison.

    Attributes:
        name: Name in tables and folders.
        settings: Settings of training that it brings, see `wsol.training.config.TrainingConfig`.
        partners: Methods that a network is trained by, or networks that a method trains; None: all.
        maps: Map methods instead of the comparison's; None: those.
        checkpoint: Of a network: a file of weights, which are judged as they are.
    """

    name: str
    settings: Mapping[str, Any]
    partners: tuple[str, ...] | None = None
    maps: tuple[str, ...] | None = None
    checkpoint: Path | None = None

    def goes_with(self, other: str) -> bool:
        """Whether it is combined with a variant of the other kind."""
        return self.partners is None or other in self.partners


@dataclass(frozen=True)
class Baseline:
    """What every other row is compared with; what is not named may be anything, the first is taken."""

    network: str | None = None
    method: str | None = None
    map: str | None = None


@dataclass(frozen=True)
class Description:
    """A comparison.

    Attributes:
        name: Its name, also that of its folder.
        dataset: Name of a dataset, or the path of one's own.
        networks: The networks.
        methods: The training methods.
        seeds: Seeds of training.
        maps: Map methods.
        protocols: Evaluation protocols.
        recipe: Recipe that all trainings begin from.
        training: Settings of all trainings.
        evaluation: Options of all evaluations, see `eval.options.EvaluationOptions`.
        baseline: What differences are to.
        figure: The figure that rows are ranked and compared by, a key of `FIGURES`.
        data_root: Folder of the datasets.
        output: Folder of everything that is written.
    """

    name: str
    dataset: str
    networks: tuple[Variant, ...]
    methods: tuple[Variant, ...]
    seeds: tuple[int, ...] = (0,)
    maps: tuple[str, ...] = ("cam",)
    protocols: tuple[str, ...] = ("wsolevaluation",)
    recipe: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    baseline: Baseline = Baseline()
    figure: str = "gt_known_loc"
    data_root: Path | None = None
    output: Path = Path()


def read_description(
    path: Path, dataset: str | None = None, data_root: Path | None = None, output: Path | None = None
) -> Description:
    """Read a comparison.

    Args:
        path: A YAML file.
        dataset: Takes the place of the file's.
        data_root: Takes the place of the file's.
        output: Takes the place of the file's.

    Raises:
        UserError: If the file is not to be read, or holds a key or a value that it cannot hold; the message names it.
    """
    content = _mapping(read_yaml(path), str(path))
    for key in content:
        check_name(f"key in {path}", str(key), [item.name for item in fields(Description)], most=20)
    dataset = dataset or content.get("dataset")
    if not dataset:
        raise UsageError(f"{path}: dataset is missing; add 'dataset: NAME', or give --dataset NAME")
    name = str(content.get("name") or path.stem)
    networks = _variants(content.get("networks"), path, "networks", "methods")
    methods = _variants(content.get("methods", {"cam": None}), path, "methods", "networks")
    _check_partners(path, networks, methods)
    root = data_root or content.get("data_root")
    return Description(
        name=name,
        dataset=str(dataset),
        networks=networks,
        methods=methods,
        seeds=_seeds(content.get("seeds", [0]), path),
        maps=_names(content.get("maps", "cam"), f"{path}: maps"),
        protocols=_names(content.get("protocols", "wsolevaluation"), f"{path}: protocols"),
        recipe=content.get("recipe"),
        training=_mapping(content.get("training"), f"{path}: training"),
        evaluation=_mapping(content.get("evaluation"), f"{path}: evaluation"),
        baseline=_baseline(content.get("baseline"), path, networks, methods),
        figure=check_name(f"figure in {path}", str(content.get("figure", FIGURES[0])), FIGURES),
        data_root=None if root is None else Path(root),
        output=output or Path(content.get("output") or Path("runs") / "bench" / name),
    )


def _variants(content: Any, path: Path, key: str, partners: str) -> tuple[Variant, ...]:
    """The entries of `networks` or `methods`: a list of names, or names with what each brings."""
    if isinstance(content, str):
        content = [content]
    if isinstance(content, list):
        content = dict.fromkeys(content)
    entries = _mapping(content, f"{path}: {key}")
    if not entries:
        raise UsageError(f"{path}: {key} is missing; write one name a line below '{key}:'")
    found = []
    for name, entry in entries.items():
        where = f"{path}: {key}: {name}"
        settings = _mapping(entry, where)
        with_, maps = settings.pop(partners, None), settings.pop("maps", None)
        checkpoint = settings.pop("checkpoint", None) if key == "networks" else None
        found.append(
            Variant(
                name=_folder_name(str(name), where),
                settings=settings,
                partners=None if with_ is None else _names(with_, f"{where}: {partners}"),
                maps=None if maps is None else _names(maps, f"{where}: maps"),
                checkpoint=None if checkpoint is None else Path(str(checkpoint)),
            )
        )
    return tuple(found)


def _check_partners(path: Path, networks: Iterable[Variant], methods: Iterable[Variant]) -> None:
    for kind, variants, others in (("method", networks, methods), ("network", methods, networks)):
        names = [other.name for other in others]
        for variant in variants:
            for partner in variant.partners or ():
                check_name(f"{kind} of {variant.name} in {path}", partner, names)


def _baseline(content: Any, path: Path, networks: Iterable[Variant], methods: Iterable[Variant]) -> Baseline:
    entry = _mapping(content, f"{path}: baseline")
    for key in entry:
        check_name(f"key of baseline in {path}", str(key), [item.name for item in fields(Baseline)])
    for key, variants in (("network", networks), ("method", methods)):
        if key in entry:
            check_name(f"{key} of the baseline in {path}", str(entry[key]), [variant.name for variant in variants])
    return Baseline(**{key: str(value) for key, value in entry.items()})


def _seeds(content: Any, path: Path) -> tuple[int, ...]:
    """A list of seeds, or how many: 3 is 0, 1 and 2."""
    seeds = list(range(content)) if isinstance(content, int) else content
    if not isinstance(seeds, list) or not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise UsageError(f"{path}: seeds must be a list such as [0, 1, 2], or their number, got {content!r}")
    return tuple(dict.fromkeys(seeds))


def _names(content: Any, where: str) -> tuple[str, ...]:
    names = [content] if isinstance(content, str) else content
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{where} must be a name or a list of names, got {content!r}")
    return tuple(dict.fromkeys(names))


def _mapping(content: Any, where: str) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{where} must hold KEY: VALUE lines, got {content!r}")
    return {str(key): value for key, value in content.items()}


def _folder_name(name: str, where: str) -> str:
    if name in ("", ".", "..") or any(letter in name for letter in "/\\:") or not name.isprintable():
        raise UsageError(f"{where}: choose a name without / \\ and : , it names a folder")
    return name
