"""ensemble: several reward models as one artifact that is used like a single reward model.

Copies the members into ``model/members`` and the first into ``model`` as well, so that a critic can
begin from it; ``model/ensemble.json`` says how scores are combined.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pydantic import Field, model_validator

from plaudit.artifacts import Artifact
from plaudit.config import Config
from plaudit.formats import local_inputs
from plaudit.models import is_scalar_model, model_path
from plaudit.scoring import ENSEMBLE_FILE, Combine, Ensemble
from plaudit.stages.options import NonNegative
from plaudit.stages.setup import open_draft


class EnsembleConfig(Config):
    """Options of ``plaudit ensemble``."""

    models: tuple[str, ...] = Field(min_length=2)
    """Reward models trained apart (other seeds, other data), artifacts or paths."""
    combine: Combine = "mean"
    """The score: the members' mean, the worst, or the mean less their variance."""
    variance_coefficient: NonNegative | None = None
    """Weight of the variance, 0.5 where not said; for mean_minus_variance."""

    @model_validator(mode="after")
    def _refuse_what_does_not_apply(self) -> EnsembleConfig:
        if self.variance_coefficient is not None and self.combine != "mean_minus_variance":
            raise ValueError(
                f"variance_coefficient: combine={self.combine} takes no variance off; for "
                "mean_minus_variance"
            )
        return self


CONFIG = EnsembleConfig


def inputs(config: EnsembleConfig) -> dict[str, Path]:
    return local_inputs(**{f"models/{k}": model for k, model in enumerate(config.models)})


def run(config: EnsembleConfig, output: Path) -> Artifact:
    began = time.monotonic()
    for name in config.models:
        if not is_scalar_model(name):
            raise ValueError(f"{name}: a language model; expected a reward model")
        if (Path(model_path(name)) / ENSEMBLE_FILE).is_file():
            raise ValueError(f"{name}: an ensemble; name its members instead")
    draft = open_draft("ensemble", config, inputs(config), output, began)
    model = draft.path / "model"
    shutil.copytree(model_path(config.models[0]), model, dirs_exist_ok=True)
    members = tuple(f"members/{k}" for k in range(len(config.models)))
    for member, name in zip(members, config.models, strict=True):
        shutil.copytree(model_path(name), model / member, dirs_exist_ok=True)
    said = config.variance_coefficient
    given = {} if said is None else {"variance_coefficient": said}
    Ensemble(members=members, combine=config.combine, **given).write(model)
    return draft.finish({"members": len(members)})
