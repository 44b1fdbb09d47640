"""pretrain: a small language model and its tokenizer, from text alone.

Reads corpora, trains a byte-level BPE tokenizer on them, then a Llama by maximum likelihood.
Writes ``model`` (a Hugging Face checkpoint) and the perplexity on text held out of each corpus.
It is how the shipped model ``plaudit/nano`` was made; it is not meant for large models.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from plaudit.artifacts import Artifact
from plaudit.config import Config
from plaudit.formats import (
    WHOLE,
    CorpusFormat,
    Portion,
    data_files,
    local_inputs,
    read_corpus,
    read_texts,
    within,
)
from plaudit.learning import Learner, Order, fit
from plaudit.models import SeparateRoles
from plaudit.models.loading import Precision, as_dtype
from plaudit.models.nano import new_llama
from plaudit.objectives import LanguageModelling
from plaudit.records import Prompt
from plaudit.stages.options import Count, Positive, Share, TrainingOptions
from plaudit.stages.setup import equal_token_weights, make_learner, open_draft
from plaudit.text import (
    Renderer,
    Tokens,
    Tree,
    eos_id,
    load_tokenizer,
    plain_text,
    save_tokenizer,
    train_tokenizer,
)

log = logging.getLogger(__name__)


class Corpus(Config):
    """One source of text."""

    path: str
    """A file, or a pattern of files such as books/*.txt.gz; for kind text any source of rows."""
    kind: CorpusFormat
    """The files' shape."""
    epochs: Positive = 1.0
    """How often its documents are seen."""
    portion: Portion = WHOLE
    """The conversations to learn from, as a part of [0, 1]; the rest is never looked at."""


class PretrainConfig(TrainingOptions):
    """Options of ``plaudit pretrain``."""

    corpora: dict[str, Corpus] = Field(min_length=1)
    """Sources of text by name."""
    learning_rate: Positive = 2e-3
    batch_size: Count = 32
    """Documents in one optimiser step."""
    holdout: Share = 0.01
    """Share of each corpus kept for the perplexity."""
    vocab_size: Count = 4096
    """Tokens of the tokenizer, control tokens included."""
    max_length: Count = 512
    """Tokens of the longest document; longer ones are cut into several."""
    hidden_size: Count = 192
    """Width of the model."""
    intermediate_size: Count = 512
    """Width of the feed-forward layers."""
    num_hidden_layers: Count = 6
    """Layers."""
    num_attention_heads: Count = 6
    """Heads of a layer's attention."""
    num_key_value_heads: Count = 3
    """Heads that keys and values are kept for; each serves several of the others."""
    max_position_embeddings: Count = 1024
    """Tokens the model can attend over."""
    save_precision: Precision = "bfloat16"
    """Of the weights written."""


CONFIG = PretrainConfig


def inputs(config: PretrainConfig) -> dict[str, Path]:
    return local_inputs(**{name: c.path for name, c in config.corpora.items()})


def run(config: PretrainConfig, output: Path) -> Artifact:
    began = time.monotonic()
    draft = open_draft("pretrain", config, inputs(config), output, began)
    documents = {name: list(_documents(corpus)) for name, corpus in config.corpora.items()}
    tokenizer = _tokenizer(config, documents, draft.path / "tokenizer")
    train, held_out = _split(config, documents, tokenizer)
    order = Order(
        rows=len(train),
        batch_size=config.batch_size,
        epochs=config.num_train_epochs,
        seed=config.seed,
    )
    learner = _learner(config, tokenizer, order.steps, draft.path)
    fit(
        learner,
        LanguageModelling(),
        lambda step: equal_token_weights([train[row] for row in order.batch(step)]),
        steps=order.steps,
        draft=draft,
        save_steps=config.save_steps,
    )
    metrics = {name: _perplexity(learner, trees) for name, trees in held_out.items()}
    _save(learner, tokenizer, config, draft.path / "model")
    return draft.finish({"rows": len(train), "steps": order.steps, "held_out": metrics})


def _documents(corpus: Corpus) -> Iterator[Prompt]:
    if corpus.kind == "text":
        documents = read_texts(corpus.path)
    else:
        files = data_files(corpus.path)
        documents = (d for file in files for d in read_corpus(file, corpus.kind))
    return (d for d in documents if within(d.conversation, corpus.portion))


def _tokenizer(
    config: PretrainConfig, documents: dict[str, list[Prompt]], path: Path
) -> PreTrainedTokenizerBase:
    """The tokenizer of this run; a run taken up again finds it in the draft."""
    if not path.is_dir():
        texts = (plain_text(d.content) for name in documents for d in documents[name])
        save_tokenizer(train_tokenizer(texts, vocab_size=config.vocab_size), path)
    return load_tokenizer(path)


def _split(
    config: PretrainConfig, documents: dict[str, list[Prompt]], tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Tree], dict[str, list[Tree]]]:
    train: list[Tree] = []
    held_out: dict[str, list[Tree]] = {}
    for name, corpus in config.corpora.items():
        # The held-out share is counted within the corpus's own portion.
        low, high = corpus.portion
        border = high - config.holdout * (high - low)
        kept: list[Tree] = []
        for document in documents[name]:
            trees = list(_document_trees(document, tokenizer, config.max_length))
            inside = within(document.conversation, (low, border))
            (kept if inside else held_out.setdefault(name, [])).extend(trees)
        train += _repeated(kept, corpus.epochs, config.seed)
        log.info("%s: %d rows, %d tokens", name, len(kept), sum(t.row_tokens for t in kept))
    return train, held_out


def _document_trees(
    document: Prompt, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[Tree]:
    """A document as rows of at most ``max_length`` tokens, each begun with the first token."""
    renderer = Renderer(tokenizer, (eos_id(tokenizer),))
    ids = renderer.document(document.content)
    for i, at in enumerate(range(1, len(ids), max_length - 1)):
        piece = ids[at : at + max_length - 1]
        yield Tree(
            id=f"{document.id}#{i}",
            prompt_P=ids[:1],
            branches=(Tokens(ids=piece, mask=np.ones(len(piece), bool)),),
        )


def _repeated(trees: list[Tree], epochs: float, seed: int) -> list[Tree]:
    whole, part = divmod(epochs, 1.0)
    chosen = np.random.default_rng(seed).permutation(len(trees))[: round(part * len(trees))]
    return trees * int(whole) + [trees[i] for i in chosen]


def _learner(
    config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, steps: int, draft: Path
) -> Learner:
    model = new_llama(
        tokenizer,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        max_position_embeddings=config.max_position_embeddings,
        seed=config.seed,
        precision=config.precision,
        device=config.device,
    )
    roles = SeparateRoles({"policy": model}, trained=["policy"])
    return make_learner(roles, config, tokenizer, draft, total_steps=steps)


def _perplexity(learner: Learner, trees: Sequence[Tree]) -> dict[str, float]:
    outputs = learner.forward(trees, ["policy.logprobs"])
    nll = -np.concatenate([o["policy.logprobs"] for o in outputs])
    return {"perplexity": math.exp(float(nll.mean())), "tokens": len(nll)}


def _save(
    learner: Learner, tokenizer: PreTrainedTokenizerBase, config: PretrainConfig, path: Path
) -> None:
    as_dtype(learner.roles.model("policy"), config.save_precision)
    learner.roles.save("policy", tokenizer, path)
