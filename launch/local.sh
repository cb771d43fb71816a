#!/usr/bin/env bash
# Installs dirjax into .venv and trains, evaluates and reports the embedded default.
# Arguments go to dirjax.main: bash launch/local.sh --config configs/mnist5k.py:fds
set -euo pipefail
source "$(dirname "$0")/install.sh" ""
case " $* " in
  *" --config "* | *" --config="*) ;;
  *) set -- --config configs/bikeshare.py:sqinv_lds "$@" ;;
esac
case " $* " in
  *" --workdir "* | *" --workdir="*) ;;
  *) set -- --workdir "runs/$(date +%Y%m%d-%H%M%S)" "$@" ;;
esac
exec .venv/bin/python -m dirjax.main "$@"
