"""Public votes with a known truth, read into arrays; their licences are those of their sources.

| name | where | truth |
|---|---|---|
| bluebirds | github.com/welinder/cubam, `demo/bluebirds` | the species in each picture |
| barzan | github.com/ipeirotis/Get-Another-Label, `data/BarzanMozafari` | its evaluation |
| bbq | github.com/nyu-mll/BBQ, `supplemental/MTurk_validation/data`, `validations_*` | its labels |
| ukp | github.com/UKPLab/acl2016-convincing-arguments, `data` | the strict gold |

Files may be gzipped.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml

from plaudit.statistics.votes import UNKNOWN, Integers, Votes, votes

UKP_LABELS = {"a1": 0, "a2": 1, "equal": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Votes on items whose truth is known in part."""

    votes: Votes
    truth_I: Integers


def bluebirds(folder: Path) -> Judged:
    """Is there an Indigo Bunting in the picture: 108 pictures, 39 workers, who saw all."""
    truth = yaml.safe_load((folder / "gt.yaml").read_text())
    labels = yaml.safe_load((folder / "labels.yaml").read_text())
    rows = [(i, w, int(said)) for w, of_item in labels.items() for i, said in of_item.items()]
    return _judged(rows, {i: int(is_blue) for i, is_blue in truth.items()}, 2)


def barzan(folder: Path) -> Judged:
    """Two classes, 1,000 items, five votes each."""
    rows = [
        (item, worker, int(label))
        for line in _lines(folder, "labels.txt")
        for worker, item, label in [line.split()]
    ]
    truth = dict(line.split() for line in _lines(folder, "evaluation.txt"))
    return _judged(rows, {item: int(label) for item, label in truth.items()}, 2)


def bbq(folder: Path) -> Judged:
    """Questions of three options, five answers each; an item is one question of one file."""
    rows, truth = [], {}
    for path in _files(folder, "validations_*"):
        with _open(path) as opened:
            for row in csv.DictReader(opened):
                for q in range(1, 6):
                    answer, label = row[f"Answer.q{q}"], row[f"q{q}_label"]
                    if answer.startswith("ans_") and label.isdigit():
                        item = (path.name, row[f"q{q}_uid"])
                        rows.append((item, row["anon_id"], int(answer[-1])))
                        truth[item] = int(label)
    return _judged(rows, truth, 3)


def ukp(folder: Path) -> Judged:
    """Which of two arguments convinces more: five votes a pair, first, second or equal.

    The strict gold was made from these same votes, by MACE, and then cleaned to fit an order
    (Habernal & Gurevych 2016). So it favours MACE, and shows of the others how near they come to
    that procedure, not to a truth of its own.
    """
    rows = [
        ((_topic(path), pair), worker, UKP_LABELS[label])
        for path in _files(folder / "UKPConvArgCrowd-CSV", "*")
        for pair, worker, label, *_ in _table(path)
    ]
    truth = {
        (_topic(path), pair): UKP_LABELS[label]
        for path in _files(folder / "UKPConvArg1Strict-CSV", "*")
        for pair, label, *_ in _table(path)
    }
    return _judged(rows, truth, 3)


def _judged(
    rows: Sequence[tuple[Hashable, Hashable, int]], truth: Mapping[Any, int], labels: int
) -> Judged:
    items: dict[Hashable, int] = {}
    raters: dict[Hashable, int] = {}
    table = [
        (items.setdefault(item, len(items)), raters.setdefault(rater, len(raters)), label)
        for item, rater, label in rows
    ]
    found = votes(*np.array(table).T, labels=labels)
    return Judged(votes=found, truth_I=np.array([truth.get(item, UNKNOWN) for item in items]))


def _topic(path: Path) -> str:
    # One file of the gold is named with a slip of the pen.
    return path.name.split(".csv")[0].replace("commond-good", "common-good")


def _table(path: Path) -> Iterable[list[str]]:
    with _open(path) as opened:
        yield from (line.rstrip("\n").split("\t") for line in opened if not line.startswith("#"))


def _lines(folder: Path, name: str) -> list[str]:
    (path,) = _files(folder, f"{name}*")
    with _open(path) as opened:
        return opened.read().splitlines()


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(path for path in folder.glob(pattern) if path.suffix in (".csv", ".gz", ".txt"))
    if not found:
        raise ValueError(f"{folder} has no file {pattern}; expected it as its source publishes it")
    return found


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
