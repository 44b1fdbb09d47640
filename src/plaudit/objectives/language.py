"""Maximum likelihood: pretraining and supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from plaudit.objectives.labels import Labelled
from plaudit.objectives.metrics import Mean, mean_of


class LanguageModelling:
    """``-sum_t w_t log p(token_t)``; labels: ``weight`` on every token.

    Metrics: ``loss``, nats a token.
    """

    needs = ("policy.logprobs",)

    def __call__(
        self, outputs: Mapping[str, Tensor], batch: Labelled
    ) -> tuple[Tensor, dict[str, Mean]]:
        nll_N = -outputs["policy.logprobs"]
        return (batch.token["weight"] * nll_N).sum(), {"loss": mean_of(nll_N)}
