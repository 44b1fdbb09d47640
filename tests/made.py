"""A run's worth of tiny artifacts, for tests of what users do with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tests.command import plaudit
from tests.small import small_checkpoint

TEXTS = [{"prompt": f"{i} a", "completion": "b"} for i in range(3)]
CHATS = [
    {"messages": [{"role": "user", "content": f"{i} a"}, {"role": "assistant", "content": "b"}]}
    for i in range(3)
]
PAIRS = [{"prompt": f"{i} a", "chosen": "b", "rejected": "c"} for i in range(3)]
SHORT = ("max_completion_length=4", "num_generations=2")


def write(file: Path, rows: list[dict]) -> Path:
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


class Made(NamedTuple):
    """What the cases are about: a language model, rewards, a policy and an evaluation."""

    base: Path
    other: Path
    """Another language model, of another tokenizer."""
    reward: Path
    judge: Path
    """A second reward model of the same tokenizer."""
    policy: Path
    """The base, trained on the reward."""
    evaluation: Path


def make(place: Path) -> Made:
    """Train all of them, for a step each, by the command line."""
    base = small_checkpoint(place / "base")
    other = small_checkpoint(place / "other", seed=1, vocab_size=400)
    pairs = f"dataset={write(place / 'pairs.jsonl', PAIRS)}"
    made = Made(base, other, *(place / name for name in Made._fields[2:]))
    commands = [
        ("reward", f"model={base}", pairs, "--output", made.reward),
        ("reward", f"model={base}", pairs, "seed=1", "--output", made.judge),
        ("rl", f"model={base}", pairs, f"reward_model={made.reward}", "max_steps=1", *SHORT,
         "--output", made.policy),
        ("evaluate", f"baseline={base}", f"policies.p={made.policy}", f"judge={made.judge}", pairs,
         *SHORT, "--output", made.evaluation),
    ]  # fmt: skip
    for command in commands:
        assert plaudit(*command).code == 0
    return made


def command(made: Made, place: Path, stage: str, options: list[str]) -> list[object]:
    """The stage's command; names in braces stand for what was made."""
    named = made._asdict() | {"": "{}", "bare": place / "bare"}
    given = [option.replace("{}", "{{}}").format_map(named) for option in options]
    if stage != "report":
        given.append(f"dataset={write(place / 'd.jsonl', PAIRS if stage != 'sft' else TEXTS)}")
    if stage in ("rl", "evaluate"):
        given += SHORT
    if stage == "rl":
        given.append("max_steps=1")
    return [stage, *given, "--output", place / "out"]
