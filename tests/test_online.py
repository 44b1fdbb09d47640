"""online: what is compared with what, opponents, resumption, and that a number goes up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from plaudit.artifacts import read_artifact
from plaudit.config import make_config
from plaudit.learning import Learner
from plaudit.models import load_language_model, stop_ids
from plaudit.records import Invalid, Prompt, Rollout, Score
from plaudit.sampling import LocalSampler, MixtureSampler, SamplingParams
from plaudit.stages.online_judging import compared, pair_tree, with_weights
from plaudit.stages.online_options import OnlineConfig
from plaudit.text import Renderer, load_tokenizer
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows

FUNCTION = {"reward_function": "tests.small:count_of_e"}
SHORT = {
    "max_steps": 8, "batch_size": 8, "max_completion_length": 10, "learning_rate": 1e-2, **FUNCTION,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", polite_pairs(24))


def rollouts(*lengths: int) -> list[Rollout]:
    """Two responses to each of some prompts."""
    prompts = [Prompt(id=str(i), conversation=str(i), content="a") for i in range(len(lengths))]
    return [
        Rollout(
            prompt=prompt,
            prompt_ids=np.array([1, 3]),
            ids=np.arange(3, 3 + length + index, dtype=np.int32),
            logprobs=np.zeros(length + index, np.float32),
            text="",
            finish_reason="stop",
            policy_version=0,
            index=index,
        )
        for prompt, length in zip(prompts, lengths, strict=True)
        for index in (0, 1)
    ]


def scores(*values: float | None) -> list[Score | Invalid]:
    return [Invalid(reason="none") if v is None else Score(value=v) for v in values]


def test_the_higher_score_is_the_better_response():
    responses = rollouts(2, 2, 2, 2)
    found, left_out = compared(
        responses, scores(0.0, 1.0, 5.0, 3.0, 2.0, 2.0, None, 1.0), soft=False, keep_ties=False
    )
    assert [(c.better.index, c.worse.index, c.margin) for c in found] == [(1, 0, 1.0), (0, 1, 2.0)]
    assert {c.probability for c in found} == {1.0}
    assert left_out == {
        "none": 1, "equal scores": 1, "fewer than 2 responses of a prompt were scored": 1,
    }  # fmt: skip


def test_a_soft_judgment_is_the_posterior_and_a_tie_one_half():
    found, _ = compared(rollouts(2, 2), scores(0.0, 2.0, 1.0, 1.0), soft=True, keep_ties=True)
    assert [c.probability for c in found] == pytest.approx([0.8807970780, 0.5])
    hard, _ = compared(rollouts(2), scores(1.0, 1.0), soft=False, keep_ties=True)
    assert hard[0].probability == 0.5
    assert (hard[0].better.index, hard[0].worse.index) == (0, 1)


def test_labels_say_who_wrote_and_who_won():
    found, _ = compared(rollouts(2, 4), scores(0.0, 1.0, 1.0, 0.0), soft=False, keep_ties=False)
    lost, won = with_weights([pair_tree(one, (1,)) for one in found])
    # The better stands first: of the first prompt that is the opponent's.
    assert lost.branch["own"].tolist() == [0.0, 1.0]
    assert lost.branch["advantage"].tolist() == [0.5, -0.5]
    assert lost.branch["weight"].tolist() == [0.0, 0.5]
    assert lost.branch["explore"].tolist() == [0.5, 0.0]
    assert lost.tokens_per_branch_K.tolist() == [3, 2]
    assert won.branch["own"].tolist() == [1.0, 0.0]
    assert won.pair["weight"].tolist() == [0.5]
    assert (won.pair["better"].item(), won.pair["worse"].item()) == (0, 1)


@pytest.fixture(scope="module")
def players(base: str, tmp_path_factory: pytest.TempPathFactory):
    other = small_checkpoint(tmp_path_factory.mktemp("other"), seed=7)
    tokenizer = load_tokenizer(base)
    renderer = Renderer(tokenizer, stop_ids(base, tokenizer))
    models = [load_language_model(str(m), precision="float32") for m in (base, other)]
    for model in models:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2.0 if parameter.ndim == 2 else 1.0)
    return models, renderer


def test_a_mixture_without_the_second_is_the_first(players):
    (first, second), renderer = players
    prompts = [Prompt(id=str(i), conversation="c", content="tea " * (i + 1)) for i in range(5)]
    params = SamplingParams(max_tokens=12, temperature=0.8, seed=3)
    mixture = MixtureSampler(first, second, renderer, share=0.0, slots=3)
    expected = LocalSampler(first, renderer).sample(prompts, 2, params)
    found = mixture.sample(prompts, 2, params)
    assert [r.ids.tolist() for r in found] == [r.ids.tolist() for r in expected]
    assert [(r.index, r.finish_reason) for r in found] == [
        (r.index, r.finish_reason) for r in expected
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


def test_a_mixtures_logprobs_are_those_of_the_formula(players):
    (first, second), renderer = players
    prompts = [Prompt(id=str(i), conversation="c", content="tea " * (i + 1)) for i in range(3)]
    params = SamplingParams(max_tokens=8, seed=1)
    found = MixtureSampler(first, second, renderer, share=0.3).sample(prompts, 1, params)
    for rollout in found:
        ids = torch.as_tensor(np.concatenate([rollout.prompt_ids, rollout.ids])).long()[None]
        with torch.no_grad():
            a_TV, b_TV = (m(ids).logits[0, :-1].log_softmax(-1) for m in (first, second))
        mixed_TV = (0.7 * a_TV + 0.3 * b_TV).log_softmax(-1)[len(rollout.prompt_ids) - 1 :]
        expected = mixed_TV.gather(1, torch.as_tensor(rollout.ids).long()[:, None])[:, 0]
        np.testing.assert_allclose(rollout.logprobs, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "dpo", "num_generations": 4},
        # IPO is content with a margin of 1 / (2 beta) nats: 10 here.
        {"algorithm": "dpo", "loss": "ipo", "beta": 0.05, "num_generations": 4},
        # Adapters cannot move embeddings, so they need a model that has learned some.
        {"model": "plaudit/nano", "lora_r": 8, "num_generations": 4},
        {"algorithm": "xpo", "xpo_alpha": 1e-3},
        {"algorithm": "nash_md", "judgment": "soft", "beta": 0.01},
    ],
    ids=["dpo", "ipo", "adapters", "xpo", "nash_md"],
)
def test_a_number_goes_up(options: dict, base: str, data: str, tmp_path: Path):
    more = {"model": base, "dataset": data, **SHORT, "max_steps": 16, **options}
    if options.get("algorithm") == "nash_md":
        more["reward_function"] = "tests.test_online:sharper_count_of_e"
    run = run_stage("online", tmp_path / "run", **more)
    found = run_stage(
        "measure", tmp_path / "measure", before=more["model"], after=str(run.path), dataset=data,
        metric="share of e", max_completion_length=10, num_generations=4, **FUNCTION,
    )  # fmt: skip
    assert found.metrics["difference"][0] > 0
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_bytes().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 17))


def sharper_count_of_e(prompts: list, completions: list, **columns: list) -> list[float]:
    return [20 * c[0]["content"].count("e") / max(4, len(c[0]["content"])) for c in completions]


@pytest.mark.parametrize("algorithm", ["dpo", "nash_md"])
def test_a_cut_changes_nothing(
    algorithm: str, base: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = {"model": base, "dataset": data, "algorithm": algorithm, "save_steps": 2, **SHORT}
    straight = run_stage("online", tmp_path / "straight", **options)
    updates = 0
    update = Learner.update

    def cut(self, trees, objective):
        nonlocal updates
        updates += 1
        if updates == 6:
            raise KeyboardInterrupt
        return update(self, trees, objective)

    monkeypatch.setattr(Learner, "update", cut)
    with pytest.raises(KeyboardInterrupt):
        run_stage("online", tmp_path / "cut", **options)
    assert read_artifact(tmp_path / "cut") is None
    resumed = run_stage("online", tmp_path / "cut", **options)
    assert updates < 6 + 8, "it began anew"
    assert resumed.record["files"] == straight.record["files"]
    assert resumed.metrics == straight.metrics


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"reward_model": "x"}, "exactly one must be given"),
        ({"loss": "kto"}, "kto learns from more than single pairs"),
        ({"loss": "dpop", "judgment": "soft"}, "dpop has no soft labels"),
        ({"algorithm": "nash_md", "loss": "ipo"}, "nash_md has no loss on pairs"),
        ({"algorithm": "xpo", "num_generations": 4}, "xpo compares 2"),
        ({"xpo_alpha": 0.1}, "read by xpo only"),
        ({"mixture_share": 0.1}, "read by nash_md only"),
        ({"algorithm": "xpo", "lora_r": 4}, "needs a reference of its own"),
    ],
)
def test_what_does_not_apply_is_refused(options: dict, fault: str):
    said = {"model": "m", "dataset": "d", "max_steps": 1, **FUNCTION, **options}
    with pytest.raises(ValueError, match=fault):
        make_config(OnlineConfig, said, "online")
