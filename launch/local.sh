#!/usr/bin/env bash
# Installs dirjax into .venv, trains and evaluates three networks that predict a
# distribution (beta_nll) and, beside them, plain training of one (vanilla), on the
# embedded table, and shows the difference. Arguments go to dirjax.main; with a
# config, only that is trained:
#   bash launch/local.sh --config configs/mnist5k.py:fds
set -euo pipefail
# shellcheck source=launch/install.sh
source "$(dirname "$0")/install.sh" ""
python=.venv/bin/python
workdir="runs/$(date +%Y%m%d-%H%M%S)"
config=""
rest=()
while (($#)); do
  case "$1" in
    --workdir) workdir="${2:?--workdir needs a folder}" && shift ;;
    --workdir=*) workdir="${1#*=}" ;;
    --config) config="${2:?--config needs a file}" && shift ;;
    --config=*) config="${1#*=}" ;;
    *) rest+=("$1") ;;
  esac
  shift
done
main=("$python" -m dirjax.main ${rest[@]+"${rest[@]}"})
if [[ -n "$config" ]]; then
  exec "${main[@]}" --config "$config" --workdir "$workdir"
fi
"${main[@]}" --config configs/bikeshare.py:vanilla --workdir "$workdir-vanilla"
"${main[@]}" --config configs/bikeshare.py:beta_nll --config.model.members=3 \
  --workdir "$workdir"
exec "$python" -m dirjax.report "$workdir-vanilla" "$workdir" --output "$workdir/comparison"
