"""Full disks, and damage to written files."""

import contextlib
import pathlib
import resource
import shutil


@contextlib.contextmanager
def full(size=0):
    """Context in which no file can grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def files(folder):
    """All files of a folder."""
    return sorted(f for f in pathlib.Path(folder).rglob("*") if f.is_file())


def largest(folder):
    """The largest file of a folder, which holds the arrays."""
    return max(files(folder), key=lambda f: f.stat().st_size)


def flip(file, where=0.5):
    """Flips a bit at a relative position in a file."""
    content = bytearray(file.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def truncate(file):
    """Removes the second half of a file."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


# Kinds of damage to the folder of a step.
DAMAGES = {
    "arrays flipped": lambda step: flip(largest(step / "state")),
    "arrays truncated": lambda step: truncate(largest(step / "state")),
    "arrays gone": lambda step: largest(step / "state").unlink(),
    "index gone": lambda step: (step / "state" / "manifest.ocdbt").unlink(),
    "tree truncated": lambda step: truncate(step / "state" / "_METADATA"),
    "state gone": lambda step: shutil.rmtree(step / "state"),
    "manifest flipped": lambda step: flip(step / "manifest" / "metadata"),
    "manifest gone": lambda step: shutil.rmtree(step / "manifest"),
    "every file empty": lambda step: [f.write_bytes(b"") for f in files(step)],
    "empty": lambda step: [shutil.rmtree(step), step.mkdir()],
}
