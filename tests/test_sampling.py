"""Sampling: the same seed gives the same text, with the learner's own log-probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GptOssConfig, GptOssForCausalLM

import plaudit.sampling.pace as pacing
from plaudit.models import SeparateRoles, collate
from plaudit.records import Prompt, Rollout
from plaudit.sampling import (
    LocalSampler,
    SamplingParams,
    Start,
    choose_tokens,
    filter_logprobs,
)
from plaudit.sampling.attention import can_be_packed, sampling_attention
from plaudit.sampling.pages import PAGE_TOKENS, WORTH_FILLING
from plaudit.text import Tokens, Tree
from tests.tiny import BRANCHING, FAMILIES, tiny_language_model


class DigitRenderer:
    """Stands at the tokenizer's border: a prompt's text is its token ids."""

    stop_ids = (2, 7)

    def prompt(self, content: str) -> np.ndarray:
        return np.array([int(x) for x in content.split()], dtype=np.int32)

    def text(self, ids: np.ndarray) -> str:
        return " ".join(map(str, ids))


def prompts(lengths=(3, 9, 1, 6, 4)) -> list[Prompt]:
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(3, 60, n))) for n in lengths]
    return [Prompt(id=f"p{i}", conversation=f"p{i}", content=t) for i, t in enumerate(texts)]


def sampler(family: str = "llama", slots: int = 8, **options) -> LocalSampler:
    return LocalSampler(tiny_language_model(family), DigitRenderer(), slots=slots, **options)  # pyright: ignore[reportArgumentType]


PARAMS = SamplingParams(max_tokens=12, seed=3)
LONG = SamplingParams(max_tokens=PAGE_TOKENS + 20, seed=3)
"""Pages are taken while others are given up."""


def tree_of(rollout: Rollout) -> Tree:
    tokens = Tokens(ids=rollout.ids, mask=np.ones(len(rollout.ids), bool))
    return Tree(id=rollout.prompt.id, prompt_P=rollout.prompt_ids, branches=(tokens,))


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_equal_the_learners(family: str):
    assert_learned_alike(family, sampler(family).sample(prompts(), 3, PARAMS))


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt2"])
def test_long_responses_have_the_learners_logprobs(family: str):
    rollouts = sampler(family, slots=24).sample(prompts(), 5, LONG)
    lengths = [len(r.ids) for r in rollouts]
    assert max(lengths) > PAGE_TOKENS
    assert sum(n < PAGE_TOKENS for n in lengths) > WORTH_FILLING * len(lengths)
    assert_learned_alike(family, rollouts)


def assert_learned_alike(family: str, rollouts: list[Rollout]) -> None:
    roles = SeparateRoles({"policy": tiny_language_model(family)}, trained=[])
    batch = collate([tree_of(r) for r in rollouts], layout=roles.layout)
    learned = roles.outputs(batch, ["policy.logprobs"], temperature=1.0)["policy.logprobs"]
    sampled = np.concatenate([r.logprobs for r in rollouts])
    assert len(sampled) > 100
    np.testing.assert_allclose(sampled, learned.numpy(), atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma3", "mistral", "opt"])
def test_a_response_does_not_depend_on_what_else_is_in_the_batch(family: str):
    together = sampler(family, slots=32).sample(prompts(), 4, PARAMS)
    crowded = sampler(family, slots=3, prefill_tokens=8).sample(prompts(), 4, PARAMS)
    alone = [r for p in prompts() for r in sampler(family, slots=1).sample([p], 4, PARAMS)]
    for a, b, c in zip(together, crowded, alone, strict=True):
        assert (a.prompt.id, a.index) == (b.prompt.id, b.index) == (c.prompt.id, c.index)
        assert a.ids.tolist() == b.ids.tolist() == c.ids.tolist()


@pytest.mark.parametrize("family", BRANCHING)
def test_greedy_equals_transformers_generate(family: str):
    model = tiny_language_model(family)
    greedy = SamplingParams(max_tokens=10, temperature=0)
    for rollout in sampler(family).sample(prompts(), 1, greedy):
        ids = torch.as_tensor(rollout.prompt_ids)[None].long()
        expected = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=10,
            do_sample=False,
            eos_token_id=[2, 7],
            pad_token_id=0,
        )[0, ids.shape[1] :]
        assert rollout.ids.tolist() == expected.tolist()[: len(rollout.ids)]


def test_a_response_ends_at_any_stop_token_or_at_the_limit():
    rollouts = sampler().sample(prompts(), 16, PARAMS)
    reasons = {r.finish_reason for r in rollouts}
    assert reasons == {"stop", "length"}
    last = {int(r.ids[-1]) for r in rollouts if r.finish_reason == "stop"}
    assert last == {2, 7}
    for r in rollouts:
        assert not np.isin(r.ids[:-1], [2, 7]).any()
        assert len(r.ids) == 12 or r.finish_reason == "stop"


def test_seeds_and_versions():
    engine = sampler()
    first = engine.sample(prompts(), 2, PARAMS)
    again = engine.sample(prompts(), 2, PARAMS)
    assert [r.ids.tolist() for r in first] == [r.ids.tolist() for r in again]
    other = engine.sample(prompts(), 2, SamplingParams(max_tokens=12, seed=4))
    assert [r.ids.tolist() for r in first] != [r.ids.tolist() for r in other]
    assert {r.policy_version for r in first} == {0}
    changed = {n: p * 0 for n, p in engine._model.named_parameters() if n == "lm_head.weight"}
    engine.load(changed, version=5)
    flat = engine.sample(prompts(), 2, PARAMS)
    assert {r.policy_version for r in flat} == {5}
    np.testing.assert_allclose(flat[0].logprobs, -np.log(64), rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_model_is_left_as_it_was(family: str):
    engine = sampler(family)
    usual = engine._model.config._attn_implementation
    engine.sample(prompts(), 2, PARAMS)
    assert engine._model.config._attn_implementation == usual
    with pytest.raises(RuntimeError, match="stopped"), sampling_attention(engine._model):
        raise RuntimeError("stopped")
    assert engine._model.config._attn_implementation == usual


@pytest.mark.parametrize("family", BRANCHING)
def test_prompts_are_packed_in_every_family_of_plain_attention(family: str):
    assert can_be_packed(tiny_language_model(family))


def test_attention_with_sinks_is_left_to_transformers():
    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_local_experts=2,
        num_experts_per_tok=1, sliding_window=6, max_position_embeddings=128,
    )  # fmt: skip
    model = GptOssForCausalLM(config).eval()
    assert not can_be_packed(model)
    greedy = SamplingParams(max_tokens=6, temperature=0)
    for rollout in LocalSampler(model, DigitRenderer()).sample(prompts(), 1, greedy):  # pyright: ignore[reportArgumentType]
        ids = torch.as_tensor(np.concatenate([rollout.prompt_ids, rollout.ids]))[None].long()
        following = model(ids).logits[0, len(rollout.prompt_ids) - 1 : -1].argmax(-1)
        assert rollout.ids.tolist() == following.tolist()


def test_continuations_of_unequal_limits_and_numbers():
    engine = sampler(slots=7)
    starts = [
        Start(name=p.id, ids=DigitRenderer().prompt(p.content), indices=range(n), max_tokens=m)  # pyright: ignore[reportArgumentType]
        for p, n, m in zip(prompts(), (1, 9, 2, 2, 3), (40, 2, 35, 1, 7), strict=True)
    ]
    found = iter(engine.go_on(starts, PARAMS))
    for start in starts:
        alone = sampler().go_on([start], PARAMS)
        for expected in alone:
            one = next(found)
            assert one.ids.tolist() == expected.ids.tolist()
            assert len(one.ids) <= start.max_tokens
            assert one.finish_reason == expected.finish_reason


def test_longer_prompts_may_come_later():
    engine = sampler()
    engine.sample(prompts((3,)), 2, PARAMS)
    long = engine.sample(prompts((40,)), 2, PARAMS)
    fresh = sampler().sample(prompts((40,)), 2, PARAMS)
    assert [r.ids.tolist() for r in long] == [r.ids.tolist() for r in fresh]


def test_a_prompt_without_room_is_refused():
    with pytest.raises(ValueError, match=r"p0 has 120 tokens.*context of 128"):
        sampler().sample(prompts((120,)), 1, PARAMS)


def test_draws_follow_the_distribution():
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0]])
    draws = 20_000
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(0))
    params = SamplingParams(max_tokens=1, temperature=0.7)
    token, logprob = choose_tokens(logits.expand(draws, -1), uniform, params)
    expected = (logits[0] / 0.7).softmax(-1)
    found = torch.bincount(token, minlength=4) / draws
    assert (found - expected).abs().max() < 4 * (0.25 / draws) ** 0.5
    torch.testing.assert_close(logprob.exp(), expected[token])


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 500])
def test_a_token_is_where_the_cumulative_probability_passes_the_number(vocabulary: int):
    rng = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(2000, vocabulary, generator=rng)
    uniform = torch.rand(2000, generator=rng, dtype=torch.double)
    params = SamplingParams(max_tokens=1, temperature=1.3)
    token, _ = choose_tokens(logits, uniform, params)
    ends = (logits.double() / 1.3).softmax(-1).cumsum(-1)
    begins = torch.nn.functional.pad(ends, (1, 0))
    rounding = 1e-6
    assert (ends.gather(1, token[:, None])[:, 0] > uniform - rounding).all()
    assert (begins.gather(1, token[:, None])[:, 0] < uniform + rounding).all()


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 1e-12])
def test_the_ends_of_the_unit_interval_draw_possible_tokens(uniform: float):
    logits = torch.full((1, 1000), -torch.inf)
    logits[0, [10, 700]] = 1.0
    uniform_B = torch.tensor([uniform], dtype=torch.float64)
    token, _ = choose_tokens(logits, uniform_B, SamplingParams(max_tokens=1))
    assert int(token) == (10 if uniform < 0.5 else 700)


def kept(**filters) -> list[int]:
    logprobs = torch.tensor([[0.5, 0.2, 0.15, 0.1, 0.05]]).log()
    filtered = filter_logprobs(logprobs, SamplingParams(max_tokens=1, **filters))
    return torch.isfinite(filtered)[0].nonzero()[:, 0].tolist()


def test_filters():
    assert kept(top_k=2) == [0, 1]
    assert kept(top_p=0.5) == [0]
    assert kept(top_p=0.51) == [0, 1]
    assert kept(top_p=0.99) == [0, 1, 2, 3, 4]
    assert kept(min_p=0.25) == [0, 1, 2]
    assert kept(top_k=3, min_p=0.35) == [0, 1]
    assert kept(top_p=0.01) == [0]


def test_filters_never_change_the_recorded_logprobs():
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(0))
    uniform = torch.rand(50, generator=torch.Generator().manual_seed(1))
    params = SamplingParams(max_tokens=1, top_k=3)
    token, logprob = choose_tokens(logits, uniform, params)
    torch.testing.assert_close(logprob, logits.log_softmax(-1).gather(-1, token[:, None])[:, 0])
    assert (token[:, None] == logits.topk(3).indices).any(-1).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", 0), ("temperature", -1.0), ("top_p", 0.0), ("top_k", -1), ("min_p", 1.0)],
)
def test_parameters_out_of_range_are_refused(field: str, value: float):
    with pytest.raises(ValueError, match=field):
        SamplingParams(**{"max_tokens": 4, field: value})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_a_long_call_gives_signs_of_life_and_a_short_one_none(
    family: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "plaudit")
    sampler(family).sample(prompts(), 3, PARAMS)
    assert "sampling" not in caplog.text
    monkeypatch.setattr(pacing, "SECONDS_BETWEEN_SIGNS", 0.0)
    sampler(family, slots=4).sample(prompts(), 3, PARAMS)
    signs = [message for message in caplog.messages if message.startswith("sampling")]
    assert signs[0] == "sampling: 0 of 15 responses"
    assert " of 15 responses, about " in signs[-1]
