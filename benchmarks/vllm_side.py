"""vLLM's side: sampling alone, its engine in this process. Imports nothing of Plaudit's."""

from __future__ import annotations

import math
import os
from typing import Any

from benchmarks.measured import Measured
from benchmarks.workload import CONTEXT_TOKENS, NEW_TOKENS, Files, Lengths, Work, sampling_stops

VARIANTS = ("compiled", "eager")


def run(work: Work, files: Files, variant: str) -> Measured:
    """Do the work; compiled where no variant is named.

    Raises:
        ValueError: the task is another, or there is no such variant.
    """
    if work.task != "sample":
        raise ValueError(f"{work.task}: vLLM only samples; --task sample")
    name = variant or VARIANTS[0]
    if name not in VARIANTS:
        raise ValueError(f"variant={variant}: expected {' or '.join(VARIANTS)}")
    os.environ |= _environment(work, files)
    import vllm  # pyright: ignore[reportMissingImports]

    measured = Measured(settings={"variant": name, "release": f"vllm {vllm.__version__}"})
    engine: Any = vllm.LLM(
        str(files.policy), dtype=work.precision, max_model_len=CONTEXT_TOKENS,
        max_num_seqs=work.examples_per_step, enforce_eager=name == "eager", seed=0,
        enable_prefix_caching=False, generation_config="vllm", disable_log_stats=True,
        **({"gpu_memory_utilization": 0.5} if work.device == "cuda" else {}),
    )  # fmt: skip
    tokenizer = engine.get_tokenizer()
    stops = sampling_stops(work.shape.vocab_size, tokenizer.eos_token_id)
    ids = [
        tokenizer.apply_chat_template(
            row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for row in files.read(files.prompts)
    ]

    def one(step: int) -> tuple[None, list[Lengths]]:
        asked = [ids[row] for row in work.batch(step, len(ids))]
        params = vllm.SamplingParams(
            n=work.responses_per_prompt, temperature=1.0, max_tokens=NEW_TOKENS["sample"],
            stop_token_ids=list(stops), detokenize=False, seed=None,
        )  # fmt: skip
        prompts = [{"prompt_token_ids": one} for one in asked]
        found = engine.generate(prompts, params, use_tqdm=False)
        return None, [
            Lengths(len(prompt), tuple(len(one.token_ids) for one in answer.outputs))
            for prompt, answer in zip(asked, found, strict=True)
        ]

    measured.time(work.steps, one)
    return measured


def _environment(work: Work, files: Files) -> dict[str, str]:
    """No process of its own, no word, and room for the keys and values of all rows at once."""
    shape = work.shape
    heads = shape.num_key_value_heads * (shape.hidden_size // shape.num_attention_heads)
    size = {"float32": 4, "bfloat16": 2}[work.precision]
    token = 2 * shape.num_hidden_layers * heads * size
    longest = max(one.prompt for one in files.lengths()) + NEW_TOKENS["sample"]
    room = math.ceil(1.1 * token * longest * work.examples_per_step / 2**30)
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(room),
    }
