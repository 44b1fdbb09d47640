"""Which scorer a stage is told to use: a reward model, a function, or a verifier."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from plaudit.config import Config
from plaudit.models.loading import Precision
from plaudit.scoring.functions import FunctionScorer
from plaudit.scoring.opening import open_reward_model
from plaudit.scoring.protocol import Scorer
from plaudit.scoring.verified import open_verifier


class CheckOptions(Config):
    """Scorers that need no model."""

    reward_function: str | None = None
    """A function, package.module:name, of TRL's signature."""
    verifier: str | None = None
    """Or a verifier, for answers that can be checked."""
    verifier_options: dict[str, Any] = Field(default_factory=dict)
    """The verifier's own options."""

    @model_validator(mode="after")
    def _give_options_to_a_verifier(self) -> CheckOptions:
        if self.verifier_options and self.verifier is None:
            raise ValueError("verifier_options: only a verifier has them")
        return self


def check_one_scorer(options: CheckOptions, model: str | None, *, called: str) -> None:
    """Refuse options that name no scorer, or several.

    Args:
        model: the reward model, and ``called`` the option that names it.

    Raises:
        ValueError: not exactly one is named.
    """
    if sum(one is not None for one in (model, options.reward_function, options.verifier)) != 1:
        raise ValueError(f"{called}, reward_function or verifier: exactly one must be given")


def open_check(name: str) -> Scorer:
    """What judges whole answers: a verifier by its name, or a function of TRL's signature.

    Raises:
        ValueError: there is no such verifier or function.
    """
    return FunctionScorer(name) if ":" in name else open_verifier(name, {})


def open_chosen_scorer(
    options: CheckOptions,
    model: str | None,
    *,
    policy_tokenizer: PreTrainedTokenizerBase,
    precision: Precision,
    token_budget: int,
    device: str,
    trust_remote_code: bool = False,
) -> Scorer:
    """The one scorer that is named; a reward model's scores are its own, not standardised.

    Raises:
        ValueError: it cannot be opened.
    """
    if options.reward_function is not None:
        return FunctionScorer(options.reward_function)
    if options.verifier is not None:
        return open_verifier(options.verifier, options.verifier_options)
    assert model is not None, "check_one_scorer asks for one"
    return open_reward_model(
        model,
        policy_tokenizer=policy_tokenizer,
        precision=precision,
        standardised=False,
        token_budget=token_budget,
        device=device,
        trust_remote_code=trust_remote_code,
    )
