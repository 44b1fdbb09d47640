"""The side of transformers' ``generate``: sampling alone. Imports nothing of Plaudit's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from benchmarks.measured import Measured
from benchmarks.workload import BY, NEW_TOKENS, Files, Lengths, Work, rows_at_once, sampling_stops

PAGE_TOKENS = 32
Continue = Callable[[list[list[int]]], list[list[int]]]
"""Prompts' ids in, the ids written to each out."""


def run(work: Work, files: Files, variant: str) -> Measured:
    """Do the work; the variant is a padded batch where none is named, ``padded-by-32`` (that many
    rows at a time, by their lengths) or ``continuous``.

    Raises:
        ValueError: the task is another, or there is no such variant.
    """
    if work.task != "sample":
        raise ValueError(f"{work.task}: generate only samples; --task sample")
    kind, _, rows = (variant or "padded").partition(BY)
    if kind != "padded" and variant != "continuous":
        raise ValueError(f"variant={variant}: expected padded, padded-by-32 or continuous")
    together = rows_at_once(variant, rows, work.examples_per_step)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[work.precision]
    tokenizer = AutoTokenizer.from_pretrained(files.policy)
    release = f"transformers {transformers.__version__} generate"
    said = {"dtype": str(dtype), "variant": variant or "padded", "release": release}
    measured = Measured(settings=said)
    model = AutoModelForCausalLM.from_pretrained(files.policy, dtype=dtype).eval()
    torch.nn.Module.to(model, work.device)
    config = _config(tokenizer, work)
    go_on = continuous(model, config) if kind == "continuous" else padded(model, config)
    if together:
        go_on = by_length(go_on, together)
    ids = [
        tokenizer.apply_chat_template(
            row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for row in files.read(files.prompts)
    ]

    def one(step: int) -> tuple[None, list[Lengths]]:
        torch.manual_seed(step)
        asked = [ids[row] for row in work.batch(step, len(ids))]
        size = work.responses_per_prompt
        written = go_on([prompt for prompt in asked for _ in range(size)])
        tokens = [len(one) for one in written]
        return None, [
            Lengths(len(prompt), tuple(tokens[k * size : (k + 1) * size]))
            for k, prompt in enumerate(asked)
        ]

    measured.time(work.steps, one)
    return measured


def padded(model: Any, config: GenerationConfig) -> Continue:
    """One batch, padded on the left, until its last row has stopped."""

    def go_on(prompts: list[list[int]]) -> list[list[int]]:
        longest = max(map(len, prompts))
        fill = [longest - len(prompt) for prompt in prompts]
        pad = int(config.pad_token_id)  # pyright: ignore[reportAttributeAccessIssue]
        ids = torch.tensor([[pad] * n + p for n, p in zip(fill, prompts, strict=True)])
        mask = (torch.arange(longest)[None] >= torch.tensor(fill)[:, None]).long()
        found = model.generate(
            ids.to(model.device), attention_mask=mask.to(model.device), generation_config=config
        )
        return [_until_stop(row, config) for row in found[:, longest:].tolist()]

    return go_on


def by_length(go_on: Continue, together: int) -> Continue:
    """Rows of about one length at a time, of which little is padded."""

    def part_by_part(prompts: list[list[int]]) -> list[list[int]]:
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        written: dict[int, list[int]] = {}
        for first in range(0, len(order), together):
            part = order[first : first + together]
            written |= zip(part, go_on([prompts[row] for row in part]), strict=True)
        return [written[row] for row in range(len(prompts))]

    return part_by_part


def continuous(model: Any, config: GenerationConfig) -> Continue:
    """Its continuous batching, told of buffers that fit: those it finds for itself are a GPU's."""

    def go_on(prompts: list[list[int]]) -> list[list[int]]:
        longest = max(map(len, prompts)) + NEW_TOKENS["sample"]
        pages = len(prompts) * -(-longest // PAGE_TOKENS)
        buffers = ContinuousBatchingConfig(
            page_size=PAGE_TOKENS, num_blocks=pages, max_batch_tokens=4096
        )
        found = model.generate_batch(
            prompts, generation_config=config, continuous_batching_config=buffers
        )
        return [found[name].generated_tokens for name in sorted(found, key=_number)]

    return go_on


def _number(name: str) -> int:
    """Requests are named in the order they were made: ``req_12``."""
    return int(name.rpartition("_")[2])


def _until_stop(ids: list[int], config: GenerationConfig) -> list[int]:
    """Up to and with the first stop token."""
    stops = config.eos_token_id
    end = next((k for k, i in enumerate(ids) if i in stops), len(ids) - 1)  # pyright: ignore
    return ids[: end + 1]


def _config(tokenizer: Any, work: Work) -> GenerationConfig:
    stops = sampling_stops(work.shape.vocab_size, tokenizer.eos_token_id)
    return GenerationConfig(
        do_sample=True, max_new_tokens=NEW_TOKENS["sample"], temperature=1.0, top_k=0, top_p=1.0,
        eos_token_id=list(stops), pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
