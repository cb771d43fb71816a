"""Training steps lower for TPUs and GPUs on a machine that has neither.

The step of every preset on a table and of some on images and depth, and the step of
every recipe at its published batch and image size: no call back to Python, no float64,
no size that is known only when it runs, and bfloat16 where the config asks for it.
"""

import jax
import numpy as np
import pytest

from dirjax import models
from dirjax.config import frozen
from dirjax.configs import methods
from dirjax.training.batches import batches
from dirjax.training.stage_program import (
    abstract_state,
    compiled_steps,
    example_rows,
    seeds,
)
from tests import depth_folder, runs, test_recipes
from tests.program import test_every_preset as presets

pytestmark = [pytest.mark.lowering, pytest.mark.matrix, pytest.mark.slow]
fields = test_recipes.fields  # the fixture
PLATFORMS = ("tpu", "cuda")
# How StableHLO writes them.
CALLBACKS = ("python_cpu_callback", "python_gpu_callback", "xla_ffi_", "host_callback")
UNKNOWN_SIZE, FLOAT64 = "<?x", "f64>"


def lowered(config, rows=None):
    """The program of each stage, for both platforms, as text.

    `rows` of a batch may be more than the data have.
    """
    if models.find(config["model"]["name"]).inputs in ("images", "dense"):
        config["model"]["encoder"]["platform"] = "tpu"
    pieces, programs = runs.built(config)
    for program in programs:
        stage = program.stage
        train = example_rows(pieces, stage)
        _, _, batch = next(batches(pieces, train, stage.start, stage.stop))
        if rows:
            batch = jax.tree.map(lambda x: with_rows(x, rows), batch)
        exported = jax.export.export(
            compiled_steps(pieces, program), platforms=PLATFORMS
        )(abstract_state(pieces, program), batch, np.int32(1), seeds(pieces))
        assert exported.platforms == PLATFORMS
        yield pieces, program, exported.mlir_module()


def with_rows(batch, rows):
    """The shape of an array of batches, with so many rows each."""
    shape = (batch.shape[0], rows, *batch.shape[2:])
    return jax.ShapeDtypeStruct(shape, batch.dtype, sharding=batch.sharding)


def check(config, rows=None):
    """Lowers all stages of a config and looks for what accelerators lack."""
    for pieces, program, text in lowered(config, rows):
        assert not any(name in text for name in CALLBACKS)
        assert FLOAT64 not in text
        assert UNKNOWN_SIZE not in text
        half = pieces.config["model"]["dtype"] == "bfloat16"
        assert ("bf16>" in text) == (half and not program.objective.precise)
        seen = (rows or pieces.plan.batch_size) * program.stage.views
        assert f"tensor<{seen}x" in text


@pytest.mark.parametrize("method", methods.PRESETS)
def test_presets_on_a_table(method, tmp_path):
    check(presets.made(presets.TABLE, method, tmp_path))


@pytest.mark.parametrize("method", ["fds", "frobenius", "group_dir", "ssir"])
@pytest.mark.parametrize("path", ["configs/mnist5k.py", presets.DENSE])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_presets_on_images(path, method, dtype, tmp_path):
    config = presets.made(path, method, tmp_path)
    config["model"]["dtype"] = dtype
    if not presets.refused(path, method, config):
        check(config)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Indoor pictures of the size of NYUD2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depth_folder, "SIZE", (480, 640))
        patch.setattr(depth_folder, "CROP", (228, 304))
        return depth_folder.make(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize(("name", "row"), test_recipes.FORMS.values())
def test_recipes_at_the_published_size(name, row, fields, pictures):
    config = test_recipes.recipe(name).get_config(row)
    rows = config.data.batch_size
    small = dict(fields[config.data.name])
    small.pop("data.image_size", None)
    if config.data.name == "nyud2_dir":
        small = {"data.path": str(pictures), "data.depth.val_share": 0.3}
    config.update_from_flattened_dict({**small, "data.batch_size": 4})
    check(frozen.plain(config), rows)


def test_what_is_looked_for_is_found():
    """The marks are those of programs that have what they stand for."""

    def text(function, *args):
        return jax.export.export(jax.jit(function))(*args).mlir_module()

    with jax.enable_x64(True):
        assert FLOAT64 in text(lambda x: x + 1, np.ones(2))
    size = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n"), np.float32)
    assert UNKNOWN_SIZE in text(lambda x: x + 1, size)

    def called(x):
        return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct((2,), x.dtype), x)

    jitted = jax.jit(called).lower(np.ones(2, np.float32)).as_text()
    assert any(name in jitted for name in CALLBACKS)
