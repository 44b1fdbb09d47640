"""Checkpoints: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from plaudit.artifacts import CHECKPOINT, Draft, write_json
from plaudit.learning.learner import Learner

_ROLE = "role/"
"""Before the names of frozen roles' weights."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a run stands."""

    step: int
    """Steps done; also the data's cursor, since the order of the data is a function of it."""
    controllers: dict[str, Any]
    """What the stage itself remembers, for example an adaptive KL coefficient."""


class Checkpoints:
    """The checkpoints of one draft; the newest is kept, and never in part.

    Weights (masters) and moments lie in safetensors, counters in JSON; nothing is pickled.
    """

    def __init__(self, draft: Draft, *, every_steps: int) -> None:
        self._draft = draft
        self._directory = draft.path / CHECKPOINT
        self._every = every_steps

    def due(self, step: int) -> bool:
        return step % self._every == 0

    def save(self, step: int, learner: Learner, controllers: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps; the older checkpoint goes once it is in place."""
        assert learner.optimiser is not None
        final = self._directory / f"step-{step:08d}"
        temporary = self._directory / ".writing"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors = {n: t.contiguous() for n, t in learner.optimiser.tensors().items()}
        tensors["rng/torch"] = torch.get_rng_state()
        for role in sorted(learner.moved_roles):
            named = learner.roles.parameters(role)
            tensors |= {f"{_ROLE}{role}/{n}": p.detach().contiguous() for n, p in named.items()}
        save_file(tensors, temporary / "state.safetensors")
        with (temporary / "state.safetensors").open("rb") as file:
            os.fsync(file.fileno())  # on the disk before the older checkpoint goes
        record = {
            "step": step,
            "version": learner.version,
            "optimiser_steps": learner.optimiser.steps,
            "controllers": dict(controllers),
        }
        write_json(temporary / "state.json", record)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        self._draft.save_clock()
        for older in sorted(self._directory.glob("step-*"))[:-1]:
            shutil.rmtree(older)

    def restore(self, learner: Learner) -> Checkpoint:
        """Load the newest checkpoint into the learner; at step 0 where there is none.

        Raises:
            ValueError: the checkpoint's files are damaged or belong to another model.
        """
        found = sorted(self._directory.glob("step-*"))
        if not found:
            return Checkpoint(step=0, controllers={})
        assert learner.optimiser is not None
        newest = found[-1]
        try:
            record = json.loads((newest / "state.json").read_text(encoding="utf-8"))
            tensors = load_file(newest / "state.safetensors")
            torch.set_rng_state(tensors.pop("rng/torch"))
            _load_roles(learner, tensors)
            learner.optimiser.load_tensors(tensors, steps=record["optimiser_steps"])
            learner.version = record["version"]
            return Checkpoint(step=record["step"], controllers=record["controllers"])
        except Exception as error:
            raise ValueError(
                f"{newest}: cannot be read ({' '.join(str(error).split())[:120]}); "
                "delete it to start the stage anew"
            ) from error


def _load_roles(learner: Learner, tensors: dict[str, torch.Tensor]) -> None:
    """Take out of ``tensors`` the weights of frozen roles that had moved, and take them up."""
    for key in [key for key in tensors if key.startswith(_ROLE)]:
        role, _, name = key.removeprefix(_ROLE).partition("/")
        with torch.no_grad():
            learner.roles.parameters(role)[name].copy_(tensors.pop(key))
        learner.moved_roles.add(role)
