#!/usr/bin/env bash
# Makes the requirements*.txt of the requirements*.in: every package that they need, pinned, with the hashes of its files
# on PyPI, for Python 3.11 and newer on every system. pip then takes these files and no others. What is pinned stays as it
# is; `bash lock.sh --upgrade` takes newer versions where the .in files leave a choice.
#   bash lock.sh && git diff && bash test.sh
set -euo pipefail
cd "$(dirname "$0")"
uv=${UV:-$(command -v uv || true)}
if [ -z "$uv" ]; then
    tools=$(mktemp -d)
    trap 'rm -rf "$tools"' EXIT
    "${PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
    uv=$tools/bin/uv
fi
lock() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "bash lock.sh" "${@:2}" --output-file "$1.txt" "$1.in"
}
lock requirements-test "$@"
# The same versions in the files that a night and a cluster need.
for name in pipeline/requirements pipeline/requirements-distributed; do
    lock "$name" --constraints requirements-test.txt --upgrade
done
"${PYTHON:-python3}" lock.py requirements-test.txt pipeline/requirements.txt pipeline/requirements-distributed.txt
