"""Process rewards: where steps end, what is learned there, and what a scorer says of them.

Shapes: N policy tokens of a response, X steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from plaudit.models import SeparateRoles, save_model
from plaudit.records import Invalid, Message, Prompt, Rollout, Score, SteppedResponse
from plaudit.scoring import Process, ProcessScorer, open_reward_model
from plaudit.scoring.process import read_process
from plaudit.stages.process import weighed
from plaudit.text import Renderer, load_tokenizer, step_ends, stepped_trees
from tests.small import run_stage, small_checkpoint, write_rows
from tests.tiny import tiny_scalar_model


@pytest.fixture(scope="module")
def renderer(coffee_tokenizer) -> Renderer:
    return Renderer(coffee_tokenizer, (coffee_tokenizer.eos_token_id,))


def encoded(renderer: Renderer, text: str, *, stop: bool = True) -> np.ndarray:
    ids = renderer.response("ask\n", text).ids
    return ids if stop else ids[:-1]


def ended(renderer: Renderer, ids: np.ndarray, separator: str = "\n") -> list[str]:
    """The text of each step, as its tokens have it."""
    ends = step_ends(ids, renderer, separator)
    starts = [0, *(ends[:-1] + 1)]
    tokenizer = renderer.tokenizer
    return [tokenizer.decode(ids[a : b + 1], skip_special_tokens=True)
            for a, b in zip(starts, ends, strict=True)]  # fmt: skip


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("one tea", ["one tea"]),
        ("3 + 4 = 7\n7 + 5 = 12", ["3 + 4 = 7\n", "7 + 5 = 12"]),
        ("a latté\n\nand é\n", ["a latté\n", "\nand é\n"]),
        ("\na\n \nb\n\n", ["\na\n", " \nb\n"]),
    ],
)
def test_steps_end_with_their_separator_or_the_response(
    renderer: Renderer, text: str, steps: list[str], stop: bool
):
    ids = encoded(renderer, text, stop=stop)
    assert ended(renderer, ids) == steps
    if stop and not text.endswith("\n"):
        assert step_ends(ids, renderer, "\n")[-1] == len(ids) - 1


def test_longer_separators_and_nothing_written(renderer: Renderer):
    ids = encoded(renderer, "one\ntwo\n\nthree")
    assert ended(renderer, ids, "\n\n") == ["one\ntwo\n\n", "three"]
    assert len(step_ends(encoded(renderer, " \n\n"), renderer, "\n")) == 0
    assert len(step_ends(encoded(renderer, ""), renderer, "\n")) == 0


def stepped(*steps: str, labels: tuple[bool, ...], content: object = "ask\n", **more):
    prompt = Prompt(id="p", conversation="p", content=content)  # type: ignore[arg-type]
    return SteppedResponse(prompt=prompt, steps=steps, labels=labels, **more)


@pytest.mark.parametrize("content", ["ask\n", (Message(role="user", content="ask"),)])
def test_labels_stand_at_the_ends_of_steps(renderer: Renderer, content):
    one = stepped("a cup", "two cups", "tea", labels=(True, False, False), content=content)
    tree = next(stepped_trees([one], renderer, "\n"))
    at = np.flatnonzero(tree.token["step_end"])
    assert tree.token["right"][at].tolist() == [1, 0, 0]
    ids_N = tree.branches[0].ids[tree.branches[0].mask]
    np.testing.assert_array_equal(at, step_ends(ids_N, renderer, "\n"))
    soft = stepped("a cup", "tea", labels=(True, False), probabilities=(0.75, 0.125))
    tree = next(stepped_trees([soft], renderer, "\n"))
    assert tree.token["right"][tree.token["step_end"] > 0].tolist() == [0.75, 0.125]


@pytest.mark.parametrize(
    ("step", "message"),
    [("a\nb", r"p: step 2 holds the separator '\\n'"), (" ", "step 2 is blank")],
)
def test_steps_that_cannot_be_told_apart_are_refused(renderer: Renderer, step: str, message: str):
    with pytest.raises(ValueError, match=message):
        next(stepped_trees([stepped("x", step, labels=(True, True))], renderer, "\n"))


def test_every_step_of_an_update_weighs_the_same(renderer: Renderer):
    answers = [stepped("a", "b", labels=(True, True)), stepped("c", labels=(True,))]
    trees = list(stepped_trees(answers, renderer, "\n"))
    weights = np.concatenate([tree.token["weight"] for tree in weighed(trees)])
    assert weights[weights > 0].tolist() == pytest.approx([1 / 3] * 3)


def rollouts(renderer: Renderer, texts: list[str]) -> list[Rollout]:
    prompt = Prompt(id="p", conversation="p", content="ask\n")
    return [
        Rollout(
            prompt=prompt,
            prompt_ids=renderer.prompt(prompt.content),
            ids=(ids := encoded(renderer, text)),
            logprobs=np.zeros(len(ids), np.float32),
            text=text,
            finish_reason="stop",
            policy_version=0,
            index=k,
        )
        for k, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def process_model(coffee_tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("process")
    model = tiny_scalar_model(seed=4)
    model.resize_token_embeddings(len(coffee_tokenizer))
    save_model(model, coffee_tokenizer, path)
    Process(separator="\n", aggregate="product", mean=0.25, std=0.5).write(path)
    return path


def test_a_process_scorer_reads_the_models_own_numbers(
    process_model: Path, coffee_tokenizer, renderer: Renderer
):
    asked = rollouts(renderer, ["one\ntwo\nthree", " \n", "four"])
    options = {"policy_tokenizer": coffee_tokenizer, "precision": "float32"}
    found = open_reward_model(str(process_model), standardised=False, **options).score(asked)
    assert found[1] == Invalid(reason="the response has no steps")
    plain = AutoModelForSequenceClassification.from_pretrained(process_model)
    for rollout, score in ((asked[0], found[0]), (asked[2], found[2])):
        assert isinstance(score, Score)
        ids = np.concatenate([rollout.prompt_ids, rollout.ids])
        with torch.no_grad():
            hidden = plain.base_model(torch.as_tensor(ids)[None].long()).last_hidden_state
            all_N = plain.score(hidden)[0, len(rollout.prompt_ids) :, 0].sigmoid()
        places = [place for place, _ in score.steps]
        assert places == step_ends(rollout.ids, renderer, "\n").tolist()
        assert [p for _, p in score.steps] == pytest.approx(all_N[places].tolist(), abs=1e-5)
        assert score.value == pytest.approx(float(all_N[places].prod()), abs=1e-5)
        assert score.parts["steps"] == len(places)
    standard = open_reward_model(str(process_model), standardised=True, **options).score(asked)
    assert isinstance(standard[0], Score) and isinstance(found[0], Score)
    assert standard[0].value == pytest.approx((found[0].value - 0.25) / 0.5, abs=1e-6)


def test_numbers_that_are_not_finite_are_invalid(renderer: Renderer, coffee_tokenizer):
    model = tiny_scalar_model()
    model.resize_token_embeddings(len(coffee_tokenizer))
    model.score.weight.data.fill_(np.nan)
    process = Process(separator="\n", aggregate="min")
    scorer = ProcessScorer(SeparateRoles({"reward": model}, trained=[]), process, renderer)
    (found,) = scorer.score(rollouts(renderer, ["one"]))
    assert found == Invalid(reason="the reward model's score is not finite")


@pytest.mark.parametrize("content", ["{", '{"separator": "", "aggregate": "min"}',
                                     '{"separator": "x", "aggregate": "max"}', "[]"])  # fmt: skip
def test_a_damaged_description_is_refused(content: str, tmp_path: Path):
    (tmp_path / "process.json").write_text(content)
    with pytest.raises(ValueError, match=r"process\.json: expected separator and aggregate"):
        read_process(tmp_path)


def trace_rows(count: int = 64) -> list[dict]:
    """Solutions in two or three steps, of which some say "no": wrong from there on."""
    drinks = ["latte", "mocha", "tea", "espresso"]
    rows = []
    for i in range(count):
        steps = [f"sure {drinks[(i + j) % 4]}" for j in range(2 + i % 2)]
        first = i % 4 if i % 4 < len(steps) else len(steps)
        steps[first:] = [f"no {step[5:]}" for step in steps[first:]]
        labels = [j < first for j in range(len(steps))]
        rows.append({"prompt": f"order {i}\n", "completions": steps, "labels": labels})
    return rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("data") / "steps.jsonl", trace_rows())


OPTIONS = {"portion": [0.0, 0.6], "eval_portion": [0.6, 1.0], "learning_rate": 3e-3,
           "batch_size": 8, "num_train_epochs": 6}  # fmt: skip


def test_the_process_stage_learns_steps_and_its_model_scores_them(
    base: str, traces: str, tmp_path: Path
):
    artifact = run_stage("process", tmp_path / "process", model=base, dataset=traces, **OPTIONS)
    held_out = artifact.metrics["held_out"]
    assert held_out["step_accuracy"]["model"][1] > 0.95 > held_out["step_accuracy"]["majority"][2]
    assert held_out["first_error_found"][1] > 0.9 and held_out["response_auc"][1] > 0.95
    text = (artifact.path / "held_out.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert all(len(row["labels"]) == len(row["probabilities"]) for row in rows)
    tokenizer = load_tokenizer(str(artifact.path / "model"))
    renderer = Renderer(tokenizer, (tokenizer.eos_token_id,))
    scorer = open_reward_model(
        str(artifact.path), policy_tokenizer=tokenizer, precision="float32", standardised=False
    )
    good, bad = scorer.score(rollouts(renderer, ["sure latte\nsure tea", "sure latte\nno tea"]))
    assert isinstance(good, Score) and isinstance(bad, Score)
    assert good.value > 0.5 > bad.value and bad.steps[0][1] > 0.5
    assert bad.value == min(p for _, p in bad.steps)


def test_the_outcome_alone_makes_a_plain_reward_model(base: str, traces: str, tmp_path: Path):
    artifact = run_stage(
        "process", tmp_path / "outcome", model=base, dataset=traces, supervision="outcome",
        **OPTIONS,
    )  # fmt: skip
    held_out = artifact.metrics["held_out"]
    assert held_out["steps"] == held_out["responses"]
    assert held_out["response_auc"][1] > 0.9
    assert not (artifact.path / "model" / "process.json").exists()
    assert json.loads((artifact.path / "model" / "reward.json").read_text())["std"] > 0
