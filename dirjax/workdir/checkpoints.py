"""Checkpoints: a thin cover over Orbax that keeps the last states and the best.

Each state is saved with a manifest (`integrity.py`): the shapes of its arrays, a
checksum of their bytes, and the best state known by then.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import orbax.checkpoint as ocp

from dirjax.errors import Failed, InputError, cause, unsaved
from dirjax.runtime import sharding
from dirjax.workdir import integrity

# Errors of reading that say nothing about the files.
_NOT_DAMAGE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Damaged(Failed):
    """A saved step cannot be read back as it was written.

    The run itself goes on from an earlier one; to other commands it is an error.

    Attributes:
      step: the step.
    """

    def __init__(self, step: int):
        super().__init__(
            f"the checkpoint of step {step} cannot be read, its files are damaged or "
            "gone. Give another --step, or train again."
        )
        self.step = step


class Checkpoints:
    """States of one run, by step.

    The two newest are kept, and the best that each of them knows of: a run can go on
    from either of them, and will come to the same end. Writing goes on in the
    background; an error of it comes out of the next call. A `with` statement closes,
    but hides no other error, and does not wait after an interrupt.

    Args:
      folder: directory of the checkpoints, made if missing.
      read_only: leave the directory as it is; for others than the run itself.
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
        """Saves a state.

        Args:
          step: steps done.
          state: tree of arrays.
          stage: number of the stage the state belongs to.
          value: the selection metric of this state, smaller is better; None if it
            was not evaluated.

        Raises:
          Failed: if this state or the one before cannot be written.
        """
        if step in self._manager.all_steps():
            return
        self.wait()
        # One replica: from several devices Orbax takes a piece each, and where they
        # differ in a last bit nobody could say what was written.
        state = jax.device_get(state)
        manifest = integrity.make(state, self._better(step, stage, value))
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), manifest=ocp.args.JsonSave(manifest)
        )
        self._manifests[step] = manifest
        self._saving = step
        with self._failing(f"the checkpoint of step {step}"):
            self._manager.save(step, args=args, force=True)

    def _better(
        self, step: int, stage: int, value: float | None
    ) -> dict[str, Any] | None:
        """The best state once this one is saved: of the latest stage, the smallest."""
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
        """Orbax asks which checkpoints to keep."""
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
          stage: None if that state is not of this stage.

        Raises:
          Damaged: if the newest step does not tell.
        """
        latest = self.latest()
        best = None if latest is None else self._manifest(latest)["best"]
        if best is None or stage not in (None, best["stage"]):
            return None
        return best["step"], best["value"]

    def restore(self, step: int, like: Any) -> Any:
        """The state of a step, as it was saved.

        Args:
          step: the newest, or the best that it knows of.
          like: tree of `jax.ShapeDtypeStruct` with shardings.

        Raises:
          Damaged: if it cannot be read back as it was written.
          InputError: if what was written has another structure than `like`.
          Failed: if the file system does not let us read.
        """
        manifest = self._manifest(step)
        integrity.check_shapes(step, manifest, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        state = None
        try:
            state = self._manager.restore(step, args=args)["state"]
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise
        except Exception as error:  # Orbax raises all kinds, and plain `Exception`.
            self._check_damage(step, error)
        sound = state is not None and (
            integrity.checksum(jax.device_get(state)) == manifest["checksum"]
        )
        if not sharding.everywhere(sound):
            raise Damaged(step)
        return state

    def _check_damage(self, step: int, error: Exception) -> None:
        """Raises if reading failed for a reason that is not in the files."""
        number = cause(error, _NOT_DAMAGE)
        if number:
            raise Failed(
                f"the checkpoint of step {step} in {self._folder} could not be read: "
                f"{os.strerror(number)}."
            ) from error

    @classmethod
    def of_run(cls, workdir: pathlib.Path) -> Checkpoints:
        """The checkpoints of a run that exists, left as they are.

        Raises:
          InputError: if it has none.
        """
        folder = workdir / "checkpoints"
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
          InputError: if it was not saved.
          Damaged: if the newest does not tell the best.
        """
        last = self.latest()
        assert last is not None
        if step in ("best", "last"):
            best = self.best() if step == "best" else None
            return best[0] if best else last
        saved = sorted(self._manager.all_steps())
        if not step.isdigit() or int(step) not in saved:
            raise InputError(
                f"--step must be best, last or one of {', '.join(map(str, saved))}, "
                f"got {step!r}."
            )
        return int(step)

    def restore_model(self, step: int, placement: Any) -> tuple[Any, Any]:
        """Parameters to evaluate and running statistics of a step.

        Args:
          step: one that was saved.
          placement: sharding of all arrays.

        Raises:
          Damaged: as `restore`.
        """
        try:
            with ocp.StandardCheckpointer() as reader:
                found: Any = reader.metadata(self._folder / str(step) / "state")
            tree = found.item_metadata.tree
        except Exception as error:  # Orbax raises all kinds.
            self._check_damage(step, error)
            raise Damaged(step) from error
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement), tree
        )
        try:
            state = self.restore(step, like)
        except InputError as error:  # What tells of the arrays is damaged.
            raise Damaged(step) from error
        return state["average"] or state["params"]["model"], state["model_state"]

    def set_aside(self, step: int) -> int:
        """Renames a step and all later ones to `damaged-STEP`, which nobody reads.

        Args:
          step: a damaged one.

        Returns:
          The step from which the run goes on, 0 for its beginning.

        Raises:
          Failed: if this is the second time for this step.
        """
        if step in self._aside:
            raise Failed(
                f"the checkpoint of step {step} in {self._folder} was damaged, written "
                "anew, and is damaged again. See to the disk and give the same command "
                "again."
            )
        self._aside.add(step)
        self.wait()
        later = [s for s in self._manager.all_steps() if s >= step]
        if jax.process_index() == 0:
            # From the newest, so that a kill between two leaves the damaged one.
            for number in sorted(later, reverse=True):
                self._rename(number)
        sharding.everywhere(True)  # The others wait.
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
        """Whether all processes are to stop after the steps `start + 1 .. step`.

        JAX agrees on one step after a signal to any process, and answers yes for
        that number alone: a stretch has to ask for each of its steps.
        """
        if jax.process_count() == 1:
            return False
        asked = range(start + 1, step + 1)
        answers = [self._manager.reached_preemption(s) for s in asked]
        return any(answers)

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
          Failed: if the last state cannot be written.
        """
        with self._failing(f"the checkpoint of step {self._saving}"):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits and releases the manager's threads.

        Raises:
          Failed: if the last state cannot be written.
        """
        try:
            self.wait()
        finally:
            self._release()

    def _release(self) -> None:
        # After an error several parts of the manager report it before they close.
        for _ in range(3):
            with contextlib.suppress(Exception):
                self._manager.close()
                break

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Makes a sentence of an error of the file system."""
        try:
            yield
        except Exception as error:
            number = cause(error)
            if not number:
                raise
            steps = [int(f.name) for f in self._folder.glob("*") if f.name.isdigit()]
            more = f" The checkpoint of step {max(steps)} is valid." if steps else ""
            raise unsaved(f"{what} in {self._folder}", number, more) from error

    def _read_manifests(self) -> None:
        """Reads the manifest of every step, None where it is damaged."""
        self._manager.reload()
        steps = self._manager.all_steps()
        self._manifests = {step: self._read_manifest(step) for step in steps}

    def _read_manifest(self, step: int) -> dict[str, Any] | None:
        args = ocp.args.Composite(manifest=ocp.args.JsonRestore())
        manifest = {}
        try:
            manifest = dict(self._manager.restore(step, args=args)["manifest"])
        except Exception as error:  # Orbax raises all kinds.
            self._check_damage(step, error)
        return manifest if sharding.everywhere(integrity.is_whole(manifest)) else None

    def _manifest(self, step: int) -> dict[str, Any]:
        manifest = self._manifests.get(step)
        if manifest is None:
            raise Damaged(step)
        return manifest
