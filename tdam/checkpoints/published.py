"""Weights that timm publishes: taken from this machine's cache, else fetched, with one line where that cannot be."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm

from tdam.errors import UserError

TIMEOUT_SECONDS = 10
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def cached_weights(name: str) -> dict[str, Any]:
    """What to tell timm so that it asks no server for weights that are here already.

    Args:
        name: A name of timm's, with or without a tag.

    Returns:
        Entries for `timm.create_model(pretrained_cfg_overlay=…)`, none where the weights are not here.

    Raises:
        UserError: If they are not here and their server cannot be reached, instead of after minutes of attempts.
    """
    import huggingface_hub

    configuration = timm.models.get_pretrained_cfg(name)
    if configuration is None or not configuration.hf_hub_id or configuration.custom_load:
        return {}
    repository, _, revision = configuration.hf_hub_id.partition("@")
    for file in (configuration.hf_hub_filename, *HUB_FILES):
        found = file and huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(found, str):
            return {"file": found}
    check_hub(name)
    return {}


def check_hub(name: str) -> None:
    """Refuse at once what is only to be had from Hugging Face's hub, where the hub cannot be reached.

    Raises:
        UserError: If it cannot; its client would try for minutes.
    """
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE or not _answers(huggingface_hub.constants.ENDPOINT):
        raise _not_fetched(name, f"{huggingface_hub.constants.ENDPOINT} cannot be reached")


@contextmanager
def fetching_weights(name: str) -> Iterator[None]:
    """Around fetching published weights: what goes wrong on the way becomes one line."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        raise _not_fetched(name, reason) from error


def _not_fetched(name: str, reason: str) -> UserError:
    return UserError(
        f"the published weights of {name} are not on this machine and cannot be fetched ({reason}): "
        "connect once, or give a file of them with --checkpoint"
    )


def _answers(url: str) -> bool:
    """Whether a server can be reached, through a proxy where one is set."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True
