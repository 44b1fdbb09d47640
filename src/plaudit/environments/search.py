"""Search over passages of one's own, by BM25 (Robertson et al. 1994), with bm25s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plaudit.environments.tools import Tool, text_argument
from plaudit.formats import data_files, read_rows

_WORD = re.compile(r"\w+")


def search_tool(passages: Sequence[str], *, max_results: int) -> Tool:
    """``search``: the passages that fit a query best, best first; k1 = 1.5, b = 0.75."""
    import bm25s

    index: Any = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index([_words(passage) for passage in passages], show_progress=False)

    def answer(query: str) -> str:
        known = [word for word in _words(query) if word in index.vocab_dict]
        if not known:
            return "nothing found"
        best, scores = index.retrieve(
            [known], k=min(max_results, len(passages)), show_progress=False
        )
        found = [passages[i] for i, score in zip(best[0], scores[0], strict=True) if score > 0]
        return "\n".join(f"[{n}] {passage}" for n, passage in enumerate(found, start=1))

    return Tool(
        name="search",
        description=f"Search {len(passages)} passages of text for words.",
        parameters=text_argument("query", "Words to look for."),
        call=lambda arguments: answer(str(arguments["query"])),
    )


def read_passages(name: str, column: str) -> list[str]:
    """The passages of a corpus: one column of its rows.

    Raises:
        ValueError: the corpus cannot be read, or a row has no text in the column.
    """
    passages = []
    for file in data_files(name):
        for row in read_rows(file):
            text = row.value.get(column)
            if not isinstance(text, str) or not _words(text):
                row.fail(f"{column} holds no words", f'{{"{column}": "..."}}')
            passages.append(text)
    return passages


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
