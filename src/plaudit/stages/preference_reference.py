"""The reference of the preference stage: fixed and computed once, or moving with the policy.

Shapes: N policy tokens of a tree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from plaudit.artifacts import CHECKPOINT
from plaudit.learning import Learner
from plaudit.models import Roles, SeparateRoles, load_language_model
from plaudit.stages.preference_options import PreferenceConfig
from plaudit.stages.setup import policy_roles
from plaudit.text import Tree


class Reference(Protocol):
    """Where the reference's log-probabilities come from."""

    def label(self, trees: Sequence[Tree], learner: Learner) -> list[Tree]:
        """The trees of an update, with ``reference`` on their tokens."""
        ...

    def after(self, step: int) -> None:
        """Called once ``step`` updates are made."""
        ...

    def save(self, step: int) -> None:
        """Called before the checkpoint of ``step``."""
        ...

    def restore(self, step: int) -> None:
        """Called once the learner stands at the checkpoint of ``step`` (0: at the beginning)."""
        ...


class LabelledReference:
    """The reference is on the trees already, or no loss has one."""

    def label(self, trees: Sequence[Tree], learner: Learner) -> list[Tree]:
        return list(trees)

    def after(self, step: int) -> None:
        pass

    def save(self, step: int) -> None:
        pass

    def restore(self, step: int) -> None:
        pass


class MovingReference:
    """``ref <- alpha pi + (1 - alpha) ref`` every so many steps (Gorbatovski et al. 2024, TR-DPO).

    Args:
        roles: hold a ``reference`` beside the ``policy``, with weights of its own.
        directory: of the draft; the reference's weights lie beside its checkpoints.
    """

    def __init__(
        self, roles: Roles, directory: Path, *, mixup_alpha: float, every_steps: int
    ) -> None:
        self._policy = roles.model("policy")
        self._reference = roles.model("reference")
        self._directory = directory / CHECKPOINT
        self._alpha = mixup_alpha
        self._every = every_steps

    def label(self, trees: Sequence[Tree], learner: Learner) -> list[Tree]:
        return with_reference(trees, learner, "reference.logprobs")

    @torch.no_grad()
    def after(self, step: int) -> None:
        if step % self._every:
            return
        followed = dict(self._policy.named_parameters())
        for name, parameter in self._reference.named_parameters():
            mixed = torch.lerp(parameter.float(), followed[name].float(), self._alpha)
            parameter.copy_(mixed)

    def save(self, step: int) -> None:
        """The file of the checkpoint before stays until the next time: a cut may fall between."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for older in sorted(self._directory.glob("reference-*"))[:-1]:
            older.unlink()
        weights = {n: p.detach().contiguous() for n, p in self._reference.named_parameters()}
        temporary = self._directory / ".reference"
        save_tensors(weights, temporary)
        temporary.rename(self._file(step))

    @torch.no_grad()
    def restore(self, step: int) -> None:
        if not step:
            return
        saved = load_tensors(self._file(step))
        for name, parameter in self._reference.named_parameters():
            parameter.copy_(saved[name])

    def _file(self, step: int) -> Path:
        return self._directory / f"reference-{step:08d}.safetensors"


def open_roles(config: PreferenceConfig) -> Roles:
    """The policy, and the reference as a model of its own where log-probabilities do not do."""
    whole = any("policy.reference_kl" in term.row.needs for term in config.terms)
    if config.lora_r or not (config.moving_reference or whole):
        return policy_roles(config, config, config)
    said = config.model_dump(include={"precision", "device", "trust_remote_code"})
    models = {role: load_language_model(config.model, **said) for role in ("policy", "reference")}
    return SeparateRoles(models, trained=["policy"])


def open_reference(
    config: PreferenceConfig,
    data: tuple[list[Tree], list[Tree]],
    learner: Learner,
    directory: Path,
) -> tuple[tuple[list[Tree], list[Tree]], Reference]:
    """The data, labelled where the reference stays as it is, and the reference."""
    if not any(term.row.reference for term in config.terms):
        return data, LabelledReference()
    if moving := config.moving_reference:
        return data, MovingReference(
            learner.roles,
            directory,
            mixup_alpha=moving.ref_model_mixup_alpha,
            every_steps=moving.ref_model_sync_steps,
        )
    if config.reference_cache is None:
        trees, strangers = (with_reference(trees, learner) for trees in data)
    else:
        cache = Path(config.reference_cache)
        said = config.model_dump(include={"precision", "device", "micro_batch_tokens"})
        trees, strangers = (with_kept_reference(t, learner, cache, said) for t in data)
    return (trees, strangers), LabelledReference()


def with_reference(
    trees: Sequence[Tree], learner: Learner, quantity: str = "policy.logprobs"
) -> list[Tree]:
    """The trees with a role's log-probabilities as their reference."""
    outputs = learner.forward(trees, [quantity])
    return [
        tree.with_token_labels(reference=output[quantity])
        for tree, output in zip(trees, outputs, strict=True)
    ]


def with_kept_reference(
    trees: Sequence[Tree], learner: Learner, cache: Path, settings: Mapping[str, object]
) -> list[Tree]:
    """As ``with_reference``, read from ``cache`` where an earlier run left the very same.

    Args:
        settings: what else the log-probabilities depend on beside weights and tokens.

    Raises:
        ValueError: the cache cannot be written, or a file in it cannot be read.
    """
    if not trees:
        return []
    file = cache / f"{_fingerprint(trees, learner, settings)}.safetensors"
    if file.is_file():
        return _from_cache(trees, file)
    labelled = with_reference(trees, learner)
    flat_N = np.concatenate([tree.token["reference"] for tree in labelled])
    try:
        cache.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".writing")
        save_file({"reference": flat_N}, temporary)
        temporary.rename(file)
    except OSError as error:
        raise ValueError(f"reference_cache: {cache} cannot be written ({error})") from error
    return labelled


def _from_cache(trees: Sequence[Tree], file: Path) -> list[Tree]:
    sizes = [int(tree.tokens_per_branch_K.sum()) for tree in trees]
    try:
        flat_N = load_file(file)["reference"]
    except (SafetensorError, KeyError, OSError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); delete it to begin anew") from error
    parts = np.split(flat_N, np.cumsum(sizes)[:-1])
    return [t.with_token_labels(reference=p) for t, p in zip(trees, parts, strict=True)]


def _fingerprint(trees: Sequence[Tree], learner: Learner, settings: Mapping[str, object]) -> str:
    """SHA-256 of weights, tokens and settings: equal only where the values are."""
    model = learner.roles.model("policy")
    about = {
        **settings,
        "config": {k: v for k, v in model.config.to_dict().items() if k != "_name_or_path"},
        "threads": torch.get_num_threads(),
        "versions": [torch.__version__, transformers.__version__],
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for tree in trees:
        for array in (tree.prompt_P, *(x for b in tree.branches for x in (b.ids, b.mask))):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
