# shellcheck shell=bash
# Sourced by local.sh and test.sh: goes to the checkout, makes .venv, installs dirjax.
# usage: source install.sh [EXTRA]
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "dirjax needs Python 3.11 or newer, $("$python" --version) was found. Set PYTHON." >&2
  exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${1:-}"
