#!/usr/bin/env bash
# Installs dirjax with its test extra into .venv and runs the default test suite.
# Arguments go to pytest: bash launch/test.sh -k fds
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "dirjax needs Python 3.11 or newer, $("$python" --version) was found. Set PYTHON." >&2
  exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
exec .venv/bin/python -m pytest -n 2 --dist loadscope "$@"
