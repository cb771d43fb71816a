"""Images a second into a model: dirjax against a PyTorch DataLoader on the same cores.

    python benchmarks/input_pipeline.py --torch-python path/to/python

The work is that of AgeDB-DIR: JPEG files of about 250 pixels, decoded, resized to 224
with antialiasing, padded by 16, cut at random, mirrored in half of the cases and
normalised. The peer does it as published, with Pillow in worker processes, one for each
core, and hands float32 batches on. dirjax decodes and resizes with Pillow in threads
behind tf.data, hands uint8 on, and does the rest on the device: `host` is what the
cores do beside an accelerator, up to uint8 batches; `read` does the rest on the same
cores, too; `held` likewise, with decoded images in memory. The peer's Python needs
torch and Pillow. See README.md.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import sys
import tempfile

import _duel

SIDE, PAD = 224, 16


def write(folder: pathlib.Path, count: int) -> None:
    """Photographs of various sizes and a table of them."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = ["label,path,split"]
    for i in range(count):
        width, height = rng.integers(180, 320, 2)
        coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
        grain = rng.integers(-6, 7, (height, width, 3))
        pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=90)
        rows.append(f"{i % 50},{i}.jpg,train")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")


def serve_jax(folder: pathlib.Path, batch: int, kind: str) -> None:
    """Serves batches as a training step sees them, or as they leave the host."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import startup

    startup.prepare()
    import jax

    from dirjax import data, models
    from dirjax.augment import images as image_augment
    from dirjax.cli import config_files
    from dirjax.config import frozen as config_lib

    held = kind == "held"
    made = config_files.load("configs/images.py", "vanilla")
    for path, value in {
        "data.path": str(folder),
        "data.image_size": SIDE,
        "data.channels": 3,
        "data.mean_and_std": (0.5, 0.5),
        "data.memory": 64.0 if held else 0.0,
    }.items():
        made.update_from_flattened_dict({path: value})
    source = data.from_config(config_lib.plain(made)["data"])
    reader = "array" if held else "tf"
    stream = data.Stream(
        source.splits["train"], seed=0, batch_size=batch, reader=reader
    )
    changed = image_augment.from_config({"flip": True, "crop": PAD}, source.record)
    network = models.build("resnet18", input_mean=0.5, input_std=0.5)

    @jax.jit
    def ready(key, batch):
        batch = changed(key, jax.tree.map(lambda x: x[0], batch))
        return network.prepare(batch["inputs"])

    batches = stream.read((s, 1) for s in range(10**9))
    key = jax.random.key(0)

    def step(count):
        for _ in range(count):
            rows = next(batches)
            seen = rows["inputs"][0] if kind == "host" else ready(key, rows)
        assert seen.shape == (batch, SIDE, SIDE, 3)
        jax.block_until_ready(seen)

    _duel.serve(step, units=batch, seconds=3.0)


def serve_torch(folder: pathlib.Path, batch: int) -> None:
    """Serves batches of a DataLoader with Pillow in its workers."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    torch.set_num_threads(1)
    names = [line.split(",")[1] for line in (folder / "table.csv").open()][1:]
    # A long epoch, so that no round waits for workers that start.
    names = names * (1 + 200_000 // len(names))

    class Faces(torch.utils.data.Dataset):
        def __len__(self):
            return len(names)

        def __getitem__(self, index):
            image = Image.open(folder / names[index]).convert("RGB")
            image = image.resize((SIDE, SIDE), Image.BILINEAR)
            image = ImageOps.expand(image, PAD, 0)
            left, top = random.randint(0, 2 * PAD), random.randint(0, 2 * PAD)
            image = image.crop((left, top, left + SIDE, top + SIDE))
            if random.random() < 0.5:
                image = image.transpose(Image.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            return pixels.float().div(255).sub_(0.5).div_(0.5), index % 50

    loader = torch.utils.data.DataLoader(
        Faces(),
        batch_size=batch,
        shuffle=True,
        num_workers=len(os.sched_getaffinity(0)),
        drop_last=True,
    )
    batches = iter(loader)

    def step(count):
        for _ in range(count):
            images, _ = next(batches)
        assert images.shape == (batch, 3, SIDE, SIDE)

    _duel.serve(step, units=batch, seconds=3.0)


def main() -> None:
    """Starts the duel, or one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="Python that has torch and Pillow")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=("torch", "host", "read", "held"))
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    if options.serve == "torch":
        serve_torch(options.folder, options.batch)
    elif options.serve:
        serve_jax(options.folder, options.batch, options.serve)
    else:
        with tempfile.TemporaryDirectory() as folder:
            write(pathlib.Path(folder), options.images)
            show(options, folder)


def show(options: argparse.Namespace, folder: str) -> None:
    """Plays all workers against the first and prints a line for each."""
    common = [__file__, "--folder", folder, "--batch", str(options.batch), "--serve"]
    commands = {
        name: [sys.executable, *common, name] for name in ("host", "read", "held")
    }
    if options.torch_python:
        commands = {"torch": [options.torch_python, *common, "torch"], **commands}
    for name, found in _duel.duel(commands, rounds=options.rounds).items():
        print(
            f"{name:6} {found['rate']:8,.0f} images/s  ratio {found['ratio']:.2f} "
            f"({found['low']:.2f}-{found['high']:.2f})"
        )


if __name__ == "__main__":
    main()
