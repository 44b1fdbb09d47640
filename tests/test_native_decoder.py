"""Sampling by kernels: the same text, the learner's own log-probabilities, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.models import SeparateRoles, collate, hidden_states
from plaudit.native import library
from plaudit.native.decoder import PAGE_TOKENS, Decoder, is_decodable
from plaudit.native.draw import draw
from plaudit.native.structures import ROW
from plaudit.sampling import (
    LocalSampler,
    SamplingParams,
    Start,
    choose_tokens,
    layers,
    tokens,
)
from tests.test_sampling import DigitRenderer, prompts, tree_of
from tests.tiny import VOCAB, random_tree, tiny_language_model, tiny_scalar_model

pytestmark = pytest.mark.skipif(library() is None, reason="no compiler")
KNOWN = ("llama", "qwen2", "qwen3", "mistral")
IDS = torch.randint(0, VOCAB, (100,), generator=torch.Generator().manual_seed(1)).numpy()
LONG = SamplingParams(max_tokens=PAGE_TOKENS + 9, seed=3)


def model_of(family: str, dtype: torch.dtype = torch.float32, *, head_size: int = 16):
    model = tiny_language_model(family, head_size=head_size).to(dtype)
    model.config.max_position_embeddings = 256
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:  # norms begin at 1 and biases at 0, which would hide them
                p.add_(0.2 * torch.randn(p.shape, generator=generator))
            elif "embed" not in name:
                p.mul_(1.5)
    return model.eval()


def adapted(model, **how):
    """With an adapter that is random, and as large as what it is added to."""
    peft = get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": ["q_proj"], **how}))
    torch.manual_seed(0)
    for name, parameter in peft.named_parameters():
        if ".lora_" in name:
            parameter.data = 0.2 * torch.randn_like(parameter)
    return peft.get_base_model().eval()


def by_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "is_decodable", lambda model: False)


class Endless(DigitRenderer):
    """Every response is as long as it may be."""

    stop_ids = (VOCAB,)


def sampled(model, slots: int, n: int, params: SamplingParams, lengths=(3, 70, 1, 6, 4)):
    renderer = Endless() if params is LONG else DigitRenderer()
    engine = LocalSampler(model, renderer, slots=slots, prefill_tokens=64)  # pyright: ignore[reportArgumentType]
    return engine.sample(prompts(lengths), n, params)


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("family", KNOWN)
def test_the_same_text_as_by_the_models_modules(family, n, monkeypatch):
    model = model_of(family)
    assert is_decodable(model)
    short = SamplingParams(max_tokens=30, seed=3, temperature=0.8)
    ours = sampled(model, 7, n, short)
    by_modules(monkeypatch)
    theirs = sampled(model, 7, n, short)
    assert [r.ids.tolist() for r in ours] == [r.ids.tolist() for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)


@pytest.mark.parametrize("family", KNOWN)
def test_with_an_adapter_too(family, monkeypatch):
    plain = sampled(model_of(family), 7, 2, LONG)
    model = adapted(model_of(family), target_modules="all-linear")
    assert is_decodable(model)
    ours = sampled(model, 7, 2, LONG)
    by_modules(monkeypatch)
    theirs = sampled(model, 7, 2, LONG)
    for a, b, without in zip(ours, theirs, plain, strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
        assert not np.allclose(a.logprobs[0], without.logprobs[0])


def test_an_adapter_that_is_off_or_merged_is_not_added():
    model = adapted(model_of("llama"), target_modules="all-linear")
    layers = [m for m in model.modules() if isinstance(m, LoraLayer)]
    on = logits_of(model, IDS)
    for layer in layers:
        layer.merge()
    torch.testing.assert_close(logits_of(model, IDS), on, atol=1e-4, rtol=1e-4)
    for layer in layers:
        layer.unmerge()
        layer.enable_adapters(False)
    off = logits_of(model, IDS)
    torch.testing.assert_close(off, logits_of(model_of("llama"), IDS), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(off, on, atol=0.1)


@pytest.mark.parametrize("slots", [4, 24])
@pytest.mark.parametrize("family", KNOWN)
def test_long_responses_have_the_learners_logprobs(family: str, slots: int):
    model = model_of(family)
    for n in (1, 6):
        rollouts = sampled(model, slots, n, LONG, lengths=(3, 40, 1))
        assert {len(r.ids) for r in rollouts} == {LONG.max_tokens}
        roles = SeparateRoles({"policy": model}, trained=[])
        batch = collate([tree_of(r) for r in rollouts], layout=roles.layout)
        learned = roles.outputs(batch, ["policy.logprobs"], temperature=1.0)["policy.logprobs"]
        ours = np.concatenate([r.logprobs for r in rollouts])
        np.testing.assert_allclose(ours, learned.numpy(), atol=1e-4)


@pytest.mark.parametrize("n", [1, 4])
def test_a_response_does_not_depend_on_what_else_is_in_the_batch(n: int):
    model = model_of("qwen3")
    together = sampled(model, 32, n, LONG)
    crowded = sampled(model, 4, n, LONG)
    for a, b in zip(together, crowded, strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        assert a.logprobs.tolist() == b.logprobs.tolist()


def test_nor_on_the_number_of_threads():
    model = model_of("llama")
    usual = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(sampled(model, 8, 2, LONG))
    torch.set_num_threads(usual)
    for a, b in zip(*found, strict=True):
        assert a.logprobs.tolist() == b.logprobs.tolist()


@pytest.mark.parametrize("with_adapter", [False, True])
@pytest.mark.parametrize("family", KNOWN)
def test_bfloat16_is_as_near_to_float32_as_the_modules_are(family: str, with_adapter: bool):
    exact, rounded = model_of(family), model_of(family, torch.bfloat16)
    if with_adapter:
        exact, rounded = (adapted(m, target_modules="all-linear") for m in (exact, rounded))
    ids = torch.as_tensor(IDS)[None]
    with torch.inference_mode():
        reference, by_modules = (m(input_ids=ids).logits[0].float() for m in (exact, rounded))
        ours = logits_of(rounded, IDS)
    error, theirs = ((x - reference).square().mean().sqrt() for x in (ours, by_modules))
    assert 0 < error < 1.2 * theirs


def logits_of(model, ids: np.ndarray) -> torch.Tensor:
    decoder = Decoder(model)
    decoder.make_room(4)
    rows = np.zeros(len(ids), ROW)
    rows["token"], rows["parent"], rows["position"] = ids, -1, np.arange(len(ids))
    return decoder.logits(decoder.hidden(rows, np.array([[3, 1]], np.int32)))


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (4, 1), (6, 2), (8, 1), (3, 1)])
def test_any_number_of_queries_shares_a_key(heads: int, keys: int):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=96, intermediate_size=80, num_hidden_layers=2, head_dim=48,
        num_attention_heads=heads, num_key_value_heads=keys,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    ids = np.random.default_rng(0).integers(0, VOCAB, 90)
    with torch.inference_mode():
        expected = model(input_ids=torch.as_tensor(ids)[None]).logits[0]
        torch.testing.assert_close(logits_of(model, ids), expected, atol=1e-5, rtol=1e-4)


def test_what_the_kernels_do_not_know_is_left_to_the_modules():
    assert not is_decodable(tiny_language_model("llama"))  # heads of 8 numbers
    assert not is_decodable(model_of("gemma3"))
    biased = LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, intermediate_size=48, num_attention_heads=4,
        num_hidden_layers=1, mlp_bias=True,
    )  # fmt: skip
    assert not is_decodable(LlamaForCausalLM(biased))
    for how in ({"use_dora": True}, {"lora_bias": True}, {"target_modules": ["embed_tokens"]}):
        assert not is_decodable(adapted(model_of("qwen2"), **how))
    assert is_decodable(adapted(model_of("llama"), lora_dropout=0.1))
    assert not is_decodable(adapted(model_of("llama"), lora_dropout=0.1).train())
    hooked = model_of("llama")
    hooked.model.layers[0].mlp.register_forward_hook(lambda *x: None)
    assert not is_decodable(hooked)


def test_weights_are_taken_as_they_are_at_each_call():
    model = model_of("llama")
    before = sampled(model, 8, 2, LONG)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    after = sampled(model, 8, 2, LONG)
    np.testing.assert_allclose(after[0].logprobs, -np.log(VOCAB), rtol=1e-5)
    assert not np.allclose(before[0].logprobs[:5], -np.log(VOCAB))


@pytest.mark.parametrize("size", [17, 64, 4099])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_drawn_alike(size: int, temperature: float, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    logits_BV = 3 * torch.randn(50, size, generator=generator)
    logits_BV[:, ::3] = -torch.inf
    uniform_B = torch.rand(50, generator=generator, dtype=torch.double)
    ours = draw(logits_BV, uniform_B, temperature)
    monkeypatch.setattr(tokens, "is_drawable", lambda logits: False)
    params = SamplingParams(max_tokens=1, temperature=temperature)
    theirs = choose_tokens(logits_BV, uniform_B, params)
    assert ours[0].tolist() == theirs[0].tolist()
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-5, rtol=1e-5)


def test_only_what_has_mass_is_drawn():
    logits_BV = torch.full((3, 130), -torch.inf)
    logits_BV[:, 65], logits_BV[:, 129] = 0.0, -80.0
    uniform_B = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.double)
    assert draw(logits_BV, uniform_B, 1.0)[0].tolist() == [65, 65, 65]


@pytest.mark.parametrize("how", [{}, {"temperature": 0.0}, {"top_p": 0.9}, {"top_k": 3}])
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_broken_model_is_named(broken: float, native: bool, how, monkeypatch):
    if not native:
        monkeypatch.setattr(tokens, "is_drawable", lambda logits: False)
    logits_BV = torch.zeros(2, 40)
    logits_BV[1, 3] = broken
    with pytest.raises(ValueError, match="not numbers"):
        choose_tokens(logits_BV, torch.zeros(2), SamplingParams(max_tokens=1, **how))


@pytest.mark.parametrize("token", [-1, VOCAB])
def test_tokens_the_model_has_not_are_refused(token: int):
    engine = LocalSampler(model_of("llama"), DigitRenderer())  # pyright: ignore[reportArgumentType]
    start = Start(name="a", ids=np.array([3, token, 4]), indices=range(2), max_tokens=2)
    with pytest.raises(ValueError, match=f"token {token} is none of the model's {VOCAB}"):
        engine.go_on([start], SamplingParams(max_tokens=2))


@pytest.mark.parametrize("family", KNOWN)
def test_a_scalar_models_pass_without_a_gradient_equals_one_with(family: str):
    rng = np.random.default_rng(0)
    shapes = [(5, [3, 9]), (70, [40, 1, 66]), (1, [2]), (64, [64])]
    trees = [random_tree(rng, prompt=prompt, branches=branches) for prompt, branches in shapes]
    model = tiny_scalar_model(family, head_size=16)
    batch = collate(trees, layout="packed")
    everywhere = torch.arange(batch.ids_BT.numel())
    expected = hidden_states(model, batch, everywhere)
    assert expected.requires_grad
    with torch.no_grad():
        found = hidden_states(model, batch, everywhere)
    assert not torch.equal(found, expected), "both went the same way"
    torch.testing.assert_close(found, expected.detach(), atol=1e-4, rtol=1e-4)
    for read in (batch.end_M, batch.predict_N, torch.tensor([9, 2, 2, 40])):
        with torch.no_grad():
            assert torch.equal(hidden_states(model, batch, read), found[read])


def test_a_language_models_pass_without_a_gradient_is_the_one_with():
    model = model_of("llama", torch.bfloat16)
    batch = collate(
        [random_tree(np.random.default_rng(0), prompt=5, branches=[3])], layout="packed"
    )
    with torch.no_grad():
        found = hidden_states(model, batch, batch.predict_N)
    assert torch.equal(found, hidden_states(model, batch, batch.predict_N))
