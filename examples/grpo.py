"""GRPO with Plaudit's own parts: your model, your prompts, your reward function.

    python examples/grpo.py MODEL PROMPTS.jsonl OUTPUT

MODEL is a path, a hub's org/name, or plaudit/nano; PROMPTS holds rows like
{"prompt": [{"role": "user", "content": "..."}]}; any format with prompts will do.
The stage behind ``plaudit rl`` is this loop with checkpoints, a critic, KL control and metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from plaudit.formats import load_prompts
from plaudit.learning import Learner, Optimiser, OptimiserSettings, Order
from plaudit.learning.experience import Shaping, assemble, group_scores, weigh
from plaudit.models import SeparateRoles, load_language_model, model_path, stop_ids
from plaudit.objectives import ALGORITHMS, PolicyOptimisation
from plaudit.sampling import LocalSampler, SamplingParams
from plaudit.scoring import FunctionScorer
from plaudit.text import Renderer, load_tokenizer

STEPS = 20
PROMPTS_PER_STEP = 8
RESPONSES = 8
MAX_TOKENS = 32
LEARNING_RATE = 1e-4
KL_COEFFICIENT = 0.02


def reward(prompts: list, completions: list, **columns: list) -> list[float | None]:
    """Yours to change, in TRL's signature. This one likes short answers that end politely."""
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    return [float("please" in text or "thank" in text) - len(text) / 200 for text in texts]


def main(model_name: str, prompts_name: str, output: str) -> None:
    tokenizer = load_tokenizer(model_path(model_name))
    renderer = Renderer(tokenizer, stop_ids(model_name, tokenizer))
    prompts = load_prompts(prompts_name)
    prompts = [p for p in prompts if len(renderer.prompt(p.content)) <= 256]
    order = Order(rows=len(prompts), batch_size=PROMPTS_PER_STEP, epochs=1, seed=0)

    roles = SeparateRoles(
        {
            "policy": load_language_model(model_name, precision="float32"),
            "reference": load_language_model(model_name, precision="float32"),
        },
        trained=["policy"],
    )
    settings = OptimiserSettings(learning_rates={"policy": LEARNING_RATE}, total_steps=STEPS)
    optimiser = Optimiser({"policy": roles.parameters("policy")}, settings)
    learner = Learner(roles, optimiser, token_budget=4096)
    sampler = LocalSampler(roles.model("policy"), renderer)
    scorer = FunctionScorer(reward)

    algorithm = ALGORITHMS["grpo"]
    objective = PolicyOptimisation(critic=False, kl_coefficient=KL_COEFFICIENT)
    for step in range(STEPS):
        asked = [prompts[row] for row in order.batch(step)]
        params = SamplingParams(max_tokens=MAX_TOKENS, seed=step)
        rollouts = sampler.sample(asked, RESPONSES, params)
        groups, invalid = group_scores(rollouts, scorer.score(rollouts), least=2)
        trees = assemble(groups, learner, algorithm, Shaping(kl_coefficient=0.0))
        metrics = learner.update(weigh(trees, algorithm, max_tokens=MAX_TOKENS), objective)
        sampler.load(*learner.weights())
        rewards = np.concatenate([group.rewards_K for group in groups])
        kl = np.concatenate([tree.branch["kl"] for tree in trees])
        print(
            f"step {step + 1}/{STEPS}  reward {rewards.mean():+.3f}  kl {kl.mean():.2f} nats  "
            f"entropy {metrics['entropy']:.2f}  invalid {sum(invalid.values())}"
        )
        print(f"    {rollouts[0].text!r}")
    roles.save("policy", tokenizer, Path(output))
    print(f"saved {output}; load it with transformers.AutoModelForCausalLM")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/grpo.py MODEL PROMPTS.jsonl OUTPUT")
    main(*sys.argv[1:])
