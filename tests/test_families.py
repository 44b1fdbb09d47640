"""Families that compute in ways of their own: what they say is what transformers makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from plaudit.models import collate, hidden_states, load_language_model, token_logprobs
from plaudit.models.forward import knows_head, language_logits, layout_of
from plaudit.models.native_layers import use_own_kernels
from plaudit.sampling import Continuation, LocalSampler, SamplingParams, Start
from tests.tiny import VOCAB, _sized, random_tree

SIZES: dict[str, Any] = _sized(8)
WIDTH: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DEEP: dict[str, Any] = {**WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
MPT: dict[str, Any] = {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}
HYBRID: dict[str, Any] = {
    "mamba_d_ssm": 32,
    "mamba_n_heads": 4,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
}
ALONG_THE_ROW = {
    "mpt": hf.MptConfig(**WIDTH, **MPT),
    "bloom": hf.BloomConfig(**WIDTH, n_layer=2, n_head=4),
    "falcon": hf.FalconConfig(**DEEP, alibi=True, new_decoder_architecture=False),
    "gpt_neo": hf.GPTNeoConfig(
        **WIDTH, num_layers=2, num_heads=4, window_size=3, max_position_embeddings=128,
        attention_types=[[["global", "local"], 1]],
    ),
    "openai-gpt": hf.OpenAIGPTConfig(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4),
}  # fmt: skip
"""Where a token stands they reckon along the row, or make a mask of their own for it."""
HEADS = {
    "falcon_h1": hf.FalconH1Config(**SIZES, **HYBRID, lm_head_multiplier=0.04),
    "granite": hf.GraniteConfig(**SIZES, logits_scaling=8.0),
    "hyperclovax": hf.HyperCLOVAXConfig(**SIZES, logits_scaling=0.125),
    "modernbert-decoder": hf.ModernBertDecoderConfig(**SIZES),
    "recurrent_gemma": hf.RecurrentGemmaConfig(
        **SIZES, lru_width=32, attention_window_size=8, logits_soft_cap=0.5
    ),
}
"""Their logits are not just a product with the last hidden states."""
OWN_LAYERS = {
    "diffllama": hf.DiffLlamaConfig(**SIZES),
    "nemotron": hf.NemotronConfig(**SIZES),
    "phimoe": hf.PhimoeConfig(**SIZES, sliding_window=4, num_local_experts=2),
}
"""They hand attention less than they are told, or attend several times in a layer."""


def tiny(config: hf.PretrainedConfig) -> hf.PreTrainedModel:
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4.0)
    use_own_kernels(model)  # as loading does
    return model.eval()


def own_logprobs(model: hf.PreTrainedModel, prompt: np.ndarray, branch: np.ndarray) -> torch.Tensor:
    """Of every token of a response, by the model's own forward pass over it alone."""
    ids = torch.as_tensor(np.concatenate([prompt, branch]))[None].long()
    logprobs = model(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)[0]
    at = len(prompt) + torch.arange(len(branch))
    return logprobs[at - 1, ids[0, at]].detach()


@pytest.mark.parametrize("family", ALONG_THE_ROW)
def test_models_that_reckon_along_the_row_take_rows(family: str):
    model = tiny(ALONG_THE_ROW[family])
    tree = random_tree(np.random.default_rng(0), prompt=5, branches=[4, 7, 1])
    expected = [
        own_logprobs(model, tree.prompt_P, b.ids)[torch.as_tensor(b.mask)] for b in tree.branches
    ]
    assert layout_of(model) == "rows"
    batch = collate([tree], layout="rows")
    hidden_ND = hidden_states(model, batch, batch.predict_N)
    found_N = token_logprobs(model, hidden_ND, batch.target_N).logprob_N
    torch.testing.assert_close(found_N, torch.cat(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", HEADS)
def test_logits_are_the_models_own(family: str):
    model = tiny(HEADS[family])
    ids = torch.arange(3, 9)[None]
    states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    expected = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(language_logits(model, states), expected)
    assert knows_head(model)


def test_a_head_that_is_not_known_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny(HEADS["granite"]).save_pretrained(tmp_path)
    load_language_model(str(tmp_path), precision="float32")
    monkeypatch.setattr(hf.GraniteForCausalLM, "get_output_embeddings", doubled_head)
    with pytest.raises(ValueError, match="GraniteForCausalLM makes its logits in a way"):
        load_language_model(str(tmp_path), precision="float32")


def doubled_head(model: hf.PreTrainedModel) -> torch.nn.Module:
    head = torch.nn.Linear(*reversed(model.lm_head.weight.shape), bias=False)
    head.weight = torch.nn.Parameter(2 * model.lm_head.weight)
    return head


class Renderer:
    stop_ids = (2,)


def sampled(model: hf.PreTrainedModel, prompt: np.ndarray) -> list[Continuation]:
    engine = LocalSampler(model, Renderer(), slots=4)  # pyright: ignore[reportArgumentType]
    start = Start(name="a", ids=prompt, indices=range(3), max_tokens=12)
    return engine.go_on([start], SamplingParams(max_tokens=12))


def test_a_state_that_is_not_carried_on_is_refused():
    with pytest.raises(ValueError, match="recurrent_gemma: models of this family cannot be"):
        sampled(tiny(HEADS["recurrent_gemma"]), np.arange(3, 9, dtype=np.int32))


@pytest.mark.parametrize("family", OWN_LAYERS)
def test_sampled_logprobs_are_the_models_own(family: str):
    model = tiny(OWN_LAYERS[family])
    prompt = np.arange(3, 9, dtype=np.int32)
    for written in sampled(model, prompt):
        expected = own_logprobs(model, prompt, written.ids)
        torch.testing.assert_close(
            torch.as_tensor(written.logprobs), expected, atol=1e-4, rtol=1e-4
        )
