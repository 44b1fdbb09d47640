"""Make a benchmark's model, tokenizer and data: python benchmarks/making.py MODEL DATA [PAIRS]

PAIRS is a file of preference pairs, such as hh-rlhf's; nothing of it is kept but under ``runs/``.
Without it the text is synthetic: words by Zipf's law, as long as those pairs are.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.workload import CONTEXT_TOKENS, Data, Lengths, Shape, Work
from plaudit.formats import load_judged
from plaudit.models import load_scalar_model, save_model, stop_ids
from plaudit.models.nano import new_llama
from plaudit.records import Message, Messages
from plaudit.text import Renderer, plain_text, train_tokenizer

SEED = 0
ROWS = {"short": 2048, "long": 192}
LONGEST_TOKENS = {"short": 768, "long": 1600}
MEAN_WORDS = {"prompt": 100, "response": 40}
"""Of the synthetic text: about 123 and 50 tokens."""
LONG_TOKENS = {"prompt": 1000, "response": 200}


class Pair(NamedTuple):
    prompt: Messages
    chosen: str
    rejected: str


def main() -> None:
    model, data, *pairs = sys.argv[1:]
    work = Work(task="sft", model=model, data=data, pairs=pairs[0] if pairs else "")  # pyright: ignore[reportArgumentType]
    make(work)


def make(work: Work) -> Path:
    """Write what ``workload.Files`` names; a directory is there whole or not at all."""
    if work.directory.is_dir():
        return work.directory
    short = _real(work.pairs) if work.pairs else list(_synthetic(ROWS["short"]))
    shape = work.shape
    tokens = shape.tokenizer_tokens or shape.vocab_size
    tokenizer = train_tokenizer(_texts(short), vocab_size=tokens)
    draft = work.directory.with_name(f".{work.directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    _write_models(shape, tokenizer, draft)
    pairs = list(_lengthened(short, tokenizer)) if work.data == "long" else short
    renderer = Renderer(tokenizer, stop_ids(str(draft / "policy"), tokenizer))
    lengths = _write_data(pairs, renderer, work.data, draft)
    source = Path(work.pairs).name if work.pairs else "synthetic"
    (draft / "about.json").write_text(json.dumps(_about(source, lengths)), encoding="utf-8")
    draft.rename(work.directory)
    return work.directory


def _real(file: str) -> list[Pair]:
    """Pairs of two different single answers, one to a prompt."""
    found = []
    for one in load_judged(file):
        contents = [response.content for response in one.responses]
        if isinstance(one.prompt.content, str) or len(contents) != 2:
            continue
        if not all(len(c) == 1 and isinstance(c[0], Message) and c[0].content for c in contents):
            continue
        better = one.preferences[0].better
        texts = [plain_text(content) for content in contents]
        found.append(Pair(one.prompt.content, texts[better], texts[1 - better]))
    return found


def _synthetic(rows: int) -> Iterator[Pair]:
    rng = np.random.default_rng(SEED)
    letters = list("etaoinshrdlucmfwypvbgk")
    words = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(3000)]
    chances = 1 / np.arange(1, len(words) + 1)
    chances /= chances.sum()

    def text(mean_words: int) -> str:
        count = max(1, round(rng.lognormal(np.log(mean_words) - 0.18, 0.6)))
        return " ".join(rng.choice(words, count, p=chances))

    for _ in range(rows):
        prompt = (Message(role="user", content=text(MEAN_WORDS["prompt"])),)
        yield Pair(prompt, text(MEAN_WORDS["response"]), text(MEAN_WORDS["response"]))


def _lengthened(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase) -> Iterator[Pair]:
    """The same words in order, cut anew into long prompts and responses."""
    rng = np.random.default_rng(SEED)
    streams = {
        "prompt": " ".join(plain_text(p.prompt) for p in pairs),
        "chosen": " ".join(p.chosen for p in pairs),
        "rejected": " ".join(p.rejected for p in pairs),
    }
    ids = {name: tokenizer(text, add_special_tokens=False)["input_ids"] for name, text in streams.items()}  # noqa: E501  # fmt: skip
    at = dict.fromkeys(streams, 0)

    def cut(name: str) -> str:
        mean = LONG_TOKENS["prompt" if name == "prompt" else "response"]
        begin, tokens = at[name], int(mean * rng.uniform(0.75, 1.25))
        if begin + tokens > len(ids[name]):
            begin = 0
        at[name] = begin + tokens
        return str(tokenizer.decode(ids[name][begin : begin + tokens])).replace("\ufffd", "")

    for number in range(ROWS["long"]):
        prompt = (Message(role="user", content=f"{number} {cut('prompt')}"),)
        yield Pair(prompt, cut("chosen"), cut("rejected"))


def _texts(pairs: Sequence[Pair]) -> Iterator[str]:
    for pair in pairs:
        yield from (plain_text(pair.prompt), pair.chosen, pair.rejected)


def _write_models(shape: Shape, tokenizer: PreTrainedTokenizerBase, draft: Path) -> None:
    assert len(tokenizer) <= shape.vocab_size, "the tokenizer was trained to at most so many tokens"
    save_model(_policy(shape, tokenizer), tokenizer, draft / "policy")
    reward = load_scalar_model(str(draft / "policy"), precision="float32", seed=SEED)
    save_model(reward, tokenizer, draft / "reward")


def _policy(shape: Shape, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Random weights; nano's Llama, or Qwen 2 with its whole vocabulary."""
    sizes = asdict(shape)
    del sizes["tokenizer_tokens"]
    if sizes.pop("family") == "llama":
        del sizes["vocab_size"]
        return new_llama(tokenizer, **sizes, max_position_embeddings=CONTEXT_TOKENS, seed=SEED)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    special = {name: getattr(tokenizer, name) for name in names}
    config = Qwen2Config(
        **sizes, **special, max_position_embeddings=CONTEXT_TOKENS, tie_word_embeddings=True
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return Qwen2ForCausalLM(config).eval()


def _write_data(
    pairs: Sequence[Pair], renderer: Renderer, data: Data, draft: Path
) -> list[Lengths]:
    pairs, lengths = _within(pairs, renderer, LONGEST_TOKENS[data])
    rows = [
        {
            "prompt": _messages(p.prompt),
            "chosen": _answer(p.chosen),
            "rejected": _answer(p.rejected),
        }
        for p in pairs
    ]
    _write(draft / "pairs.jsonl", rows)
    shown = [{"prompt": r["prompt"], "completion": r["chosen"]} for r in rows]
    _write(draft / "demonstrations.jsonl", shown)
    _write(draft / "prompts.jsonl", [{"prompt": row["prompt"]} for row in rows])
    _write(draft / "lengths.jsonl", [[one.prompt, one.responses] for one in lengths])
    return lengths


def _about(source: str, lengths: Sequence[Lengths]) -> dict[str, Any]:
    return {
        "source": source,
        "rows": len(lengths),
        "prompt_tokens": round(float(np.mean([one.prompt for one in lengths])), 1),
        "response_tokens": round(float(np.mean([one.responses for one in lengths])), 1),
    }


def _within(
    pairs: Sequence[Pair], renderer: Renderer, longest_tokens: int
) -> tuple[list[Pair], list[Lengths]]:
    kept, found = [], []
    for pair in pairs:
        prompt = len(renderer.prompt(pair.prompt))
        answers = [(Message(role="assistant", content=t),) for t in (pair.chosen, pair.rejected)]
        responses = tuple(len(renderer.response(pair.prompt, answer).ids) for answer in answers)
        if prompt + max(responses) <= longest_tokens:
            kept.append(pair)
            found.append(Lengths(prompt, responses))
    return kept, found


def _messages(messages: Messages) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _write(file: Path, rows: Sequence[object]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
