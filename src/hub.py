"""The Hugging Face hub without a network: only its cache on disk is read, without waiting for the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_TIMEOUT = 5.0  # seconds within which the hub must answer


@contextlib.contextmanager
def without_waiting() -> Iterator[None]:
    """In the block, huggingface_hub uses the network only if the hub answers now.

    Without this it retries each request for half a minute, file after file, before it reads its cache or fails;
    compute nodes often have no network.
    """
    with contextlib.nullcontext() if _answers() else cache_only():
        yield


@contextlib.contextmanager
def cache_only() -> Iterator[None]:
    """In the block, huggingface_hub does not use the network: a file that is not in its cache is an OSError."""
    from huggingface_hub import constants

    was_offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline


def cache() -> str:
    """The folder of downloaded files; the environment variables HF_HOME and HF_HUB_CACHE change it."""
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def _answers() -> bool:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    except Exception:  # any: the HTTP client, and so its errors, depend on the version
        return False
    return True
