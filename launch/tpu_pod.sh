#!/usr/bin/env bash
# Trains on all workers of a Cloud TPU pod slice (v4, v5e, v5p, v6e).
#
#   launch/tpu_pod.sh start  TPU ZONE GIT_URL[@REF] ARGUMENTS...   begins, and returns
#   launch/tpu_pod.sh status TPU ZONE            running, or the exit status, by worker
#   launch/tpu_pod.sh logs   TPU ZONE [WORKER]   the end of the log (default: worker 0)
#   launch/tpu_pod.sh stop   TPU ZONE            SIGTERM: the run saves, and can resume
#   launch/tpu_pod.sh keep   TPU ZONE GIT_URL[@REF] ARGUMENTS...   start, and wait; a spot
#                            slice that is taken away is made anew, and the run resumes
#
# ARGUMENTS are those of dirjax.main, for example --config configs/agedb_dir.py:ssir
# --workdir /mnt/runs/ssir. The directory of the run must be one that all workers see: NFS
# (Filestore), or a bucket that gcsfuse mounts; gs:// itself is refused.
#
# REF is a branch, tag or commit (default: main); each start fetches and checks it out.
# Workers get Python by uv, since TPU images come with 3.10, in ~/dirjax/.venv. The run
# is detached: it goes on when the connection breaks. Its log is ~/dirjax-run/log on each
# worker, its exit status ~/dirjax-run/status.
#
# Environment, all optional:
#   DIRJAX_*, JAX_*, XLA_FLAGS, LIBTPU_INIT_ARGS, WANDB_*, HF_*   forwarded to the run
#   FORWARD         names of more variables to forward, with blanks between
#   PYTHON_VERSION  default 3.12
#   TPU_TYPE, TPU_VERSION   for `keep`, what to make: v5litepod-16 and v2-alpha-tpuv5-lite
#   WAIT            seconds between looks of `keep`, default 60
#   TRIES           failed starts in a row after which `keep` gives up, default 5; one
#                   that no repetition mends, such as an unknown REF (exit 2), is the last
#   GCLOUD_ARGS     more arguments of gcloud, such as --project=NAME --internal-ip
set -euo pipefail

usage() {
  sed -n '2,33s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
[ $# -ge 3 ] || usage
what=$1 name=$2 zone=$3
shift 3
read -ra more <<<"${GCLOUD_ARGS:-}"

# on WORKER COMMAND: runs a command on one worker, or on "all".
on() {
  gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker="$1" \
    ${more[@]+"${more[@]}"} --command "$2"
}

# The variables to forward, as export lines for the workers.
forwarded() {
  local variable
  for variable in $(compgen -e | grep -E '^(DIRJAX_|JAX_|WANDB_|HF_)|^(XLA_FLAGS|LIBTPU_INIT_ARGS)$') ${FORWARD:-}; do
    [ -z "${!variable+set}" ] || printf 'export %s=%q\n' "$variable" "${!variable}"
  done
}

start() {
  [ $# -ge 2 ] || usage
  local source=$1 url ref=main arguments
  shift
  url=$source
  # An @ before the last slash or colon is that of git@host.
  if [[ $source =~ ^(.*[/:][^/:@]*)@([^@]+)$ ]]; then
    url=${BASH_REMATCH[1]} ref=${BASH_REMATCH[2]}
  fi
  arguments=$(printf '%q ' "$@")
  on all "
set -eu
run=\$HOME/dirjax-run
mkdir -p \"\$run\"
if [ ! -f \"\$run/status\" ] && [ -f \"\$run/shell\" ] && kill -0 \"\$(cat \"\$run/shell\")\" 2>/dev/null; then
  echo 'a run is going on here: stop it first' >&2
  exit 3
fi
export PATH=\$HOME/.local/bin:\$PATH
command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
[ -d \"\$HOME/dirjax/.git\" ] || git clone --quiet --no-checkout $(printf '%q' "$url") \"\$HOME/dirjax\"
cd \"\$HOME/dirjax\"
git remote set-url origin $(printf '%q' "$url")
git fetch --quiet --tags origin
# A branch is that of the server, not what an earlier start left behind.
commit=\$(git rev-parse --verify --quiet $(printf '%q' "origin/$ref^{commit}") || git rev-parse --verify --quiet $(printf '%q' "$ref^{commit}")) || { echo $(printf '%q' "there is no $ref in $url") >&2; exit 2; }
git checkout --quiet --force --detach \"\$commit\"
# 2 is for wrong input; of uv it may be a network that fails now.
[ -x .venv/bin/python ] || uv venv --quiet --python ${PYTHON_VERSION:-3.12} .venv || exit 1
uv pip install --quiet --python .venv/bin/python -e '.[tpu]' || exit 1
cat >\"\$run/environment\" <<'DIRJAX_END'
$(forwarded)
DIRJAX_END
rm -f \"\$run/status\" \"\$run/shell\" \"\$run/pid\"
[ ! -f \"\$run/log\" ] || mv \"\$run/log\" \"\$run/log.before\"
nohup setsid bash -c '
  run=\"\$HOME/dirjax-run\"
  # Files appear whole: status reads them at any time.
  say() { echo \"\$2\" >\"\$run/.\$1\" && mv \"\$run/.\$1\" \"\$run/\$1\"; }
  say shell \$\$
  . \"\$run/environment\"
  trap \"\" HUP
  .venv/bin/python -m dirjax.main --distributed \"\$@\" &
  pid=\$!
  say pid \$pid
  code=0
  wait \$pid || code=\$?
  say status \$code
' dirjax $arguments >\"\$run/log\" 2>&1 </dev/null &
shell=\$!
until [ -f \"\$run/pid\" ] || ! kill -0 \$shell 2>/dev/null; do sleep 0.05; done
echo \"\$(hostname): \$commit\""
}

# A run goes on until its shell has written how it ended: the process ends before.
status() {
  # shellcheck disable=SC2016  # it expands on the workers
  on all '
run=$HOME/dirjax-run
if [ -f "$run/status" ]; then echo "$(hostname): exit $(cat "$run/status")"
elif [ -f "$run/shell" ] && kill -0 "$(cat "$run/shell")" 2>/dev/null; then echo "$(hostname): running"
elif [ -f "$run/status" ]; then echo "$(hostname): exit $(cat "$run/status")"
elif [ -f "$run/shell" ]; then echo "$(hostname): lost, as after a restart of the machine"
else echo "$(hostname): no run"; fi'
}

make() {
  gcloud compute tpus tpu-vm create "$name" --zone "$zone" --spot \
    --accelerator-type "${TPU_TYPE:?set TPU_TYPE, such as v5litepod-16}" \
    --version "${TPU_VERSION:?set TPU_VERSION, such as v2-alpha-tpuv5-lite}" \
    ${more[@]+"${more[@]}"}
}

# keep: until all workers have ended with 0, or one failed for another reason than that
# the slice was taken away (143 is SIGTERM, with the state saved), or it cannot start. A
# slice that is READY may not take ssh yet, so other failures than wrong input (2) are
# tried again; a run that is still going on (3) is waited for.
keep() {
  local state found code failed=0 begun=
  while :; do
    state=$(gcloud compute tpus tpu-vm describe "$name" --zone "$zone" \
      ${more[@]+"${more[@]}"} --format 'value(state)' 2>/dev/null || echo NONE)
    case $state in
      READY)
        if found=$(status 2>/dev/null); then
          if [ -z "$begun" ] || grep -qE 'no run|lost|exit 143$' <<<"$found"; then
            # What still runs beside a lost worker waits for it in vain.
            [ -z "$begun" ] || on all "$ending" || true
            code=0
            start "$@" || code=$?
            case $code in
              0) begun=yes failed=0 ;;
              2) return 2 ;;
              3) ;;
              *)
                failed=$((failed + 1))
                if [ "$failed" -ge "${TRIES:-5}" ]; then
                  echo "the run could not be started $failed times in a row (exit $code)" >&2
                  return "$code"
                fi
                ;;
            esac
          elif ! grep -qv 'exit 0$' <<<"$found"; then
            echo "$found"
            return 0
          elif grep -qE 'exit [1-9]' <<<"$found"; then
            echo "$found" >&2
            return 1
          fi
        fi
        ;;
      PREEMPTED | TERMINATED | STOPPED)
        gcloud compute tpus tpu-vm delete "$name" --zone "$zone" --quiet \
          ${more[@]+"${more[@]}"} || true
        ;;
      NONE) make || true ;;
    esac
    sleep "${WAIT:-60}"
  done
}

# shellcheck disable=SC2016  # it expands on the workers
ending='run=$HOME/dirjax-run
if [ -f "$run/pid" ] && [ ! -f "$run/status" ]; then kill -TERM "$(cat "$run/pid")" || true; fi'

case $what in
  start) start "$@" ;;
  keep) keep "$@" ;;
  status) status ;;
  stop) on all "$ending" ;;
  logs) on "${1:-0}" "tail -n ${LINES_OF_LOG:-50} \"\$HOME/dirjax-run/log\"" ;;
  *) usage ;;
esac
