#!/usr/bin/env bash
# Write requirements.lock from pyproject.toml, and environment.yml from the lock. Needs `pip install uv`.
#   tools/lock.sh              keeps the versions that still fit
#   tools/lock.sh --upgrade    takes the newest versions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --no-annotate \
    --custom-compile-command tools/lock.sh --output-file requirements.lock "$@"
{
    sed '/^  - pip:$/q' environment.yml
    sed '/^#/d; s/^/      - /' requirements.lock
} > environment.yml.new
mv environment.yml.new environment.yml
