"""Side by side: trees against separate rows, and the sampler against transformers' generate.

    python benchmarks/shapes.py         # about three minutes on two cores; prints a table

Both sides of a row run alternately in this one process, on the same weights and tokens; medians
and the median of the ratios are printed. Machines are shared and noisy: trust the ratios.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from plaudit.models import SeparateRoles, collate, keep_freed_memory
from plaudit.models.layout import Layout
from plaudit.records import Prompt
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.text import Tokens, Tree

REPEATS = 5
VOCAB = 4096


def main() -> None:
    keep_freed_memory()
    cores, threads = platform.processor() or platform.machine(), torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {cores}, {platform.system()}\n")
    print("| what | Plaudit | against | ratio | ideal |")
    print("|---|---|---|---|---|")
    for rows, k, prompt, response in [
        (8, 2, 96, 32),
        (8, 2, 256, 64),
        (4, 8, 96, 32),
        (4, 8, 256, 64),
        (2, 16, 256, 64),
    ]:
        trees_against_rows(rows, k, prompt, response)
    sampler_against_generate(prompts=8, n=8, prompt=(128, 128), new=96)
    sampler_against_generate(prompts=64, n=1, prompt=(128, 128), new=96)
    sampler_against_generate(prompts=128, n=1, prompt=(32, 256), new=96)


def trees_against_rows(rows: int, k: int, prompt: int, response: int) -> None:
    """Forward and backward of the same comparisons, as trees and as K separate rows."""
    rng = np.random.default_rng(0)
    trees = [random_tree(rng, k, prompt, response) for _ in range(rows)]
    roles = SeparateRoles({"policy": model()}, trained=["policy"])

    def step(layout: Layout) -> None:
        batch = collate(trees, layout=layout)
        out = roles.outputs(batch, ["policy.logprobs"], temperature=1.0)
        out["policy.logprobs"].sum().backward()

    tree_seconds, row_seconds = alternate(lambda: step("tree"), lambda: step("rows"))
    ideal = k * (prompt + response) / (prompt + k * response)
    name = f"forward and backward, K={k}, {prompt}+{response} tokens"
    show(name, tree_seconds, row_seconds, "separate rows", k * rows, "responses/s", f"{ideal:.2f}")


def sampler_against_generate(*, prompts: int, n: int, prompt: tuple[int, int], new: int) -> None:
    """The same prompts continued to the same length; nothing stops early on either side.

    Args:
        prompt: the shortest and the longest, with all lengths between.
    """
    rng = np.random.default_rng(0)
    lengths = np.linspace(*prompt, prompts).astype(int)
    ids = [rng.integers(3, VOCAB, length).astype(np.int32) for length in lengths]
    net = model()
    generate: Callable[..., object] = net.generate  # pyright: ignore[reportAssignmentType]
    sampler = LocalSampler(net, _Ids(ids), slots=prompts * n)  # pyright: ignore[reportArgumentType]
    asked = [Prompt(id=str(i), conversation=str(i), content=str(i)) for i in range(prompts)]

    def ours() -> None:
        sampler.sample(asked, n, SamplingParams(max_tokens=new))

    def theirs() -> None:
        padded = [np.pad(one, (prompt[1] - len(one), 0)) for one in ids]
        batch = torch.as_tensor(np.stack(padded)).long().repeat_interleave(n, 0)
        # No prompt holds token 0.
        generate(
            batch, attention_mask=(batch > 0).long(), do_sample=True, max_new_tokens=new,
            min_new_tokens=new, pad_token_id=0,
        )  # fmt: skip

    our_seconds, their_seconds = alternate(ours, theirs)
    read = "-".join(map(str, sorted(set(prompt))))
    name = f"sampling, {prompts} prompts x {n}, {read}+{new} tokens"
    tokens = prompts * n * new
    show(name, our_seconds, their_seconds, "transformers generate", tokens, "tokens/s", "")


class _Ids:
    """Stands at the tokenizer's border: a prompt's text is its number."""

    stop_ids = (VOCAB,)

    def __init__(self, ids: list[np.ndarray]) -> None:
        self._ids = ids

    def prompt(self, content: str) -> np.ndarray:
        return self._ids[int(content)]

    def text(self, ids: np.ndarray) -> str:
        return ""


def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=256, intermediate_size=688, num_hidden_layers=6,
        num_attention_heads=8, num_key_value_heads=4, tie_word_embeddings=True, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def random_tree(
    rng: np.random.Generator, k: int, prompt: int, response: int, *, vocab_size: int = VOCAB
) -> Tree:
    draw = lambda n: rng.integers(3, vocab_size, n).astype(np.int32)  # noqa: E731
    mask = np.ones(response, dtype=bool)
    branches = tuple(Tokens(ids=draw(response), mask=mask) for _ in range(k))
    return Tree(id="", prompt_P=draw(prompt), branches=branches)


def alternate(a: Callable[[], None], b: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Seconds of each side, taken in turn after one uncounted run of both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for side, taken in zip((a, b), seconds, strict=True):
            began = time.perf_counter()
            side()
            if repeat:
                taken.append(time.perf_counter() - began)
    return seconds


def show(
    name: str, ours: list[float], theirs: list[float], against: str, work: int, unit: str,
    ideal: str,
) -> None:  # fmt: skip
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    fast, slow = work / statistics.median(ours), work / statistics.median(theirs)
    print(f"| {name} | {fast:.0f} {unit} | {against}: {slow:.0f} | {ratio:.2f} | {ideal} |")


if __name__ == "__main__":
    main()
