"""Checkpoints: a thin wrapper around Orbax that keeps the last states and the best.

Each state is saved with a manifest (`integrity.py`): array shapes, a checksum of their
bytes, and the best state so far.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dirjax.errors import Failed, InputError, cause, unsaved
from dirjax.runtime import sharding
from dirjax.workdir import integrity, run_files

# Read errors that say nothing about the files.
_NOT_DAMAGE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Damaged(Failed):
    """A saved step cannot be read back as it was written.

    The run itself resumes from an earlier step; for other commands it is an error.

    Attributes:
      step: the step.
    """

    def __init__(self, step: int):
        super().__init__(
            f"the checkpoint at step {step} cannot be read: its files are damaged or "
            "missing. Give another --step, or train again."
        )
        self.step = step


class Checkpoints:
    """States of one run, by step.

    Keeps the two newest states and the best state that each of them records: a run can
    resume from either and reach the same result. Saves run in the background, and the
    next call raises their errors. A `with` statement closes, but hides no other error
    and does not wait after an interrupt.

    Args:
      folder: directory of the checkpoints, created if missing.
      read_only: do not change the directory; for commands other than the run itself.
    """

    def __init__(self, folder: pathlib.Path, *, read_only: bool = False):
        self._folder = folder.resolve()
        self._saving: int | None = None
        self._aside: set[int] = set()
        self._manifests: dict[int, dict[str, Any] | None] = {}
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
            num_deletion_threads=1,
        )
        with self._failing("checkpoints"):
            self._manager = ocp.CheckpointManager(
                self._folder, item_names=("state", "manifest"), options=options
            )
        try:
            self._read_manifests()
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, error: type[BaseException] | None, *details: Any) -> None:
        if error is None:
            self.close()
        elif issubclass(error, Exception):
            with contextlib.suppress(Exception):
                self.close()

    def save(
        self, step: int, state: Any, *, stage: int, value: float | None = None
    ) -> None:
        """Starts to save a state.

        Args:
          step: number of completed steps.
          state: tree of arrays.
          stage: number of the stage the state belongs to.
          value: the selection metric of this state, smaller is better; None if it
            was not evaluated.

        Raises:
          Failed: if this state or the previous one cannot be written.
        """
        if step in self._manager.all_steps():
            return
        self.wait()
        # Save one replica: Orbax takes a part from each device, and if replicas differ
        # in a last bit, the checksum would not match what is written.
        state = jax.device_get(state)
        manifest = integrity.make(state, self._better(step, stage, value))
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), manifest=ocp.args.JsonSave(manifest)
        )
        self._manifests[step] = manifest
        self._saving = step
        with self._failing(f"the checkpoint at step {step}"):
            self._manager.save(step, args=args, force=True)

    def _better(
        self, step: int, stage: int, value: float | None
    ) -> dict[str, Any] | None:
        """The best state including this one: the smallest value of the latest stage."""
        latest = self.latest()
        before = None if latest is None else self._manifest(latest)["best"]
        if value is None:
            return before
        if before and before["stage"] == stage and before["value"] <= value:
            return before
        return {"stage": stage, "step": step, "value": value}

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> list[bool]:
        """Tells Orbax which checkpoints to keep."""
        del context
        newest = sorted(c.step for c in checkpoints)[-2:]
        keep = set(newest)
        for step in newest:
            best = (self._manifests.get(step) or {}).get("best")
            keep |= {best["step"]} if best else set()
        return [c.step in keep for c in checkpoints]

    def latest(self) -> int | None:
        """The newest step, or None."""
        return self._manager.latest_step()

    def best(self, stage: int | None = None) -> tuple[int, float] | None:
        """Step and value of the best evaluated state, or None.

        Args:
          stage: return None if the state is not of this stage.

        Raises:
          Damaged: if the manifest of the newest step is unreadable.
        """
        latest = self.latest()
        best = None if latest is None else self._manifest(latest)["best"]
        if best is None or stage not in (None, best["stage"]):
            return None
        return best["step"], best["value"]

    def restore(self, step: int, like: Any) -> Any:
        """Restores the state of a step.

        Args:
          step: the newest step, or the best one it records.
          like: tree of `jax.ShapeDtypeStruct` with shardings.

        Raises:
          Damaged: if it cannot be read back exactly.
          InputError: if the saved state has a different structure from `like`.
          Failed: if the file system refuses.
        """
        manifest = self._manifest(step)
        integrity.check_shapes(step, manifest, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        state = None
        try:
            state = self._manager.restore(step, args=args)["state"]
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise
        except Exception as error:  # Orbax raises many types, and plain `Exception`.
            self._check_damage(step, error)
        sound = state is not None and (
            integrity.checksum(jax.device_get(state)) == manifest["checksum"]
        )
        if not sharding.everywhere(sound):
            raise Damaged(step)
        return state

    def _check_damage(self, step: int, error: Exception) -> None:
        """Raises if reading failed for a reason other than the files."""
        number = cause(error, _NOT_DAMAGE)
        if number:
            raise Failed(
                f"the checkpoint at step {step} in {self._folder} could not be read: "
                f"{os.strerror(number)}."
            ) from error

    @classmethod
    def of_run(cls, workdir: pathlib.Path) -> Checkpoints:
        """Opens the checkpoints of an existing run, read-only.

        Raises:
          InputError: if it has none.
        """
        folder = workdir / run_files.CHECKPOINTS
        if any(f.name.isdigit() for f in folder.glob("*")):
            found = cls(folder, read_only=True)
            if found.latest() is not None:
                return found
            found.close()
        raise InputError(
            f"{workdir} has no checkpoint. Train first, with this --workdir."
        )

    def choose(self, step: str) -> int:
        """The step that "best", "last" or a number means.

        Raises:
          InputError: if the step was not saved.
          Damaged: if the manifest of the newest step is unreadable.
        """
        last = self.latest()
        assert last is not None
        if step in ("best", "last"):
            best = self.best() if step == "best" else None
            return best[0] if best else last
        saved = sorted(self._manager.all_steps())
        if not step.isdecimal() or int(step) not in saved:
            raise InputError(
                f"--step must be best, last or one of {', '.join(map(str, saved))}, "
                f"got {step!r}."
            )
        return int(step)

    def restore_model(
        self, step: int, placement: Any, *, best: bool
    ) -> tuple[Any, Any]:
        """Restores the parameters to evaluate and the running statistics of a step.

        Args:
          step: a saved step.
          placement: sharding of all arrays.
          best: of a model with members, take the best state of each until this step.

        Raises:
          Damaged: see `restore`.
        """
        try:
            with ocp.StandardCheckpointer() as reader:
                found: Any = reader.metadata(self._folder / str(step) / "state")
            tree = found.item_metadata.tree
        except Exception as error:  # Orbax raises many types.
            self._check_damage(step, error)
            raise Damaged(step) from error
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement), tree
        )
        try:
            state = self.restore(step, like)
        except InputError as error:  # The array metadata is damaged.
            raise Damaged(step) from error
        members = state.get("best")
        if best and members and np.isfinite(members["value"]).all():
            return members["params"], members["model_state"]
        return state["average"] or state["params"]["model"], state["model_state"]

    def set_aside(self, step: int) -> int:
        """Renames a step and all later ones to `damaged-STEP`, which is never read.

        Args:
          step: a damaged step.

        Returns:
          The step to resume from, 0 for the start of the run.

        Raises:
          Failed: if this step was damaged before.
        """
        if step in self._aside:
            raise Failed(
                f"the checkpoint at step {step} in {self._folder} was damaged, "
                "rewritten, and is damaged again. Check the disk and run the same "
                "command again."
            )
        self._aside.add(step)
        self.wait()
        later = [s for s in self._manager.all_steps() if s >= step]
        if jax.process_index() == 0:
            # Newest first, so that a kill in between leaves the damaged one.
            for number in sorted(later, reverse=True):
                self._rename(number)
        sharding.everywhere(True)  # The other processes wait.
        self._read_manifests()
        return self.latest() or 0

    def _rename(self, step: int) -> None:
        target = self._folder / f"damaged-{step}"
        count = 1
        while target.exists():
            count += 1
            target = self._folder / f"damaged-{step}-{count}"
        with self._failing(target.name):
            (self._folder / str(step)).rename(target)

    def preempted(self, start: int, step: int) -> bool:
        """Whether all processes should stop after the steps `start + 1 .. step`.

        After a signal to any process, JAX agrees on one step and answers yes for that
        number only, so a chunk must ask for each of its steps.
        """
        if jax.process_count() == 1:
            return False
        asked = range(start + 1, step + 1)
        answers = [self._manager.reached_preemption(s) for s in asked]
        return any(answers)

    def wait(self) -> None:
        """Waits until everything is on disk.

        Raises:
          Failed: if the last state cannot be written.
        """
        with self._failing(f"the checkpoint at step {self._saving}"):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for saves and releases the manager's threads.

        Raises:
          Failed: if the last state cannot be written.
        """
        try:
            self.wait()
        finally:
            self._release()

    def _release(self) -> None:
        # After an error, several parts of the manager report it again on closing.
        for _ in range(3):
            with contextlib.suppress(Exception):
                self._manager.close()
                break

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turns a file system error into a readable message."""
        try:
            yield
        except Exception as error:
            number = cause(error)
            if not number:
                raise
            steps = [int(f.name) for f in self._folder.glob("*") if f.name.isdigit()]
            more = f" The checkpoint at step {max(steps)} is valid." if steps else ""
            raise unsaved(f"{what} in {self._folder}", number, more) from error

    def _read_manifests(self) -> None:
        """Reads the manifest of every step; None for a damaged one."""
        self._manager.reload()
        steps = self._manager.all_steps()
        self._manifests = {step: self._read_manifest(step) for step in steps}

    def _read_manifest(self, step: int) -> dict[str, Any] | None:
        args = ocp.args.Composite(manifest=ocp.args.JsonRestore())
        manifest = {}
        try:
            manifest = dict(self._manager.restore(step, args=args)["manifest"])
        except Exception as error:  # Orbax raises many types.
            self._check_damage(step, error)
        return manifest if sharding.everywhere(integrity.is_whole(manifest)) else None

    def _manifest(self, step: int) -> dict[str, Any]:
        manifest = self._manifests.get(step)
        if manifest is None:
            raise Damaged(step)
        return manifest
