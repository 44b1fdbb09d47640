"""Pages against a plain record of what every holder was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plaudit.sampling.pages import NOBODY, PAGE_TOKENS, Pages


def write(pages: Pages, holders: np.ndarray, tokens: np.ndarray, values: np.ndarray) -> None:
    key_XGD = torch.as_tensor(values, dtype=torch.float32)[:, None, None]
    for layer in (0, 1):
        pages.write(layer, pages.place(holders, tokens), key_XGD + layer, -key_XGD)


@pytest.mark.parametrize("seed", range(5))
def test_every_token_is_found_again_whatever_came_and_went(seed: int):
    rng = np.random.default_rng(seed)
    pages, given = Pages(torch.device("cpu")), dict[int, list[float]]()
    for _ in range(60):
        new = [int(h) for h in rng.permutation(12)[:3] if h not in given]
        lengths = rng.integers(1, 2 * PAGE_TOKENS, len(new))
        if new:
            pages.take(new, lengths)
            for holder, length in zip(new, lengths, strict=True):
                given[holder] = list(rng.random(length))
                at = np.arange(length)
                write(pages, np.full(length, holder), at, np.array(given[holder]))
        holders = np.array(sorted(given))
        for _ in range(int(rng.integers(1, 40))):
            tokens = np.array([len(given[h]) for h in holders])
            pages.make_room(holders, tokens)
            values = rng.random(len(holders))
            write(pages, holders, tokens, values)
            for holder, value in zip(holders.tolist(), values, strict=True):
                given[holder].append(value)
        gone = rng.permutation(holders)[: rng.integers(0, len(holders) + 1)]
        pages.release(gone)
        for holder in gone.tolist():
            del given[holder]
        check(pages, given)


def check(pages: Pages, given: dict[int, list[float]]) -> None:
    kept = set(pages.holder_N.tolist()) - {NOBODY}
    assert kept == set(given)
    for layer in (0, 1):
        for holder, values in given.items():
            at = np.arange(len(values))
            page_X, offset_X = pages.place(np.full(len(values), holder), at)
            key, value = pages.kept(layer)
            expected = torch.as_tensor(values, dtype=torch.float32)
            torch.testing.assert_close(key[page_X, 0, offset_X, 0], expected + layer)
            torch.testing.assert_close(value[page_X, 0, offset_X, 0], -expected)


def test_holes_are_filled_once_they_are_many():
    pages = Pages(torch.device("cpu"))
    pages.take(np.arange(20), np.full(20, PAGE_TOKENS))
    write(pages, np.arange(20), np.zeros(20, int), np.arange(20.0))
    pages.release(np.arange(3))
    assert len(pages) == 20
    pages.release(np.arange(3, 6))
    assert len(pages) == 14 and sorted(pages.holder_N) == list(range(6, 20))
