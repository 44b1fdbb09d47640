"""What models will be that are yet to be made, and how the data of stages is read for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import LlamaConfig

from plaudit.artifacts import read_artifact
from plaudit.models import model_path
from plaudit.pipeline import Step
from plaudit.planning.data import NANO, Found, Reader, Stated, has_tokenizer
from plaudit.planning.rows import Lengths
from plaudit.planning.shapes import Shape, count, published, shape_of
from plaudit.scoring import read_ensemble
from plaudit.stages.rl_roles import is_adapter_on


@dataclass(frozen=True, kw_only=True)
class Known:
    """The steps of a recipe, to find what a model that is yet to be made will be."""

    steps: Sequence[Step]
    stated: Stated
    on_cpu: bool = True
    """Whether what is planned for is a CPU; on a GPU rows may be laid out otherwise."""
    _shapes: dict[str, Shape] = field(default_factory=dict, repr=False)
    _read: dict[tuple, Found] = field(default_factory=dict, repr=False)
    """What was counted and tokenised already: other settings of a step ask for the same."""

    def shape(self, model: str) -> Shape:
        """The sizes of a model: of what is there, or of what the step that writes it begins with.

        Raises:
            ValueError: nothing says how large it is.
        """
        if model not in self._shapes:
            shape = self._shape(model)
            layout = shape.layout if self.on_cpu else shape.gpu_layout
            self._shapes[model] = replace(shape, layout=layout)
        return self._shapes[model]

    def _shape(self, model: str) -> Shape:
        step = self._writer(model)
        if step is None:
            return shape_of(model)
        if step.stage == "pretrain":
            return count(pretrained_config(step.config), name=step.name, said="its options")
        return self.shape(_begins_with(step))

    def members(self, model: str) -> tuple[str, ...]:
        """The models that answer in its place: an ensemble's members, or itself alone."""
        step = self._writer(model)
        if step is not None and step.stage == "ensemble":
            config: Any = step.config
            return config.models
        if step is not None or published(model):
            return (model,)
        path = Path(model_path(model))
        ensemble = read_ensemble(path)
        return tuple(str(path / one) for one in ensemble.members) if ensemble else (model,)

    def rank_on(self, model: str, reward: str) -> int:
        """The rank of a reward model that is an adapter on this model; 0 of any other."""
        step = self._writer(reward)
        if step is not None:
            config: Any = step.config
            there = self._writer(model) is not None or Path(model).exists()
            on_it = step.stage == "reward" and config.model == model and there
            return config.lora_r if on_it else 0
        artifact = read_artifact(Path(reward))
        if artifact is None or not is_adapter_on(model, artifact):
            return 0
        return artifact.record["config"]["lora_r"]

    def reader(self, model: str) -> Reader:
        step = self._writer(model)
        while step is not None and step.stage != "pretrain":
            model = _begins_with(step)
            step = self._writer(model)
        if step is not None:
            return Reader(tokenizer=NANO, stated=self.stated, kept=self._read)
        tokenizer = model if has_tokenizer(model) else None
        return Reader(tokenizer=tokenizer, stated=self.stated, kept=self._read)

    def expected(self, dataset: str, *, branches: int) -> Lengths | None:
        """What a sample step is yet to write; None of any other data."""
        step = self._writer(dataset)
        if step is None or step.stage != "sample" or Path(dataset).exists():
            return None
        config: Any = step.config
        found = self.reader(config.model).prompts(
            config.dataset, config.portion, config, responses=branches, most=config.max_prompts
        )
        each = 1 if config.select == "best" or config.write == "pairs" else config.num_generations
        count = None if found.count is None else found.count * each
        said = f"what {step.name} may write at most, {each} of a prompt: {found.said}"
        return replace(found, count=count, said=said)

    def _writer(self, place: str) -> Step | None:
        """The step that writes a model or data that is not there yet."""
        path = Path(place)
        step = next((s for s in self.steps if path.is_relative_to(s.output)), None)
        return None if step is None or self._is_done(step) else step

    def _is_done(self, step: Step) -> bool:
        """Whether what lies there is what the step would write, not what other options wrote."""
        artifact = read_artifact(step.output)
        before = (other for other in self.steps if other.name in step.after)
        if artifact is None or not all(map(self._is_done, before)):
            return False
        # Where it computes is laid aside, as it was for the plan.
        planned, done = (
            config | {"device": ""}
            for config in (step.config.model_dump(mode="json"), artifact.record["config"])
        )
        return planned == done


def _begins_with(step: Step) -> str:
    """The model that a step's own is made of."""
    config: Any = step.config
    several = getattr(config, "models", None) or list(getattr(config, "policies", {}).values())
    found = getattr(config, "model", None) or (several[0] if several else None)
    if found is None:
        raise ValueError(f"{step.name}: writes no model, but another step reads one from it")
    return found


def pretrained_config(config: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        tie_word_embeddings=True,
    )
