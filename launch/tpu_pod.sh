#!/usr/bin/env bash
# Runs the same command on every worker of a Cloud TPU pod.
#
#   bash launch/tpu_pod.sh TPU_NAME ZONE GIT_URL --config configs/bikeshare.py:fds \
#     --workdir /mnt/shared/run
#
# Each worker clones the repository once, installs dirjax for TPUs and calls
# dirjax.main, which calls jax.distributed.initialize() (no arguments on Cloud TPU).
# The directory of the run must be one that all workers see (NFS, or a mounted bucket).
set -euo pipefail
if [ $# -lt 5 ]; then
  sed -n '2,9p' "$0" >&2
  exit 2
fi
name=$1 zone=$2 url=$3
shift 3
arguments=$(printf '%q ' "$@")
gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker=all --command "
  set -e
  [ -d dirjax ] || git clone --depth 1 $(printf '%q' "$url") dirjax
  cd dirjax
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet -e . 'jax[tpu]'
  .venv/bin/python -m dirjax.main --distributed $arguments"
