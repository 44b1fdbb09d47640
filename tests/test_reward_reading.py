"""Reward models as rewards: of other tokenizers, under rules, several as one."""

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
from plaudit.scoring.reading import read_text, with_rule
from plaudit.text import Renderer, train_tokenizer
from tests.scored import opened, rollout, small_renderer, values
from tests.small import polite_pairs, run_stage, small_checkpoint, write_rows
from tests.tiny import tiny_scalar_model


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
    asked = [rollout("what? ", text, policy) for text in ("a latte", "cup " * 200, "milk")]
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
