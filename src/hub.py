"""The Hugging Face hub where it cannot be reached: then only its cache on disk is looked at, and at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_TIMEOUT = 5.0  # seconds that the hub has to answer in


@contextlib.contextmanager
def without_waiting() -> Iterator[None]:
    """While it lasts, huggingface_hub asks the network only if the hub answers now.

    Left alone it repeats each request for half a minute, file after file, before it looks into the cache or
    gives up; and on a compute node there is often no network at all.
    """
    with contextlib.nullcontext() if _answers() else cache_only():
        yield


@contextlib.contextmanager
def cache_only() -> Iterator[None]:
    """While it lasts, huggingface_hub never asks the network: what its cache lacks is an OSError at once."""
    from huggingface_hub import constants

    was_offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline


def cache() -> str:
    """The folder of downloaded files, which the variables HF_HOME and HF_HUB_CACHE move."""
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _answers() -> bool:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    except Exception:  # the errors of its client, which is another library in each version
        return False
    return True
