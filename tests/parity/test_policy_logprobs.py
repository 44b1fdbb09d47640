"""Surrogates beside ``GRPOTrainer``'s on random log-probabilities, whose ratios are far from 1.

Shapes: S responses, T tokens of the longest, N policy tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from plaudit.objectives import Algorithm, PolicyOptimisation, sequence_weights
from tests.labelled import batch_of
from tests.parity.rollouts import MAX_TOKENS, trl_trainer
from tests.parity.test_policy_parity import SAME

pytest.importorskip("trl", reason="TRL is not installed: pip install -e '.[parity]'")
# TRL's and its libraries' notices to their own users.
pytestmark = pytest.mark.filterwarnings("ignore")

LENGTHS = [3, 9, 1, 12, 5, 7]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    trainer = trl_trainer("grpo", tmp_path_factory.mktemp("grpo"), noise=0.0)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    yield trainer


class Case:
    """Log-probabilities at every place, and a response's advantage."""

    def __init__(self, spread: float) -> None:
        generator = torch.Generator().manual_seed(6)
        normal = lambda *size: torch.randn(size, generator=generator)  # noqa: E731
        size = (len(LENGTHS), max(LENGTHS))
        self.mask_ST = torch.arange(size[1])[None] < torch.tensor(LENGTHS)[:, None]
        self.logprob_ST = (-2.0 + normal(*size)).requires_grad_()
        self.old_ST = self.logprob_ST.detach() - spread * normal(*size)
        self.reference_ST = self.logprob_ST.detach() + 0.5 * normal(*size)
        self.advantage_S = normal(size[0])

    def written(self, values_ST: Tensor) -> Tensor:
        return values_ST[self.mask_ST]


def their_loss(trainer: Any, case: Case, options: dict[str, Any], beta: float) -> Tensor:
    """``GRPOTrainer``'s own loss, told what the model would say."""
    args, zeros_ST = trainer.args, torch.zeros_like(case.old_ST)
    trainer.loss_type, trainer.beta = options["loss_type"], beta
    trainer.importance_sampling_level = options.get("importance_sampling_level", "token")
    trainer.epsilon_low = options.get("epsilon", 0.2)
    trainer.epsilon_high = options.get("epsilon_high", trainer.epsilon_low)
    args.delta = options.get("delta")
    args.sapo_temperature_pos = options.get("sapo_temperature_pos", 1.0)
    args.sapo_temperature_neg = options.get("sapo_temperature_neg", 1.05)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (case.logprob_ST, zeros_ST, None)
    inputs = {
        "prompt_ids": torch.ones(len(LENGTHS), 1, dtype=torch.int64),
        "prompt_mask": torch.ones(len(LENGTHS), 1, dtype=torch.int64),
        "completion_ids": torch.ones(case.mask_ST.shape, dtype=torch.int64),
        "completion_mask": case.mask_ST.long(),
        "advantages": case.advantage_S,
        "old_per_token_logps": case.old_ST,
        "ref_per_token_logps": case.reference_ST,
        "num_items_in_batch": case.mask_ST.sum(),
    }
    return trainer._compute_loss(trainer.model, inputs)


def our_loss(row: Algorithm, case: Case, beta: float) -> Tensor:
    repeats = torch.tensor(LENGTHS)
    weights = sequence_weights(LENGTHS, row.aggregation, max_tokens=MAX_TOKENS)
    token = {
        "weight": torch.tensor(weights).repeat_interleave(repeats),
        "advantage": case.advantage_S.repeat_interleave(repeats),
        "old": case.written(case.old_ST),
        "reference": case.written(case.reference_ST),
    }
    logprob_N = case.written(case.logprob_ST)
    outputs = {"policy.logprobs": logprob_N, "policy.entropy": torch.zeros_like(logprob_N)}
    objective = PolicyOptimisation(critic=False, surrogate=row.surrogate, kl_coefficient=beta)
    return objective(outputs, batch_of(LENGTHS, token=token))[0]


@pytest.mark.parametrize("spread", [0.2, 1.5])
@pytest.mark.parametrize(
    ("name", "beta"), [(n, b) for n in SAME for b in (0.0, 0.2) if n != "gspo" or b == 0.0]
)
def test_values_and_gradients(name: str, spread: float, beta: float, trainer: Any):
    """But for a KL beside GSPO, which differs (``test_policy_differences``)."""
    options, row = SAME[name]
    case = Case(spread)
    theirs, ours = their_loss(trainer, case, options, beta), our_loss(row, case, beta)
    slopes = [torch.autograd.grad(loss, case.logprob_ST)[0] for loss in (theirs, ours)]
    assert float(slopes[0].abs().max()) > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-6)
