#!/usr/bin/env bash
# Installs dirjax into .venv and trains, evaluates and reports the embedded default.
# Arguments go to dirjax.main: bash launch/local.sh --config configs/mnist5k.py:fds
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "dirjax needs Python 3.11 or newer, $("$python" --version) was found. Set PYTHON." >&2
  exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e .
case " $* " in
  *" --config "* | *" --config="*) ;;
  *) set -- --config configs/bikeshare.py:sqinv_lds "$@" ;;
esac
case " $* " in
  *" --workdir "* | *" --workdir="*) ;;
  *) set -- --workdir "runs/$(date +%Y%m%d-%H%M%S)" "$@" ;;
esac
exec .venv/bin/python -m dirjax.main "$@"
