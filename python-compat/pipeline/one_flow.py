"""One flow at a time in a folder: the process that runs it holds the folder's lock, and its tasks end with it."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tercel import FileError
from tercel._files import locked, shown

from pipeline.checks_data import BadInput, utf8

DEFAULT_ROOT = "out/night"

_PARENT = "TERCEL_NIGHT_PROCESS"
"""In the environment of a flow's tasks: the process that holds the lock."""

_REFUSED = 3
"""The exit code, as the command's for an output that somebody else writes."""


@contextmanager
def one_flow(name: str, arguments: Sequence[str]) -> Iterator[None]:
    """What a command of the flow needs: `run` and `resume` the lock of the folder that they write to, from here until
    they end; a task that its parent lives. Other commands write nothing there.
    """
    command = next((word for word in arguments if word in ("run", "resume", "step")), None)
    if command == "step":
        _end_with_parent()
    root = _root(name, command, arguments)
    if root is None:
        yield
        return
    with ExitStack() as held:
        try:
            utf8(root)
            held.enter_context(locked(root, f"pipeline {command}", inside=True))
            os.environ[_PARENT] = str(os.getpid())
        except (BadInput, FileError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(_REFUSED) from None
        except OSError as error:  # a folder that the workers of a cluster see, and this machine does not
            print(f"warning: {shown(root)}: no lock ({error}): a second flow is not prevented", file=sys.stderr)
        yield


def _root(name: str, command: str | None, arguments: Sequence[str]) -> Path | None:
    """The folder that a command writes to."""
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    known.add_argument("--root")
    known.add_argument("--origin-run-id")
    given, rest = known.parse_known_args(list(arguments))
    if "--help" in rest:
        return None
    if command == "run":
        return Path(given.root or os.environ.get("METAFLOW_RUN_ROOT") or DEFAULT_ROOT).resolve()
    if command == "resume":
        return _resumed(name, given.origin_run_id)
    return None


def _resumed(name: str, run: str | None) -> Path | None:
    """The folder of the run that is gone on with; nothing where there is no such run, which Metaflow says itself."""
    from metaflow import Step, namespace
    from metaflow.exception import MetaflowException
    from metaflow.util import get_latest_run_id

    run = run or get_latest_run_id(lambda *_, **__: None, name)
    if run is None:
        return None
    namespace(None)
    try:
        return Path(Step(f"{name}/{run}/_parameters").task.data.root).resolve()
    except (MetaflowException, AttributeError):
        return None


def _end_with_parent() -> None:
    """Ends this task when the flow's process does, even when that is killed: nobody then holds the lock."""
    parent = os.environ.get(_PARENT)
    if parent is None or not sys.platform.startswith("linux"):
        return
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(parent):
        raise SystemExit(f"the flow's process {parent} has ended")
