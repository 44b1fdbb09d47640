"""Readers of others' formats: rows in, records out, and every error with its file and line."""

from plaudit.formats.corpora import CorpusFormat, read_corpus, read_texts
from plaudit.formats.files import Row, data_files, read_rows, read_text
from plaudit.formats.loading import (
    load_demonstrations,
    load_judged,
    load_judgments,
    load_prompts,
    load_stepped,
)
from plaudit.formats.merging import merge
from plaudit.formats.portions import WHOLE, Portion, conversation_key, place, within
from plaudit.formats.shapes import Format, detect
from plaudit.formats.sources import local_inputs

__all__ = [
    "WHOLE",
    "CorpusFormat",
    "Format",
    "Portion",
    "Row",
    "conversation_key",
    "data_files",
    "detect",
    "load_demonstrations",
    "load_judged",
    "load_judgments",
    "load_prompts",
    "load_stepped",
    "local_inputs",
    "merge",
    "place",
    "read_corpus",
    "read_rows",
    "read_text",
    "read_texts",
    "within",
]
