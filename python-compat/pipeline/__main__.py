"""Runs the flow: `python -m pipeline [--source FOLDER] [--root FOLDER] …`; `--help` lists the parameters."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

FLOW = Path(__file__).resolve().parent / "flow.py"
COMMANDS = ("run", "resume", "show", "card", "dump", "logs", "check", "output-dot")


def main(arguments: list[str]) -> NoReturn:
    """`run` with these arguments, or another of Metaflow's commands: this process becomes the flow's."""
    environment = os.environ | {
        # A container's root has no name, which Metaflow asks for.
        "METAFLOW_USER": os.environ.get("METAFLOW_USER") or os.environ.get("USER") or "tercel",
        "METAFLOW_DEFAULT_METADATA": "local",
    }
    command = arguments if arguments and arguments[0] in COMMANDS else ["run", *arguments]
    os.execve(sys.executable, [sys.executable, str(FLOW), "--no-pylint", *command], environment)


if __name__ == "__main__":
    main(sys.argv[1:])
