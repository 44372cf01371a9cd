#!/usr/bin/env bash
# Installs NVIDIA's compilers from PyPI, in pinned versions, into .toolkit/ (or $TERCEL_TOOLKIT): no GPU, no root, about
# 180 MB to download. Run again, it does nothing unless the versions have changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${TERCEL_TOOLKIT:-$(cd "$here/../../.." && pwd)/.toolkit}
requirements=$here/requirements.txt
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if cmp -s "$requirements" "$folder/installed.txt"; then
    exit 0
fi
step() {
    if ! "${@:2}" >"$log" 2>&1; then
        echo "toolkit: $1 failed: $(grep -v '^[[:space:]]*$' "$log" | tail -n 1)" >&2
        exit 1
    fi
}
step "python3 -m venv $folder" python3 -m venv "$folder"
step "pip install" "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input --requirement "$requirements"
cp "$requirements" "$folder/installed.txt"
echo "toolkit: installed in $folder"
