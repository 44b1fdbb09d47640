"""How often each method of consensus finds the truth on public votes.

    python benchmarks/consensus.py --bluebirds DIR --barzan DIR --bbq DIR --ukp DIR

Every method runs as it is shipped, without gold and with nothing tuned to a set. A tie of m labels
counts 1 / m.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import consensus_data
from benchmarks.consensus_data import Judged
from plaudit.statistics.agreement import krippendorff_alpha, leave_one_out
from plaudit.statistics.dawid_skene import dawid_skene, one_coin, weighted_majority
from plaudit.statistics.glad import glad
from plaudit.statistics.mace import mace
from plaudit.statistics.majority import majority
from plaudit.statistics.patterns import patterns_of
from plaudit.statistics.votes import UNKNOWN, Floats, Votes, expected_accuracy

METHODS: dict[str, Callable[[Votes], Floats]] = {
    "majority": lambda votes: majority(votes).posterior_IK,
    "weighted majority": lambda votes: weighted_majority(votes).posterior_IK,
    "one-coin Dawid-Skene": lambda votes: one_coin(votes).posterior_IK,
    "Dawid-Skene": lambda votes: dawid_skene(votes).posterior_IK,
    "GLAD": lambda votes: glad(votes).posterior_IK,
    "MACE": lambda votes: mace(votes).posterior_IK,
}
READERS = {
    "bluebirds": consensus_data.bluebirds,
    "barzan": consensus_data.barzan,
    "bbq": consensus_data.bbq,
    "ukp": consensus_data.ukp,
}


CLIP = 1e-3
"""No method pays for more than 6.9 nats of certainty in the wrong."""


def table(sets: dict[str, Judged]) -> str:
    """A row a method, a column a set: accuracy in per cent, log-loss in nats, and seconds."""
    lines = [f"| | {' | '.join(sets)} |", "|---|" + "---:|" * len(sets)]
    rows: dict[str, Callable[[Judged], str]] = {
        "items of known truth": lambda judged: f"{(judged.truth_I != UNKNOWN).sum():,}",
        "votes": lambda judged: f"{len(judged.votes):,}",
        "raters": lambda judged: f"{judged.votes.raters:,}",
        "alpha": lambda judged: f"{krippendorff_alpha(patterns_of(judged.votes)):.2f}",
        "human ceiling": lambda judged: f"{100 * leave_one_out(patterns_of(judged.votes)):.1f}",
    }
    rows |= {name: lambda judged, of=of: _measured(of, judged) for name, of in METHODS.items()}
    for name, cell in rows.items():
        lines.append(f"| {name} | {' | '.join(cell(judged) for judged in sets.values())} |")
    return "\n".join(lines)


def _measured(of: Callable[[Votes], Floats], judged: Judged) -> str:
    began = time.perf_counter()
    posterior_IK = of(judged.votes)
    seconds = time.perf_counter() - began
    accuracy = expected_accuracy(posterior_IK, judged.truth_I)
    known_I = np.flatnonzero(judged.truth_I != UNKNOWN)
    given_I = posterior_IK[known_I, judged.truth_I[known_I]]
    loss = -np.log(np.clip(given_I, CLIP, None)).mean()
    return f"{100 * accuracy:.1f} / {loss:.2f} ({seconds:.1f} s)"


def main() -> None:
    """Print the table of the sets that are given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name in READERS:
        parser.add_argument(f"--{name}", type=Path)
    chosen = vars(parser.parse_args())
    sets = {name: read(chosen[name]) for name, read in READERS.items() if chosen[name]}
    if not sets:
        parser.error(f"no set is given; expected one of --{', --'.join(READERS)}")
    print(table(sets))


if __name__ == "__main__":
    main()
