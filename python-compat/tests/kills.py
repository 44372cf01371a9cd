"""Kills work at each of its steps, and looks at what is left: no sleep, no luck."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

STEPS = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.chmod",
    "os.truncate",
    "open",
    "ctypes.dlopen",
}
"""What Python tells before it does it: the last one goes before the exchange of two folders."""


def killed_at(step: int, work: Callable[[], object], where: str) -> bool:
    """Runs `work` in a process that ends, by SIGKILL, before its step of this number; whether it came so far.

    Steps are what changes names or opens files in the folder `where`.

    Raises:
        AssertionError: When the work fails by itself.
    """
    child = os.fork()
    if child == 0:
        _work(step, work, where)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"died of signal {os.WTERMSIG(status)}"
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed: see its traceback"
    return False


def _work(step: int, work: Callable[[], object], where: str) -> None:
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in STEPS and (event == "ctypes.dlopen" or any(where in str(one) for one in arguments)):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.addaudithook(hook)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
