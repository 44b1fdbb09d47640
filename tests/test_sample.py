"""sample: which responses are kept, in which format, and that a cut changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from plaudit.config import make_config
from plaudit.formats import load_demonstrations, load_judged
from plaudit.models import stop_ids
from plaudit.records import Message, Prompt, Rollout
from plaudit.stages import sample_selection as selection
from plaudit.stages.sample_gathering import Candidate, Gathering, fault_of, with_hint
from plaudit.stages.sample_options import SampleConfig
from plaudit.stages.sample_rows import kept, rows_of
from plaudit.text import Renderer, load_tokenizer
from tests.interrupted import cut_and_resumed
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows

SHORT = {"max_completion_length": 32, "num_generations": 6, "save_prompts": 4}
PROMPT = Prompt(id="p", conversation="p", content="2 + 2 =", columns={"answer": "4"})


def length_over_40(prompts: list, completions: list, **columns: list) -> list[float]:
    return [len(completion[0]["content"]) / 40 for completion in completions]


@pytest.fixture(scope="module")
def polite(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A small model that has learned to answer and to stop, and its data."""
    place = tmp_path_factory.mktemp("polite")
    base = small_checkpoint(place / "base")
    rows = [
        {"prompt": pair["prompt"], "completion": pair[side]}
        for pair in polite_pairs()
        for side in ("chosen", "rejected")
    ]
    sft = run_stage(
        "sft", place / "sft", model=str(base), dataset=write_rows(place / "sft.jsonl", rows),
        learning_rate=5e-3, batch_size=8, num_train_epochs=8,
    )  # fmt: skip
    return str(sft.path), write_rows(place / "pairs.jsonl", polite_pairs(12))


def config(**options) -> SampleConfig:
    said = {"model": "m", "dataset": "d", "reward_function": "a:b", **options}
    return make_config(SampleConfig, said, "sample")


def rows_of_file(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def candidates(*scores: float | None) -> list[Candidate]:
    return [
        Candidate(f"answer {k}", s, None if s is not None else "cut") for k, s in enumerate(scores)
    ]


def test_best_is_the_first_of_the_highest():
    assert selection.best([0.1, 3.0, 3.0, -1.0]) == [1]


def test_above_holds_the_threshold_itself():
    assert selection.above([0.1, 3.0, 1.0, 0.99], 1.0) == [1, 2]


def test_acceptance_by_hand():
    np.testing.assert_allclose(
        selection.acceptance([2.0, 1.0, 0.0], 0.5), [1.0, np.exp(-2.0), np.exp(-4.0)]
    )


def test_a_response_is_accepted_with_exactly_its_chance():
    """Uniform numbers on a fine grid: the share that accepts is the chance."""
    scores, beta, grid = [0.2, 1.0, -0.3], 0.7, 10_000
    count = np.zeros(3)
    for u in (np.arange(grid) + 0.5) / grid:
        count[selection.accepted(scores, beta, np.full(3, u))] += 1
    np.testing.assert_allclose(count / grid, selection.acceptance(scores, beta), atol=1 / grid)


def test_accepted_responses_follow_the_tilted_distribution():
    """One pass over samples of p accepts y in proportion to p(y) exp(r(y) / beta)."""
    p, rewards, beta = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), 1.5
    target = p * np.exp(rewards / beta)
    accepted = p * selection.acceptance(rewards, beta)
    np.testing.assert_allclose(accepted / accepted.sum(), target / target.sum(), rtol=1e-12)


@pytest.mark.parametrize("order", list(permutations([0.0, 1.0, 5.0])))
def test_with_a_small_beta_the_best_are_kept_in_turn(order: tuple[float, ...]):
    rng = np.random.default_rng(0)
    found = selection.rejection_sample(order, beta=1e-3, keep=2, rng=rng)
    assert [order[k] for k in found] == [5.0, 1.0]


def test_with_a_large_beta_all_are_kept_in_the_order_sampled():
    rng = np.random.default_rng(0)
    found = selection.rejection_sample([0.0, 1.0, 5.0], beta=1e9, keep=5, rng=rng)
    assert found == [0, 1, 2]


def test_pairs():
    assert selection.best_and_worst([1.0, 3.0, 0.0]) == [(1, 2)]
    assert selection.best_and_worst([1.0, 1.0]) == []
    assert selection.neighbours([1.0, 3.0, 2.0, 2.0, 9.0]) == [(1, 0)]


def test_what_cannot_be_used_is_never_kept():
    found = kept(config(), PROMPT, candidates(0.5, None, 0.7))
    assert [c.text for c in found] == ["answer 2"]
    assert kept(config(), PROMPT, candidates(None)) == []


def test_rows_keep_the_columns_of_the_prompt():
    rows = rows_of(config(), PROMPT, candidates(0.5))
    assert rows == [{"answer": "4", "prompt": "2 + 2 =", "completion": "answer 0", "score": 0.5}]
    rated = config(select="all", write="ratings", threshold=0.6)
    assert [row["label"] for row in rows_of(rated, PROMPT, candidates(0.5, 0.6))] == [False, True]


def test_a_response_of_the_templates_tokens_is_of_no_use(polite: tuple[str, str]):
    model = f"{polite[0]}/model"
    tokenizer = load_tokenizer(model)
    renderer = Renderer(tokenizer, stop_ids(model, tokenizer))
    texts = {"a latte": None, "a <|assistant|> latte": "a token of the chat template's structure"}
    prompt = PROMPT.model_copy(update={"content": (Message(role="user", content="one"),)})
    for text, reason in texts.items():
        assert fault_of(rollout_of(prompt, text), renderer) == reason
        if reason is not None:  # since the next stage would refuse it
            with pytest.raises(ValueError, match="reads as structure"):
                renderer.response(prompt.content, (Message(role="assistant", content=text),))


def rollout_of(prompt: Prompt, text: str) -> Rollout:
    return Rollout(
        prompt=prompt, prompt_ids=np.array([1]), ids=np.array([2]), logprobs=np.array([0.0]),
        text=text, finish_reason="stop", policy_version=0, index=0,
    )  # fmt: skip


def test_a_hint_is_added_and_left_out_of_the_row():
    assert with_hint(PROMPT, " ({answer})").content == "2 + 2 = (4)"
    chat = PROMPT.model_copy(update={"content": (Message(role="user", content="2 + 2?"),)})
    assert with_hint(chat, "It is {answer}.").content[0].content == "2 + 2?\nIt is 4."
    with pytest.raises(ValueError, match="p: hint: 'solution' is no column of its row"):
        with_hint(PROMPT, "{solution}")


def test_only_prompts_without_a_right_response_are_asked_with_the_hint(monkeypatch):
    asked: list[tuple[str, bool]] = []

    def ask(self, prompts, *, hinted) -> Iterator:
        asked.extend((p.content, hinted) for p in prompts)
        right = {"easy": 1.0, "hard": 0.0}
        return [[Candidate("t", 1.0 if hinted else right[p.id], None, hinted)] for p in prompts]

    monkeypatch.setattr(Gathering, "_ask", ask)
    unused = dict.fromkeys(("sampler", "renderer", "scorer", "params"))
    gathering = Gathering(num_generations=1, hint="!", **unused)  # pyright: ignore
    prompts = [PROMPT.model_copy(update={"id": name}) for name in ("easy", "hard")]
    found = gathering.gather(prompts)
    assert asked == [("2 + 2 =", False), ("2 + 2 =", False), ("2 + 2 =!", True)]
    assert [len(same) for same in found] == [1, 2]
    star = config(select="correct")
    assert [c.hinted for c in kept(star, PROMPT, found[1])] == [True]


def test_the_stages_of_a_round_read_each_other(polite: tuple[str, str], tmp_path: Path):
    sft, data = polite
    options = {"model": sft, "dataset": data, "reward_function": "tests.small:count_of_e", **SHORT}
    found = run_stage("sample", tmp_path / "best", **options)
    chosen = load_demonstrations(str(found.path / "selected.jsonl"))
    assert len(chosen) == found.metrics["prompts_selected"] == found.metrics["selected"]
    rows = rows_of_file(found.path / "responses.jsonl")
    for row in rows_of_file(found.path / "selected.jsonl"):
        scores = [
            r["score"]
            for same in rows
            for r in same["responses"]
            if "unusable" not in r and r["text"] == row["completion"][0]["content"]
        ]
        assert row["score"] in scores
    means = [r["score"] for same in rows for r in same["responses"]]
    assert np.mean([c.prompt.columns["score"] for c in chosen]) > np.mean(means)
    pairs = run_stage("sample", tmp_path / "pairs", select="all", write="pairs", **options)
    judged = load_judged(str(pairs.path / "selected.jsonl"))
    assert all(j.preferences for j in judged)
    ratings = run_stage(
        "sample", tmp_path / "ratings", select="all", write="ratings", threshold=0.05, **options
    )
    assert any(j.ratings for j in load_judged(str(ratings.path / "selected.jsonl")))


def test_a_round_of_raft_raises_the_score(polite: tuple[str, str], tmp_path: Path):
    sft, data = polite
    scored = {"dataset": data, "reward_function": "tests.test_sample:length_over_40"}
    found = run_stage("sample", tmp_path / "sample", model=sft, **scored, **SHORT)
    tuned = run_stage(
        "sft", tmp_path / "tuned", model=sft, dataset=str(found.path / "selected.jsonl"),
        learning_rate=3e-3, batch_size=4, num_train_epochs=4,
    )  # fmt: skip
    after = run_stage("sample", tmp_path / "after", model=str(tuned.path), **scored, **SHORT)
    assert after.metrics["mean_score"] > found.metrics["mean_score"] + 0.02


def test_a_cut_changes_nothing(polite: tuple[str, str], tmp_path: Path, monkeypatch):
    sft, data = polite
    options = {"model": sft, "dataset": data, "reward_function": "tests.small:count_of_e", **SHORT}
    options |= {"select": "rso", "rso_beta": 0.05, "rso_keep": 2}
    straight = run_stage("sample", tmp_path / "straight", **options)
    resumed, rounds = cut_and_resumed(tmp_path / "cut", monkeypatch, options)
    assert rounds == 4, "what was saved was sampled again"
    assert resumed.record["files"] == straight.record["files"]
    assert resumed.metrics == straight.metrics


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"reward_function": None}, "exactly one must be given"),
        ({"select": "all"}, "nothing is scored"),
        ({"select": "threshold"}, "threshold: needed"),
        ({"threshold": 1.0}, "threshold: read by"),
        ({"select": "rso", "rso_beta": 1.0}, "rso_beta and rso_keep: needed"),
        ({"rso_keep": 2}, "rso_beta and rso_keep: read by"),
        ({"pairing": "neighbours"}, "pairing: read by write=pairs only"),
        ({"write": "pairs"}, "makes no pair"),
        ({"hint": "{answer}"}, "hint: read by select=correct only"),
    ],
)
def test_what_does_not_apply_is_refused(options: dict, fault: str):
    with pytest.raises(ValueError, match=fault):
        config(**options)
