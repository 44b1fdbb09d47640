"""DPO with Plaudit's own parts: your model, your pairs, a loop you can read and change.

    python examples/dpo.py MODEL PAIRS.jsonl OUTPUT

MODEL is a path, a hub's org/name, or plaudit/nano; PAIRS holds rows like
{"prompt": [{"role": "user", "content": "..."}], "chosen": [...], "rejected": [...]}.
The stage behind ``plaudit preference`` is this loop with checkpoints, options and metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from plaudit.formats import load_judged
from plaudit.learning import Learner, Optimiser, OptimiserSettings, Order
from plaudit.models import SeparateRoles, load_language_model, model_path, stop_ids
from plaudit.objectives import DirectPreference
from plaudit.text import Renderer, Tree, judged_trees, load_tokenizer

BETA = 0.1
LEARNING_RATE = 1e-4
PROMPTS_PER_STEP = 8
EPOCHS = 3


def main(model_name: str, pairs: str, output: str) -> None:
    tokenizer = load_tokenizer(model_path(model_name))
    renderer = Renderer(tokenizer, stop_ids(model_name, tokenizer))
    trees = list(judged_trees(load_judged(pairs), renderer))
    order = Order(rows=len(trees), batch_size=PROMPTS_PER_STEP, epochs=EPOCHS, seed=0)

    model = load_language_model(model_name, precision="float32")
    roles = SeparateRoles({"policy": model}, trained=["policy"])
    settings = OptimiserSettings(
        learning_rates={"policy": LEARNING_RATE}, total_steps=order.steps, warmup_steps=5
    )
    optimiser = Optimiser({"policy": roles.parameters("policy")}, settings)
    learner = Learner(roles, optimiser, token_budget=4096)

    trees = with_reference(trees, learner)
    objective = DirectPreference(beta=BETA)
    for step in range(order.steps):
        batch = equal_weights([trees[row] for row in order.batch(step)])
        metrics = learner.update(batch, objective)
        print(
            f"step {step + 1}/{order.steps}  loss {metrics['loss']:.4f}  "
            f"accuracy {metrics['accuracy']:.2f}  chosen {metrics['chosen_logprob']:.1f} nats"
        )
    roles.save("policy", tokenizer, Path(output))
    print(f"saved {output}; load it with transformers.AutoModelForCausalLM")


def with_reference(trees: list[Tree], learner: Learner) -> list[Tree]:
    """The model as it begins is the reference: its log-probabilities are computed once."""
    outputs = learner.forward(trees, ["policy.logprobs"])
    return [
        tree.with_token_labels(reference=output["policy.logprobs"])
        for tree, output in zip(trees, outputs, strict=True)
    ]


def equal_weights(trees: list[Tree]) -> list[Tree]:
    """Losses are sums: every pair of the step carries its share as a weight.

    The learner may cut the step into micro-batches of any size; the gradient stays the same.
    """
    pairs = sum(len(tree.pair["better"]) for tree in trees)
    return [
        tree.with_pair_labels(weight=np.full(len(tree.pair["better"]), 1 / pairs, np.float32))
        for tree in trees
    ]


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/dpo.py MODEL PAIRS.jsonl OUTPUT")
    main(*sys.argv[1:])
