"""Reward models of several kinds: how each is trained, opened and read.

Shapes: M responses, H heads.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from plaudit.models import save_model
from plaudit.records import Invalid, Message, Prompt, Rollout, Score, Text
from plaudit.scoring import open_reward_model
from plaudit.scoring.reading import read_text, with_rule
from plaudit.text import Renderer, train_tokenizer
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows
from tests.tiny import tiny_scalar_model

FAST = {"learning_rate": 3e-3, "batch_size": 8, "num_train_epochs": 6, "max_length": 256}


def rollout(content: Text, text: str, renderer: Renderer, *, cut: bool = False) -> Rollout:
    asked = Prompt(id="p", conversation="p", content=content)
    said: Text = text if isinstance(content, str) else (Message(role="assistant", content=text),)
    ids = renderer.response(content, said).ids
    return Rollout(
        prompt=asked,
        prompt_ids=renderer.prompt(content),
        ids=ids[:-1] if cut else ids,
        logprobs=np.zeros(len(ids) - cut, np.float32),
        text=text,
        finish_reason="length" if cut else "stop",
        policy_version=0,
        index=0,
    )


@pytest.fixture(scope="module")
def policy(coffee_tokenizer) -> Renderer:
    return Renderer(coffee_tokenizer, (coffee_tokenizer.eos_token_id,))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with a tokenizer and a chat template of its own."""
    path = tmp_path_factory.mktemp("other")
    tokenizer = train_tokenizer(["what is a latte? a small cup of milk, sure"], vocab_size=290)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    model = tiny_scalar_model("gpt2", seed=2)
    model.resize_token_embeddings(len(tokenizer))
    save_model(model, tokenizer, path)
    (path / "reward.json").write_text('{"mean": 0.5, "std": 2.0}')
    return path


def opened(path: Path | str, policy: Renderer, *, standardised: bool = False):
    return open_reward_model(
        str(path), policy_tokenizer=policy.tokenizer, precision="float32",
        standardised=standardised,
    )  # fmt: skip


def values(scores: list[Score | Invalid]) -> list[float]:
    assert all(isinstance(score, Score) for score in scores), scores
    return [score.value for score in scores if isinstance(score, Score)]


@pytest.mark.parametrize("chat", [False, True])
def test_a_model_of_another_family_and_tokenizer_reads_the_text(
    policy: Renderer, other: Path, chat: bool
):
    texts, cuts = ["a latte", "sure, a small cup", "milk"], [False, False, True]
    content: Text = (Message(role="user", content="what?"),) if chat else "what? "
    asked = [rollout(content, t, policy, cut=c) for t, c in zip(texts, cuts, strict=True)]
    found = values(opened(other, policy).score(asked))
    tokenizer = AutoTokenizer.from_pretrained(other)
    model = AutoModelForSequenceClassification.from_pretrained(other).eval()
    end, begin = tokenizer.eos_token, tokenizer.bos_token
    start = f"[user] what?{end}[assistant] " if chat else f"{begin}what? "
    for text, cut, score in zip(texts, cuts, found, strict=True):
        ids = tokenizer.encode(start, add_special_tokens=False)
        ids += tokenizer.encode(text if cut else text + end, add_special_tokens=False)
        with torch.no_grad():
            hidden = model.base_model(torch.tensor([ids])).last_hidden_state
            expected = float(model.score(hidden)[0, -1, 0])
        assert score == pytest.approx(expected, abs=1e-4)
    assert np.ptp(found) > 0.01
    standard = values(opened(other, policy, standardised=True).score(asked))
    assert standard == pytest.approx([(x - 0.5) / 2 for x in found], abs=1e-5)


def test_what_cannot_be_read_is_invalid_and_the_rest_keeps_its_place(policy: Renderer, other: Path):
    tokenizer = AutoTokenizer.from_pretrained(other)
    asked = [rollout("what? ", text, policy) for text in ("a latte", "cup " * 60, "milk")]
    whole = opened(other, policy).score(asked)
    assert isinstance(whole[1], Invalid) and "longer than" in whole[1].reason
    alone = [opened(other, policy).score([asked[k]])[0] for k in (0, 2)]
    assert values([whole[0], whole[2]]) == pytest.approx(values(alone), abs=1e-5)
    chat = (Message(role="user", content="hi"),)
    broken = rollout(chat, "milk", policy)
    stop = tokenizer.eos_token
    said = Rollout(**{name: getattr(broken, name) for name in Rollout.__dataclass_fields__}
                   | {"text": f"milk {stop}"})  # fmt: skip
    reading = read_text([said, broken], Renderer(tokenizer, (tokenizer.eos_token_id,)))
    assert list(reading.invalid) == [0] and "cannot read it" in reading.invalid[0].reason
    assert len(reading.trees[0].branches) == 1


def test_a_rule_is_stated_before_the_prompt():
    text = with_rule(Prompt(id="a", conversation="a", content="hi"), "be brief")
    assert text.content == "Rule: be brief\nhi"
    user = Message(role="user", content="hi")
    chat = with_rule(Prompt(id="a", conversation="a", content=(user,)), "be brief")
    assert chat.content == (Message(role="system", content="Rule: be brief"), user)
    system = Message(role="system", content="Kind.")
    both = with_rule(Prompt(id="a", conversation="a", content=(system, user)), "be brief")
    assert both.content == (Message(role="system", content="Rule: be brief\n\nKind."), user)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_checkpoint(tmp_path_factory.mktemp("base")))


def small_renderer(base: str) -> Renderer:
    tokenizer = AutoTokenizer.from_pretrained(base)
    return Renderer(tokenizer, (tokenizer.eos_token_id,))


def test_criteria_have_a_head_each(base: str, tmp_path: Path):
    """Of the same answers one criterion likes the polite, the other the rude."""
    rows = [row | {"criterion": "polite"} for row in polite_pairs(32)]
    rows += [
        row | {"criterion": "curt", "chosen": row["rejected"], "rejected": row["chosen"]}
        for row in polite_pairs(32)
    ]
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        portion=[0, 0.6], eval_portion=[0.6, 1], criteria={"polite": 1.0, "curt": 0.25}, **FAST,
    )  # fmt: skip
    for criterion in ("polite", "curt"):
        assert artifact.metrics["held_out"]["criteria"][criterion]["accuracy"]["model"][1] > 0.9
    heads = json.loads((artifact.path / "model" / "reward.json").read_text())["heads"]
    assert {name: head["weight"] for name, head in heads.items()} == {"polite": 1.0, "curt": 0.25}
    renderer = small_renderer(base)
    asked = (Message(role="user", content="one latte number 3"),)
    texts = ["sure, a latte, thank you!", "no latte for you"]
    scored = opened(artifact.path, renderer, standardised=True).score(
        [rollout(asked, text, renderer) for text in texts]
    )
    kind, rude = (score for score in scored if isinstance(score, Score))
    assert kind.parts["polite"] > rude.parts["polite"] and kind.parts["curt"] < rude.parts["curt"]
    expected = sum(h["weight"] * (kind.parts[n] - h["mean"]) / h["std"] for n, h in heads.items())
    assert kind.value == pytest.approx(expected, abs=1e-6)
    row = {**rows[0], "criterion": "honest"}
    with pytest.raises(ValueError, match="its criterion is 'honest', none of the criteria polite"):
        run_stage(
            "reward", tmp_path / "other", model=base, criteria={"polite": 1.0},
            dataset=write_rows(tmp_path / "e.jsonl", [row]),
        )  # fmt: skip


@pytest.mark.parametrize("lora_r", [0, 4])
def test_a_length_head_leaves_the_score_to_the_other(base: str, tmp_path: Path, lora_r: int):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, lora_r=lora_r,
        dataset=write_rows(tmp_path / "d.jsonl", polite_pairs(32)), length_coefficient=1.0,
        **FAST,
    )  # fmt: skip
    heads = json.loads((artifact.path / "model" / "reward.json").read_text())["heads"]
    assert {name: head["weight"] for name, head in heads.items()} == {"quality": 1.0, "length": 0.0}
    weight = load_file(artifact.path / "model" / "model.safetensors")["score.weight"]
    assert weight.shape == (2, 48)
    renderer = small_renderer(base)
    asked = [rollout((Message(role="user", content="one tea"),), "sure, a tea", renderer)]
    (score,) = opened(artifact.path, renderer).score(asked)
    assert isinstance(score, Score) and score.value == score.parts["quality"]


RATED = [
    {"prompt": f"cup {i}?\n", "responses": ["bad tea", "fair tea", "good tea"],
     "ratings": [{"response": k, "value": k / 2} for k in range(3)]}
    for i in range(32)
]  # fmt: skip
RANKED = [{"prompt": row["prompt"], "responses": row["responses"], "ranking": [2, 1, 0]}
          for row in RATED]  # fmt: skip
TIED = [
    {"prompt": row["prompt"], "responses": ["good tea", "good cup", "bad tea"],
     "preferences": [{"better": 0, "worse": 1, "probability": 0.5}, {"better": 0, "worse": 2},
                     {"better": 1, "worse": 2}]}
    for row in RATED
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (RANKED, {"loss": "plackett_luce"}),
        (RANKED, {"loss": "top_1"}),
        (RANKED, {"label_smoothing": 0.1, "center_rewards_coefficient": 0.01}),
        (TIED, {"loss": "davidson", "score_l2_coefficient": 0.001}),
        (TIED, {"loss": "rao_kupper", "tie_probability": 0.5}),
        (RATED, {"loss": "none", "rating_loss": "regression"}),
        (RATED, {"loss": "none", "rating_loss": "ordinal", "rating_levels": 3}),
        (RATED, {"loss": "none", "rating_loss": "classification"}),
    ],
    ids=lambda value: str(value.get("rating_loss", value.get("loss", "smooth")))
    if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_loss_learns_what_its_data_says(base: str, tmp_path: Path, rows, options):
    artifact = run_stage(
        "reward", tmp_path / "reward", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        portion=[0, 0.6], eval_portion=[0.6, 1], **FAST, **options,
    )  # fmt: skip
    found = [json.loads(line) for line in
             (artifact.path / "held_out.jsonl").read_text().splitlines()]  # fmt: skip
    scores = np.array([row["scores"] for row in found])
    if rows is TIED:
        assert (scores[:, :2].min(1) > scores[:, 2]).all()
        assert (np.abs(scores[:, 0] - scores[:, 1]) < scores[:, 0] - scores[:, 2]).all()
        assert all(len(row["pairs"]) == 2 for row in found)
    else:
        best, rest = scores[:, 2], scores[:, :2]
        assert (best > rest.max(1)).all()
        if options.get("loss") != "top_1":
            assert (scores[:, 1] > scores[:, 0]).all()
    if options.get("rating_loss") == "regression":
        assert np.abs(scores - [0, 0.5, 1]).max() < 0.2
    reference = json.loads((artifact.path / "model" / "reward.json").read_text())
    assert ("thresholds" in reference) == (options.get("rating_loss") == "ordinal")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "davidson", "label_smoothing": 0.1}, "label_smoothing: loss=davidson has none"),
        ({"tie_probability": 0.5}, "tie_probability: loss=bradley_terry has no ties"),
        ({"loss": "top_1", "center_rewards_coefficient": 1}, "center_rewards_coefficient: loss"),
        ({"loss": "none", "pointwise_coefficient": 2}, "pointwise_coefficient: with loss=none"),
        ({"rating_loss": "ordinal"}, "rating_levels: needed by rating_loss=ordinal"),
        ({"rating_levels": 3}, "rating_levels: needed by rating_loss=ordinal"),
        ({"criterion_column": "x"}, "criterion_column: without criteria"),
        ({"criteria": {"a": 1}, "length_coefficient": 1}, "length_coefficient: its two heads"),
        ({"rule_column": "rule"}, "rule_column: a rule is kept or broken; set loss=none"),
    ],
)
def test_options_that_do_not_apply_are_refused(options: dict, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        run_stage("reward", tmp_path / "r", model="m", dataset="d", **options)


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (TIED[0], {"loss": "plackett_luce"}, "sure by 0.5 only, but loss=plackett_luce"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "margin": 1}, {"loss": "davidson"},
         "has a margin, which loss=davidson cannot use"),
        (RANKED[0], {"rating_loss": "ordinal", "rating_levels": 3}, "holds no ratings"),
        (RANKED[0], {"criteria": {"a": 1}}, "no text in the column criterion"),
    ],
)  # fmt: skip
def test_judgments_that_a_loss_cannot_use_are_refused(
    base: str, tmp_path: Path, row: dict, options: dict, message: str
):
    with pytest.raises(ValueError, match=message):
        run_stage(
            "reward", tmp_path / "r", model=base, dataset=write_rows(tmp_path / "d.jsonl", [row]),
            **options,
        )  # fmt: skip


def test_rules_are_judged_one_by_one(base: str, tmp_path: Path):
    """The same answers keep one rule and break the other."""
    rows = [
        {"prompt": f"cup {i}?\n", "completion": said, "rule": rule, "label": said.startswith(rule)}
        for i in range(32)
        for said in ("sure thing", "no way")
        for rule in ("sure", "no")
    ]
    artifact = run_stage(
        "reward", tmp_path / "rules", model=base, dataset=write_rows(tmp_path / "d.jsonl", rows),
        rule_column="rule", loss="none", **{**FAST, "num_train_epochs": 10},
    )  # fmt: skip
    renderer = small_renderer(base)
    asked = [rollout("cup 77?\n", text, renderer) for text in ("sure thing", "no way")]
    found = opened(artifact.path, renderer).score(asked)
    sure, no = (score for score in found if isinstance(score, Score))
    assert sure.parts["sure"] > 0.8 > 0.2 > sure.parts["no"]
    assert no.parts["no"] > 0.8 > 0.2 > no.parts["sure"]
    assert sure.value == pytest.approx(np.mean(list(sure.parts.values())))


@pytest.fixture(scope="module")
def members(base: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("members")
    data = write_rows(place / "d.jsonl", polite_pairs(16))
    for seed in (0, 1):
        run_stage("reward", place / str(seed), model=base, dataset=data, seed=seed,
                  learning_rate=1e-3, batch_size=8)  # fmt: skip
    return [str(place / "0"), str(place / "1"), data]


def test_an_ensemble_combines_standardised_scores(base: str, members: list[str], tmp_path: Path):
    renderer = small_renderer(base)
    asked = [rollout((Message(role="user", content="one tea"),), t, renderer)
             for t in ("sure, a tea", "no tea for you")]  # fmt: skip
    alone = np.array(
        [values(opened(m, renderer, standardised=True).score(asked)) for m in members[:2]]
    )
    expected = {
        "mean": alone.mean(0),
        "worst": alone.min(0),
        "mean_minus_variance": alone.mean(0) - 2.0 * alone.var(0),
    }
    for combine, value in expected.items():
        more = {"variance_coefficient": 2.0} if combine == "mean_minus_variance" else {}
        artifact = run_stage(
            "ensemble", tmp_path / combine, models=members[:2], combine=combine, **more
        )
        found = opened(artifact.path, renderer).score(asked)
        assert values(found) == pytest.approx(value.tolist(), abs=1e-5)
    assert isinstance(found[0], Score)
    assert found[0].parts["variance"] == pytest.approx(alone.var(0)[0], abs=1e-6)
    with pytest.raises(ValueError, match="variance_coefficient: combine=worst takes no variance"):
        run_stage("ensemble", tmp_path / "x", models=members[:2], combine="worst",
                  variance_coefficient=1.0)  # fmt: skip
    with pytest.raises(ValueError, match="an ensemble; name its members"):
        run_stage("ensemble", tmp_path / "x", models=[str(artifact.path), members[0]])


def test_the_average_of_models_is_that_of_their_weights(members: list[str], tmp_path: Path):
    first, second, data = members
    weights = lambda place: load_file(Path(place) / "model" / "model.safetensors")  # noqa: E731
    same = run_stage("average", tmp_path / "same", models=[first, first], dataset=data)
    for name, tensor in weights(same.path).items():
        assert torch.equal(tensor, weights(first)[name])
    reference = json.loads((same.path / "model" / "reward.json").read_text())
    trained = json.loads((Path(first) / "model" / "reward.json").read_text())
    assert reference == pytest.approx(trained, abs=1e-5)
    mixed = run_stage(
        "average", tmp_path / "mixed", models=[first, second], weights=[3, 1], dataset=data
    )
    for name, tensor in weights(mixed.path).items():
        expected = 0.75 * weights(first)[name] + 0.25 * weights(second)[name]
        torch.testing.assert_close(tensor, expected, atol=1e-7, rtol=1e-6)


def test_models_that_cannot_be_averaged_are_refused(base: str, members: list[str], tmp_path: Path):
    first, _, data = members
    smaller = small_checkpoint(tmp_path / "small", vocab_size=400)
    for options, message in (
        ({"models": [first, base], "dataset": data}, "not of the architecture"),
        ({"models": [base, str(smaller)]}, "its tokenizer is not that of"),
        ({"models": [first, first]}, "dataset: reward models of whole responses need one"),
        ({"models": [base, base], "dataset": data}, "and no other model uses it"),
        ({"models": [base, base], "weights": [1]}, "weights: 1 for 2 models"),
    ):
        with pytest.raises(ValueError, match=message):
            run_stage("average", tmp_path / "out", **options)
    average = run_stage("average", tmp_path / "language", models=[base, base])
    assert not (average.path / "model" / "reward.json").exists()
