"""Loading and saving models: Hugging Face checkpoints in, Hugging Face checkpoints out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from plaudit.assets import shipped
from plaudit.models.forward import knows_head
from plaudit.models.native_layers import use_own_kernels

Precision = Literal["float32", "bfloat16"]
log = logging.getLogger(__name__)


def torch_dtype(precision: Precision) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def model_path(name: str) -> str:
    """Where a model is: shipped (``plaudit/nano``), an artifact's ``model``, a path, or a hub name.

    Raises:
        ValueError: a path that looks local does not exist or holds no model.
    """
    if found := shipped(name):
        return str(found)
    path = Path(name)
    if (path / "artifact.json").is_file():
        path = path / "model"
    if (path / "config.json").is_file():
        return str(path)
    if Path(name).exists():
        raise ValueError(f"{name}: holds no model (no config.json in {path})")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"{name}: no such directory (and not a hub name like org/model)")
    return name


def context_tokens(name: str, *, trust_remote_code: bool = False) -> int | None:
    """How many tokens a model can attend over, where its config says so."""
    found = getattr(_config(name, trust_remote_code), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def as_dtype(model: PreTrainedModel, precision: Precision) -> None:
    """Turn a model's weights into the dtype said, in place.

    Buffers stay as they are: rotary frequencies rounded to bfloat16 would be other positions than
    those of the checkpoint once it is loaded, which are always float32.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch_dtype(precision))


def load_language_model(
    name: str, *, precision: Precision, device: str = "cpu", trust_remote_code: bool = False
) -> PreTrainedModel:
    """A causal language model in the dtype and on the device said, dropout off.

    Raises:
        ValueError: there is no such model, its files cannot be read, weights are missing, it is
            a reward model or another kind of model, or its logits are made of its hidden states in
            a way not known here.
    """
    if is_scalar_model(name, trust_remote_code=trust_remote_code):
        raise ValueError(f"{name}: a reward model or classifier; expected a language model")
    model = on_device(_load(AutoModelForCausalLM, name, precision, trust_remote_code), device)
    if not knows_head(model):
        raise ValueError(
            f"{name}: {type(model).__name__} makes its logits in a way that is not known here, so "
            "its log-probabilities would be wrong; take another family of models"
        )
    return model


def load_scalar_model(
    name: str,
    *,
    precision: Precision,
    seed: int,
    heads: int = 1,
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """A model with a number, or one a head, for an output: a reward model or a critic.

    From a language model's checkpoint the backbone is taken and the head is new, drawn from
    N(0, 1/(D+1)) (Stiennon et al. 2020 as in its code: standard deviation 1/sqrt(D+1)).

    Raises:
        ValueError: as ``load_language_model``; the family has no classification head; or the
            checkpoint has another number of heads.
    """
    fresh = not is_scalar_model(name, trust_remote_code=trust_remote_code)
    model = _load(
        AutoModelForSequenceClassification,
        name,
        precision,
        trust_remote_code,
        new=("score.weight",) if fresh else (),
        num_labels=heads,
    )
    if not isinstance(getattr(model, "score", None), nn.Linear):
        raise ValueError(f"{name}: {type(model).__name__} has no scalar head to train or read")
    if fresh:
        init_scalar_head(scalar_head(model), seed)
    return on_device(model, device)


def on_device(model: PreTrainedModel, device: str) -> PreTrainedModel:
    """The model, moved there in place."""
    nn.Module.to(model, device)
    return model


def is_scalar_model(name: str, *, trust_remote_code: bool = False) -> bool:
    """Whether a checkpoint has a scalar head already (a reward model, a critic)."""
    architectures = _config(name, trust_remote_code).architectures or []
    return any("SequenceClassification" in a for a in architectures)


def scalar_head(model: PreTrainedModel) -> nn.Linear:
    head = getattr(model, "score", None)
    assert isinstance(head, nn.Linear), f"{type(model).__name__} has no scalar head"
    return head


def init_scalar_head(head: nn.Linear, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(head.weight.shape, generator=generator) / (head.in_features + 1) ** 0.5
    with torch.no_grad():
        head.weight.copy_(drawn)
        if head.bias is not None:
            head.bias.zero_()


def standardise_head(head: nn.Linear, *, mean: float, std: float) -> None:
    """Make a scalar head say ``(score - mean) / std``, as a normalised reward does."""
    bias = head.weight.new_zeros(1) if head.bias is None else head.bias.detach()
    with torch.no_grad():
        head.weight.div_(std)
        head.bias = nn.Parameter((bias - mean) / std)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """A plain Hugging Face checkpoint: safetensors, config, generation config, tokenizer."""
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    if getattr(model, "generation_config", None) is None:
        # A scalar model samples nothing, but those who build on it need its stop tokens.
        ends = getattr(model.config, "eos_token_id", None)
        GenerationConfig(eos_token_id=ends).save_pretrained(path)


def stop_ids(name: str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that end a turn: the tokenizer's own first, then the checkpoint's others.

    Raises:
        ValueError: the checkpoint's ``generation_config.json`` is damaged.
    """
    try:
        configured = GenerationConfig.from_pretrained(model_path(name)).eos_token_id
    except OSError as error:
        file = Path(model_path(name)) / "generation_config.json"
        if file.is_file():
            raise ValueError(f"{file}: cannot be read: {_first_line(error)}") from error
        configured = None
    others = configured if isinstance(configured, list) else [configured]
    ids = [tokenizer.eos_token_id, *others]
    return tuple(dict.fromkeys(int(i) for i in ids if isinstance(i, int)))


def _load(
    auto: Any,
    name: str,
    precision: Precision,
    trust_remote_code: bool,
    *,
    new: Sequence[str] = (),
    **options: Any,
) -> PreTrainedModel:
    """Weights a checkpoint lacks would be left random; only those named ``new`` may be."""
    config = _config(name, trust_remote_code)
    if getattr(config, "attn_logit_softcapping", None):
        options["attn_implementation"] = "eager"  # SDPA cannot cap the attention's logits (Gemma 2)
    try:
        model, found = auto.from_pretrained(
            model_path(name),
            dtype=torch_dtype(precision),
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name
            **options,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{name}: cannot load the model: {_first_line(error)}") from error
    for key, saved, expected in sorted(found["mismatched_keys"]):
        raise ValueError(
            f"{name}: cannot load the model: {key} is {list(saved)} in the checkpoint, but "
            f"config.json makes it {list(expected)}"
        )
    if lacking := sorted(set(found["missing_keys"]) - set(new)):
        raise ValueError(
            f"{name}: cannot load the model: {type(model).__name__} needs {lacking[0]}, which is "
            f"not in the checkpoint ({len(lacking)} missing)"
        )
    if unused := sorted(set(found["unexpected_keys"]) - {"lm_head.weight"}):
        log.warning("%s: %d weights are not used, such as %s", name, len(unused), unused[0])
    use_own_kernels(model)
    model.eval()
    return model


def _config(name: str, trust_remote_code: bool) -> Any:
    path = model_path(name)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        where = "" if Path(path).exists() else "no such directory here, and "
        raise ValueError(f"{name}: {where}not a model: {_first_line(error)}") from error
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if masked and not getattr(config, "is_decoder", False):
        raise ValueError(
            f"{name}: {config.model_type} reads in both directions; expected a causal language "
            "model, or a reward model made from one"
        )
    return config


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, StrictDataclassError):
        return lines[-1]  # the first only names the validator
    return lines[0] if lines else repr(error)
