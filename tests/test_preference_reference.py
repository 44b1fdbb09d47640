"""The reference: kept on disk by all that changes it, moving with the policy, and cut off."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from plaudit.artifacts import read_artifact
from plaudit.learning import Learner
from plaudit.models import SeparateRoles
from plaudit.stages.preference_reference import (
    MovingReference,
    with_kept_reference,
    with_reference,
)
from plaudit.text import Tree
from tests.learning_trees import learner_for
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows
from tests.test_interruption import (
    command,
    config_file,
    environment,
    kill_once_at_work,
    metrics,
)
from tests.tiny import random_tree, tiny_language_model

SETTINGS = {"precision": "float32"}


def learner_of(seed: int) -> Learner:
    model = tiny_language_model(seed=seed)
    return learner_for(SeparateRoles({"policy": model}, trained=["policy"]))


def some_trees(seed: int = 0) -> list[Tree]:
    rng = np.random.default_rng(seed)
    return [random_tree(rng, prompt=3, branches=[4, 2]), random_tree(rng, prompt=5, branches=[3])]


def references(trees: list[Tree]) -> list[list[float]]:
    return [tree.token["reference"].tolist() for tree in trees]


def test_a_kept_reference_is_the_computed_one_bit_for_bit(tmp_path: Path):
    learner, trees = learner_of(1), some_trees()
    computed = references(with_reference(trees, learner))
    assert references(with_kept_reference(trees, learner, tmp_path / "c", SETTINGS)) == computed
    (file,) = (tmp_path / "c").iterdir()
    # Read, not computed again: what the file says is what comes back.
    save_file({"reference": load_file(file)["reference"] + 1}, file)
    read = references(with_kept_reference(trees, learner, tmp_path / "c", SETTINGS))
    assert [pytest.approx(np.array(x) + 1) for x in computed] == read


def test_whatever_changes_the_values_has_a_file_of_its_own(tmp_path: Path):
    first, other = some_trees(), some_trees(seed=1)
    cut = [first[0], Tree(id="b", prompt_P=first[1].prompt_P[1:], branches=first[1].branches)]
    for count, (trees, seed, settings) in enumerate(
        [
            (first, 1, SETTINGS),
            (first, 2, SETTINGS),
            (first, 1, {"precision": "bfloat16"}),
            (other, 1, SETTINGS),
            (cut, 1, SETTINGS),
            (first[::-1], 1, SETTINGS),
        ],
        start=1,
    ):
        with_kept_reference(trees, learner_of(seed), tmp_path, settings)
        assert len(list(tmp_path.iterdir())) == count
    with_kept_reference(some_trees(), learner_of(1), tmp_path, SETTINGS)
    assert len(list(tmp_path.iterdir())) == count


def test_a_damaged_cache_is_named(tmp_path: Path):
    learner, trees = learner_of(1), some_trees()
    with_kept_reference(trees, learner, tmp_path, SETTINGS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match=r"safetensors: cannot be read .* delete it to begin anew"):
        with_kept_reference(trees, learner, tmp_path, SETTINGS)


def moving(directory: Path, *, mixup_alpha: float = 0.6) -> tuple[SeparateRoles, MovingReference]:
    models = {"policy": tiny_language_model(seed=1), "reference": tiny_language_model(seed=2)}
    roles = SeparateRoles(models, trained=["policy"])
    return roles, MovingReference(roles, directory, mixup_alpha=mixup_alpha, every_steps=3)


def weights(roles: SeparateRoles, role: str) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in roles.parameters(role).values()])


def test_the_reference_moves_every_so_many_steps(tmp_path: Path):
    roles, reference = moving(tmp_path)
    policy, before = weights(roles, "policy"), weights(roles, "reference")
    for step in (1, 2):
        reference.after(step)
        assert torch.equal(weights(roles, "reference"), before)
    reference.after(3)
    expected = 0.6 * policy + 0.4 * before
    torch.testing.assert_close(weights(roles, "reference"), expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(weights(roles, "policy"), policy)


def test_an_alpha_of_1_replaces_the_reference(tmp_path: Path):
    roles, reference = moving(tmp_path, mixup_alpha=1.0)
    reference.after(3)
    assert torch.equal(weights(roles, "reference"), weights(roles, "policy"))


def test_a_checkpoint_gives_back_its_own_reference(tmp_path: Path):
    """A cut between the reference's file and the checkpoint's leaves the older of both."""
    roles, reference = moving(tmp_path)
    reference.after(3)
    at_3 = weights(roles, "reference")
    reference.save(3)
    reference.after(6)
    reference.save(6)
    roles, reference = moving(tmp_path)
    reference.restore(3)
    assert torch.equal(weights(roles, "reference"), at_3)
    reference.save(9)
    files = sorted(f.name for f in (tmp_path / "checkpoint").iterdir())
    assert files == ["reference-00000006.safetensors", "reference-00000009.safetensors"]


def test_a_run_with_a_cache_is_the_same_run(tmp_path: Path):
    base = str(small_checkpoint(tmp_path / "base"))
    data = write_rows(tmp_path / "pairs.jsonl", polite_pairs(12))
    said = {"model": base, "dataset": data, "batch_size": 4, "learning_rate": 1e-3, "loss": "kto"}
    cache = str(tmp_path / "cache")
    plain = run_stage("preference", tmp_path / "plain", **said)
    filled = run_stage("preference", tmp_path / "filled", **said, reference_cache=cache)
    read = run_stage("preference", tmp_path / "read", **said, reference_cache=cache)
    assert plain.record["files"] == filled.record["files"] == read.record["files"]
    assert len(list(Path(cache).iterdir())) == 2  # KTO's prompts with other responses have theirs


def test_a_run_with_all_that_moves_ends_the_same_after_a_kill(tmp_path: Path):
    """A moving reference, KTO's z0, BCO's running mean and AOT's sort, killed at any step."""
    base = str(small_checkpoint(tmp_path / "base"))
    data = write_rows(tmp_path / "pairs.jsonl", polite_pairs())
    config = config_file(
        tmp_path,
        {
            "model": base, "dataset": data, "batch_size": 4, "learning_rate": 1e-3,
            "save_steps": 2, "num_train_epochs": 4,
            "loss": {"dpo": 1.0, "kto": 1.0, "bco": 1.0, "aot": 1.0},
            "moving_reference": {"ref_model_sync_steps": 3},
        },
    )  # fmt: skip
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    subprocess.run(command("preference", config, straight), env=environment(), check=True)
    killed = kill_once_at_work("preference", config, cut, random.Random(0))
    assert killed == -signal.SIGKILL, "the stage ended before it was killed: give it more steps"
    subprocess.run(command("preference", config, cut), env=environment(), check=True)
    expected, found = read_artifact(straight), read_artifact(cut)
    assert expected is not None and found is not None
    assert found.record["files"] == expected.record["files"]
    assert metrics(cut) == metrics(straight)
