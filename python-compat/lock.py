"""Writes each package that is pinned with extras once more without them, for `lock.sh`: pip before 23.3 takes the pin
of `name[extra]` for another package than the `name` that somebody needs, and then finds `name` unpinned.

    python lock.py requirements-test.txt
"""

import re
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    text = path.read_text(encoding="utf-8")
    pin = re.compile(r"^([A-Za-z0-9._-]+)\[[^]]+\](==(?:.*\\\n)+.*\n)", re.MULTILINE)
    bare = re.compile(r"^([A-Za-z0-9._-]+)(==(?:.*\\\n)+.*\n)\1\[", re.MULTILINE)
    text = bare.sub(r"\1[", text)
    path.write_text(pin.sub(r"\1\2\g<0>", text), encoding="utf-8")
