"""`create_model`: any TDAM network, or any timm network, with options checked; `load_model`: from a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import timm
from torch import nn

from tdam.checkpoints import load_checkpoint, read_config
from tdam.checkpoints.published import cached_weights, fetching_weights
from tdam.errors import CheckpointError, UserError, check_name
from tdam.options import FeedbackOptions
from tdam.strides import set_strides


def check_model_name(name: str) -> None:
    """Refuse what is no registered network, with or without one of its published weights behind a dot.

    Raises:
        UnknownNameError: The valid names come nearest first.
    """
    architecture, _, weights = name.partition(".")
    check_name("model", architecture, timm.list_models())
    if weights:
        check_name("model", name, timm.models.get_arch_pretrained_cfgs(architecture))


def create_model(
    name: str,
    num_classes: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    pretrained: bool = False,
    *,
    steps: int | None = None,
    distance: int | None = None,
    attention: str | None = None,
    pooling: Sequence[str] | None = None,
    pooling_combine: str | None = None,
    order: str | None = None,
    channel_gate: str | None = None,
    spatial_score: str | None = None,
    reduction: int | None = None,
    hidden_channels: int | None = None,
    pool_grid: int | None = None,
    step_norm: str | None = None,
    init: str | None = None,
    td_blocks: Mapping[int, str | Sequence[int]] | None = None,
    stage_gate: bool | None = None,
    strides: Mapping[str, int] | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """Create a network by name: one of timm's with top-down attention ("resnet50_tdam"), or any of timm's.

    Args:
        name: A name of `timm.list_models()`, with or without a tag.
        num_classes: Classes; None takes the number of the name's configuration.
        checkpoint: File to load with `load_checkpoint`.
        pretrained: Load the name's published weights.
        steps: See `FeedbackOptions`, as all options after it; None takes the name's published value.
        distance: As above.
        attention: As above.
        pooling: As above.
        pooling_combine: As above.
        order: As above.
        channel_gate: As above.
        spatial_score: As above.
        reduction: As above.
        hidden_channels: As above.
        pool_grid: As above.
        step_norm: As above.
        init: As above.
        td_blocks: As above.
        stage_gate: As above.
        strides: Stages without stride and without dilation, such as {"layer4": 1}; see `tdam.strides`.
        **timm_kwargs: timm's own, such as `drop_rate`, `drop_path_rate`, `in_chans`, `output_stride`.

    Raises:
        UnknownNameError: If there is no such network or option value.
        UserError: If options do not fit the network, or published weights cannot be fetched.
        CheckpointError: If the checkpoint does not fit.
    """
    check_model_name(name)
    architecture = name.partition(".")[0]
    given = {key: value for key, value in locals().items() if key in FeedbackOptions.names() and value is not None}
    if given and not architecture.endswith(("_tdam", "_tdam2")):
        raise UserError(
            f"{architecture} is a plain network and takes no {', '.join(sorted(given))}; "
            "feedback options need a name that ends in _tdam or _tdam2"
        )
    if pretrained and (cached := cached_weights(name)):
        timm_kwargs = {"pretrained_cfg_overlay": cached, **timm_kwargs}
    try:
        with fetching_weights(name):
            model = timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **given, **timm_kwargs)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UserError(f"{architecture} does not take this option: {error}") from error
    if "img_size" in timm_kwargs:
        # timm builds a transformer for the size but leaves the published one in its configuration.
        size = timm_kwargs["img_size"]
        set_input_size(model, *((size, size) if isinstance(size, int) else size))
    if strides:
        set_strides(model, strides)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model


def set_input_size(model: nn.Module, height: int, width: int) -> nn.Module:
    """Make an input size the network's own, for everything that asks timm for its preprocessing; in place.

    Args:
        model: A timm network; it must take the size, which is not checked.
        height: Height of the input in pixels.
        width: Width of the input in pixels.
    """
    whole: Any = model
    whole.pretrained_cfg = {**dict(whole.pretrained_cfg), "input_size": (3, height, width)}
    whole.default_cfg = whole.pretrained_cfg
    return model


def load_model(path: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that a checkpoint of ours describes, with its weights, in eval mode.

    Returns:
        The network and its configuration.

    Raises:
        CheckpointError: If the file holds no configuration or does not fit.
    """
    config = read_config(path)
    absent = [key for key in ("model", "num_classes") if key not in config]
    if absent:
        raise CheckpointError(f"{path}: its configuration lacks {', '.join(absent)}")
    model = create_model(config["model"], num_classes=config["num_classes"], **config.get("model_args", {}))
    load_checkpoint(model, path)
    return model.eval(), config
