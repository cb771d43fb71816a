"""A tiny data set in the layout of NYUD2-DIR, with real image files."""

import pathlib

import numpy as np
from PIL import Image

# Images are twice as large as after scaling by `load`.
SIZE = (24, 32)  # height and width of the files
SCALED = 12  # shorter side after scaling
CROP = (10, 14)
MAPS = (5, 7)
ROOMS = {"attic_0001a": 3, "attic_0001b": 2, "hall_0002": 4, "study_0003": 3}
TEST = 5


def smooth(rng, low, high):
    """A tilted plane with noise between low and high, `[h, w]` float."""
    down, right = np.meshgrid(*(np.linspace(0, 1, n) for n in SIZE), indexing="ij")
    plane = 0.6 * rng.random() * down + 0.4 * right + 0.2 * rng.random(SIZE)
    return low + (high - low) * np.clip(plane, 0, 1)


def make(folder: pathlib.Path, *, seed=0) -> pathlib.Path:
    """Writes images, depth, tables, mask and subset; returns the folder `data`."""
    rng = np.random.default_rng(seed)
    data = folder / "data"
    train, test = [], []
    for scene, count in ROOMS.items():
        below = data / "nyu2_train" / f"{scene}_out"
        below.mkdir(parents=True)
        for n in range(count):
            depth = smooth(rng, 18, 255).astype(np.uint8)
            write(below / f"{n}.jpg", rng)
            Image.fromarray(depth).save(below / f"{n}.png")
            at = f"data/nyu2_train/{scene}_out/{n}"
            train.append(f"{at}.jpg,{at}.png")
    (data / "nyu2_test").mkdir()
    for n in range(TEST):
        at = data / "nyu2_test" / f"{n:05}"
        write(at.with_name(f"{at.name}_colors.png"), rng)
        depth = smooth(rng, 700, 9990).astype(np.uint16)
        Image.fromarray(depth).save(at.with_name(f"{at.name}_depth.png"))
        below = f"data/nyu2_test/{n:05}"
        test.append(f"{below}_colors.png,{below}_depth.png")
    (data / "nyu2_train.csv").write_text("\n".join(train) + "\n")
    (data / "nyu2_test.csv").write_text("\n".join(test) + "\n")
    (data / "nyu2_train_FDS_subset.csv").write_text("\n".join(train[1::3]) + "\n")
    mask = rng.random((TEST, *CROP)) < 0.5
    np.save(data / "test_balanced_mask.npy", mask.astype(np.uint8))
    return data


def write(file, rng):
    """Writes an image of noise."""
    Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(file)


def fields(folder: pathlib.Path) -> dict:
    """The fields of `nyud2_dir` for this folder, as arguments of `runs.config`."""
    return {
        "data__path": str(folder),
        "data__image_size": SCALED,
        "data__depth__crop": CROP,
        "data__depth__maps": MAPS,
        "data__depth__val_share": 0.3,
    }
