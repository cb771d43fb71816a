"""Records in TensorBoard, W&B and MLflow, read back by their own readers."""

import time

import pytest

from dirjax.workdir import writers

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CONFIG = {
    "seed": 0,
    "data": {"name": "bikeshare"},
    "many": {str(i): i for i in range(120)},
}
WANTED = {"train/loss": [(2, 0.5), (4, 0.25)], "val/mae/all": [(4, 1.5)]}


def write(workdir, name, step, last):
    """The records from `step` to `last` of a run of four steps."""
    head = {"epoch": 0.5, "stage": "main", "time": 1.0}
    records = [
        {"step": 2, "split": "train", "loss": 0.5},
        {"step": 4, "split": "train", "loss": 0.25},
        {"step": 4, "split": "val", "mae/all": 1.5, "mae/few": None},
    ]
    options = {"config": CONFIG, "step": step, "total": 4, "first": True}
    with writers.make(workdir, [name], show="nothing", **options) as writer:
        for record in records:
            if step < record["step"] <= last:
                writer.write(head | record)


def twice(workdir, name):
    """A run that stopped at step 2, and went on."""
    write(workdir, name, 0, 2)
    time.sleep(1.1)  # Event files are named by the second.
    write(workdir, name, 2, 4)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    twice(tmp_path, "tensorboard")
    found = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert {"train/epoch", "val/epoch", *WANTED} == set(found.Tags()["scalars"])
    for name, points in WANTED.items():
        assert [(e.step, e.value) for e in found.Scalars(name)] == points


def chunks(raw, block=1 << 15):
    """The records of a W&B file: 7 bytes of header, then a log like LevelDB's."""
    at, data = 7, b""
    while at + 7 <= len(raw):
        if block - at % block < 7:
            at += block - at % block
            continue
        size, kind = int.from_bytes(raw[at + 4 : at + 6], "little"), raw[at + 6]
        data += raw[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, last part
            yield data
            data = b""


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    twice(tmp_path, "wandb")
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    assert len({f.name for f in files}) == 1  # Parts of one run.
    found = {}
    for data in (data for f in files for data in chunks(f.read_bytes())):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        items = record.history.item
        row = {i.key or "/".join(i.nested_key): i.value_json for i in items}
        for name in WANTED.keys() & row.keys():
            point = (int(row["_step"]), float(row[name]))
            found.setdefault(name, []).append(point)
    assert found == WANTED


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    twice(tmp_path / "run", "mlflow")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    uri = f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("dirjax").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert run.data.params["data.name"] == "bikeshare"
    assert run.data.params["many.119"] == "119"
    for name, points in WANTED.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [(m.step, m.value) for m in history] == points
