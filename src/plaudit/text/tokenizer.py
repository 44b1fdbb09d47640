"""Loading and saving tokenizers, and training nano's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from plaudit.records import Text

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
CALL, TOOLS = "<|call|>", "<|tools|>"

# Words keep underscores (identifiers are words), digits stand alone (numbers are copied digit by
# digit), and a run of punctuation is one piece, so that JSON's '":"' can become one token.
_PIECES = r"'(?:[sdmt]|ll|ve|re)| ?[\p{L}_]+|\p{N}| ?[^\s\p{L}\p{N}_]+|\s+(?!\S)|\s+"

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- if tools %}
{{- '<|tools|>' + tools | tojson(separators=(',', ':')) + '<|end|>' }}
{%- endif %}
{%- for message in messages %}
{{- '<|' + message.role + '|>' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<|call|>' + call.function.name + ' ' }}
{{- call.function.arguments | tojson(separators=(',', ':')) }}
{%- endfor %}
{{- '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>' }}
{%- endif %}"""


def load_tokenizer(path: Path | str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, by local path or hub name.

    Raises:
        ValueError: it cannot be loaded, or has no stop (EOS) token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # a damaged tokenizer.json is a bare Exception of tokenizers
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(f"{path}: no usable tokenizer: {reason}") from error
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{path}: the tokenizer has no EOS token, so nothing can ever stop")
    return tokenizer


def eos_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokenizer's own stop token; ``load_tokenizer`` made sure there is one."""
    assert isinstance(tokenizer.eos_token_id, int)
    return tokenizer.eos_token_id


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Any id will do for padding, which is masked by place and never by its id."""
    return tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else 0


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    tokenizer.save_pretrained(path)


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    """Train nano's tokenizer: byte-level BPE with a chat template that knows tool calls.

    Byte-level, so every text can be written and nothing is unknown.

    Raises:
        ValueError: ``vocab_size`` is too small to hold the bytes and the control tokens.
    """
    special = [PAD, BOS, END, *ROLES, CALL, TOOLS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size <= len(special) + len(alphabet):
        raise ValueError(
            f"vocab_size={vocab_size}: expected more than {len(special) + len(alphabet)} "
            f"({len(alphabet)} bytes and {len(special)} control tokens)"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[*ROLES, CALL, TOOLS],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def plain_text(content: Text) -> str:
    """What a tokenizer is trained on: a content's words, tool calls as compact JSON."""
    if isinstance(content, str):
        return content
    calls = [call for message in content for call in message.tool_calls]
    written = [f"{c.name} {json.dumps(c.arguments, separators=(',', ':'))}" for c in calls]
    return "\n".join([*(message.content for message in content), *written])
