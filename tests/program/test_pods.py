"""Launch files for pods, with commands that stand for gcloud, uv and Python."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from dirjax.cli import config_files

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
# Runs the command of `ssh` in a home of its own for each worker.
GCLOUD = """#!/usr/bin/env bash
case "$*" in
  *describe*) cat "$POD/state"; exit ;;
  *" create "*) echo "create $*" >>"$POD/calls"; echo READY >"$POD/state"; exit ;;
  *" delete "*)
    echo "delete $*" >>"$POD/calls"; rm -rf "$POD"/worker? "$POD/state"; exit ;;
esac
while (($#)); do
  case "$1" in
    --worker=all) workers=(0 1) ;;
    --worker=*) workers=("${1#*=}") ;;
    --command) command=$2; shift ;;
  esac
  shift
done
for worker in "${workers[@]}"; do
  mkdir -p "$POD/worker$worker"
  env -u DIRJAX_DATA -u MINE HOME="$POD/worker$worker" bash -c "$command" || exit
done
"""
# Makes a Python that writes down its arguments, and ends as the test says.
UV = """#!/usr/bin/env bash
echo "$@" >>"$HOME/uv"
[ "$1" = venv ] || exit 0
mkdir -p .venv/bin
cat >.venv/bin/python <<'END'
#!/usr/bin/env bash
printf '%s|' "$@" >>"$HOME/ran"
echo "$(cat version) $DIRJAX_DATA $MINE" >>"$HOME/ran"
[ ! -f "$POD/wait" ] || { trap 'exit 143' TERM; while :; do sleep 0.02; done; }
exit "$(cat "$POD/code")"
END
chmod +x .venv/bin/python
"""


def git(folder, *args):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True)


def commit(folder, text):
    (folder / "version").write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-m", text)


class Pod:
    def __init__(self, folder):
        self.folder, self.url = folder, folder / "origin"
        self.url.mkdir()
        git(self.url, "init", "-b", "main")
        commit(self.url, "one")
        (folder / "code").write_text("0\n")
        for name, text in (("gcloud", GCLOUD), ("uv", UV)):
            file = folder / "bin" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)

    def __call__(self, what, *args, **more):
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "POD": str(self.folder),
            "DIRJAX_DATA": "/data of all",
            "FORWARD": "MINE",
            "MINE": "it's",
            "WAIT": "0.05",
            **more,
        }
        script = ["bash", str(LAUNCH / "tpu_pod.sh"), what, "pod", "zone", *args]
        return subprocess.run(
            script, capture_output=True, text=True, env=environment, timeout=60
        )

    def ended(self):
        """The lines of `status`, once no worker is running."""
        for _ in range(200):
            lines = self("status").stdout.splitlines()
            if not any("running" in line for line in lines):
                return [line.partition(": ")[2] for line in lines]
            time.sleep(0.02)
        raise AssertionError(lines)

    def ran(self, worker=0):
        return (self.folder / f"worker{worker}" / "ran").read_text().splitlines()


@pytest.fixture
def pod(tmp_path):
    if not all(map(shutil.which, ("git", "setsid"))):
        pytest.skip("needs git and setsid")
    return Pod(tmp_path)


def test_start_status_logs_and_a_new_commit(pod):
    words = ("--config=configs/bikeshare.py:fds", "--workdir", "/mnt/a b")
    done = pod("start", str(pod.url), *words)
    assert done.returncode == 0, done.stderr
    assert pod.ended() == ["exit 0", "exit 0"]
    head = f"-m|dirjax.main|--distributed|{'|'.join(words)}|"
    assert pod.ran(0) == pod.ran(1) == [f"{head}one /data of all it's"]
    commit(pod.url, "two")
    git(pod.url, "tag", "v1", "HEAD~1")
    (pod.folder / "code").write_text("2\n")
    assert pod("start", f"{pod.url}@main", *words).returncode == 0
    assert pod.ended() == ["exit 2", "exit 2"]
    assert pod("start", f"{pod.url}@v1", *words).returncode == 0
    pod.ended()
    versions = [line.removeprefix(head).split()[0] for line in pod.ran(1)]
    assert versions == ["one", "two", "one"]
    uv = (pod.folder / "worker1" / "uv").read_text().splitlines()
    assert [line.split()[0] for line in uv] == ["venv", "pip", "pip", "pip"]
    assert "3.12" in uv[0]
    assert pod("logs").returncode == 0
    missing = pod("start", f"{pod.url}@nowhere", *words)
    assert missing.returncode == 2
    assert "there is no nowhere in" in missing.stderr


def test_a_run_goes_on_alone_and_is_not_started_twice(pod):
    (pod.folder / "wait").touch()
    assert pod("start", str(pod.url), "--workdir=x").returncode == 0
    for _ in range(100):
        if pod("status").stdout.count("running") == 2:
            break
        time.sleep(0.02)
    again = pod("start", str(pod.url), "--workdir=x")
    assert again.returncode == 3
    assert "stop it first" in again.stderr
    assert pod("stop").returncode == 0
    assert pod.ended() == ["exit 143", "exit 143"]


def test_a_run_goes_on_until_its_end_is_written(pod):
    """Its process ends before; `keep` must not take it for lost, and start it again."""
    for worker in (0, 1):
        run = pod.folder / f"worker{worker}" / "dirjax-run"
        run.mkdir(parents=True)
        (run / "pid").write_text("4194305\n")  # of no process
        (run / "shell").write_text(f"{os.getpid()}\n")
    assert pod("status").stdout.count("running") == 2
    assert "stop it first" in pod("start", str(pod.url), "--workdir=x").stderr
    (run / "status").write_text("0\n")
    assert pod("status").stdout.splitlines()[1].endswith(": exit 0")
    (run.parents[1] / "worker0" / "dirjax-run" / "shell").write_text("4194305\n")
    assert pod("status").stdout.splitlines()[0].endswith("restart of the machine")


@pytest.mark.slow
def test_keep_makes_a_slice_anew_and_tells_of_failures(pod):
    (pod.folder / "state").write_text("PREEMPTED\n")
    make = {"TPU_TYPE": "v5litepod-16", "TPU_VERSION": "v2-alpha-tpuv5-lite"}
    done = pod("keep", str(pod.url), "--workdir=x", **make)
    assert done.returncode == 0, done.stderr
    calls = (pod.folder / "calls").read_text().splitlines()
    assert [line.split()[0] for line in calls] == ["delete", "create"]
    assert "--spot" in calls[1]
    assert len(pod.ran()) == 1
    (pod.folder / "code").write_text("1\n")
    assert pod("keep", str(pod.url), "--workdir=x").returncode == 1


def test_keep_ends_where_a_start_cannot_succeed(pod):
    (pod.folder / "state").write_text("READY\n")
    done = pod("keep", f"{pod.url}@nowhere", "--workdir=x")
    assert done.returncode == 2
    assert done.stderr.count("there is no nowhere in") == 1
    done = pod("keep", str(pod.folder / "none"), "--workdir=x", TRIES="2")
    assert done.returncode == 128
    assert "could not be started 2 times in a row (exit 128)" in done.stderr
    assert "none" in done.stderr


def test_keep_tries_again_what_may_pass(pod):
    (pod.folder / "state").write_text("READY\n")
    uv = pod.folder / "bin" / "uv"
    once = 'mkdir "$POD/once" 2>/dev/null && exit 2'
    uv.write_text(uv.read_text().replace("[ ", f"{once}\n[ ", 1))
    done = pod("keep", str(pod.url), "--workdir=x")
    assert done.returncode == 0, done.stderr
    assert len(pod.ran()) == 1


def test_keep_needs_no_slice_type_where_there_is_one(pod):
    (pod.folder / "state").write_text("READY\n")
    assert pod("keep", str(pod.url), "--workdir=x").returncode == 0
    assert pod("other").returncode == 2


def test_the_job_set_is_what_kubernetes_takes():
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
    (job,) = found["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["parallelism"] == spec["completions"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounted = {m["name"] for m in container["volumeMounts"]}
    assert mounted == {v["name"] for v in spec["template"]["spec"]["volumes"]}
    assert container["command"][-1] == "--distributed"
    path = container["args"][0].partition("=")[2]
    file, _, argument = path.partition(":")
    assert config_files.load(file, argument).method == argument


@pytest.mark.parametrize("code", [0, 143])
def test_a_task_of_an_array_trains_its_seed(code, tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >ran\nexit {code}\n')
    python.chmod(0o755)
    control = tmp_path / "scontrol"
    control.write_text('#!/bin/sh\necho "$@" >requeued\n')
    control.chmod(0o755)
    script = ["bash", str(LAUNCH / "slurm_array.sbatch"), "--config", "c.py"]
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "77"}
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*script, "--workdir=runs/a"], cwd=tmp_path, env=os.environ | slurm | path
    )
    assert done.returncode == code
    words = "-m dirjax.main --config c.py --config.seed=3 --workdir runs/a/seed-3\n"
    assert (tmp_path / "ran").read_text() == words
    assert (tmp_path / "requeued").exists() == (code == 143)
