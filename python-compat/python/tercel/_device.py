"""Where things are computed."""

from __future__ import annotations

from . import _core
from ._counts import text_of


def device_for(device: str = "auto") -> tuple[str, str]:
    """The device that a word (`auto`, `cpu`, `cuda:N`) stands for on this host, and why.

    >>> import tercel
    >>> tercel.device_for("cpu")[0]
    'cpu'

    Raises:
        ConfigError: For another word.
        DeviceError: For a CUDA device that cannot be used.
    """
    return _core.device_for(text_of(device, "device"))
