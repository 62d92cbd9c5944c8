"""Sharing trained networks: a folder with weights and a model card, and the Hugging Face hub.

folder = wsol.hub.save_for_hub("runs/cub/resnet50_tdam/best.safetensors", "to-share")
network = wsol.hub.from_hub("user/name")                        # or that folder
localizer = wsol.Localizer(network)
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from tdam.checkpoints import read_config
from tdam.errors import CheckpointError, UserError
from tdam.files import write_bytes, write_text
from wsol.class_names import readable_name
from wsol.opening import TrainedNetwork, open_trained

WEIGHTS: Final = "model.safetensors"
CARD: Final = "README.md"

METRICS: Final = {
    "top1_cls": "Top-1 classification",
    "gt_known_loc": "GT-known Loc",
    "top1_loc": "Top-1 Loc",
    "max_box_acc": "MaxBoxAcc (best threshold on the same images)",
    "max_box_acc_v2": "MaxBoxAccV2 (best thresholds on the same images)",
    "pxap": "PxAP",
}


def model_card(config: Mapping[str, Any], repository: str | None = None) -> str:
    """The card of a checkpoint: what its configuration says, and nothing else.

    Args:
        config: What `tdam.read_config` gives.
        repository: `user/name` on the hub, for the lines that show how to use it.

    Returns:
        Markdown with the hub's YAML header.
    """
    header = {
        "library_name": "wsol",
        "pipeline_tag": "image-classification",
        "tags": ["weakly-supervised-object-localization", "class-activation-map", config["model"]],
    }
    metrics = dict(config.get("metrics") or {})
    split = metrics.pop("split", "val")
    facts = {
        "network": config["model"],
        "options of the network": json.dumps(config.get("model_args") or {}),
        "dataset": config.get("dataset"),
        "input": " × ".join(str(side) for side in (config.get("input_size") or [])[1:]),
        "training method": config.get("method"),
        "seed": config.get("seed"),
        "epoch": config.get("epoch"),
        "chosen by": config.get("selected_by") or "nothing: the last epoch",
    }
    lines = [
        "---",
        yaml.safe_dump(header, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {config['model']}",
    ]
    lines += ["", f"A network for weakly-supervised object localization, {config['num_classes']} classes."]
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items() if value not in (None, "")]
    if shown := {METRICS[key]: value for key, value in metrics.items() if key in METRICS and value is not None}:
        lines += ["", f"## Metrics on the {split} split, last step, percent", "", "| metric | value |", "|---|---:|"]
        lines += [f"| {name} | {value:.2f} |" for name, value in shown.items()]
    source = f'"{repository}"' if repository else "FOLDER"
    lines += ["", "## Use", "", "```python", "import wsol", "from wsol.hub import from_hub", ""]
    lines += [f'found = wsol.Localizer(from_hub({source}))("photo.jpg")[0]', "```"]
    if names := config.get("class_names"):
        lines += ["", "## Classes", "", ", ".join(_cell(readable_name(name)) for name in names)]
    lines += ["", "## Limits", "", "The network answers with one of its classes, whatever an image shows."]
    return "\n".join(lines) + "\n"


def save_for_hub(
    checkpoint: str | os.PathLike[str], folder: str | os.PathLike[str], repository: str | None = None
) -> Path:
    """Write a folder that can be shared: the weights and their model card.

    Args:
        checkpoint: A checkpoint of `wsol-train` or `tdam.save_checkpoint`.
        folder: Where to write. A card that is there already stays: it may hold what you added by hand.
        repository: `user/name` on the hub, for the card.

    Returns:
        The folder.

    Raises:
        CheckpointError: If the file is not a checkpoint of ours, or says that it is untrained.
        WriteError: If the folder cannot be written.
    """
    config = read_config(checkpoint)
    if not config.get("trained"):
        raise CheckpointError(f"{checkpoint} holds untrained weights: train them with wsol-train first")
    folder = Path(folder)
    write_bytes(folder / WEIGHTS, Path(checkpoint).read_bytes())
    if not (folder / CARD).exists():
        write_text(folder / CARD, model_card(config, repository))
    return folder


def from_hub(source: str | os.PathLike[str], revision: str | None = None) -> TrainedNetwork:
    """Open a shared network.

    Args:
        source: A folder of `save_for_hub`, or a repository `user/name` on the Hugging Face hub.
        revision: Branch, tag or commit of the repository.

    Returns:
        The network, for `wsol.Localizer` and everything else that takes one.

    Raises:
        CheckpointError: If the file there is not a checkpoint of ours.
        UserError: If there is no such folder or repository, or it cannot be reached.
    """
    folder = Path(source)
    if folder.is_dir():
        path = folder / WEIGHTS
        if not path.is_file():
            raise UserError(f"{folder} holds no {WEIGHTS}: make the folder with wsol.hub.save_for_hub")
    else:
        path = _download(str(source), revision)
    network = open_trained(read_config(path)["model"], checkpoint=path)
    return replace(network, source=f"shared as {folder.name if folder.is_dir() else source}")


def push_to_hub(checkpoint: str | os.PathLike[str], repository: str, private: bool = False) -> str:
    """Upload a checkpoint with its model card. Needs `huggingface-cli login` or the variable HF_TOKEN.

    Args:
        checkpoint: As in `save_for_hub`.
        repository: `user/name`; it is made where it does not exist.
        private: Make a new repository private.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: If the file is not a trained checkpoint of ours.
        UserError: If the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with tempfile.TemporaryDirectory() as temporary:
        folder = save_for_hub(checkpoint, temporary, repository)
        try:
            api = HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            # A card on the hub may have been edited there: it is written once.
            ignore = [CARD] if api.file_exists(repository, CARD) else []
            return str(api.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=ignore))
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise UserError(f"cannot upload to {repository}: {_first_line(error)}") from error


def _download(repository: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(repository, WEIGHTS, revision=revision))
    except HFValidationError as error:
        raise UserError(f"{repository} is neither a folder nor a repository user/name") from error
    except (HfHubHTTPError, OSError) as error:
        raise UserError(f"cannot get {WEIGHTS} of {repository} from the hub: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _cell(value: object) -> str:
    """Text that cannot leave its cell of a Markdown table, nor become markup."""
    text = str(value).replace("\n", " ")
    for sign in ("\\", "|", "<", "[", "`", "*"):
        text = text.replace(sign, f"&#{ord(sign)};")
    return text
