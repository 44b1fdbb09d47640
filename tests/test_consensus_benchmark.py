"""The benchmark of consensus reads each source as it is published, and prints a row a method."""

from __future__ import annotations

import gzip

import pytest

from benchmarks import consensus_data
from benchmarks.consensus import METHODS, table
from plaudit.statistics.votes import UNKNOWN


def test_bluebirds_are_read(tmp_path):
    (tmp_path / "gt.yaml").write_text("{7: true, 9: false}")
    (tmp_path / "labels.yaml").write_text("{1: {7: true, 9: true}, 2: {7: false, 9: false}}")
    found = consensus_data.bluebirds(tmp_path)
    assert found.truth_I.tolist() == [1, 0]
    assert found.votes.counts_IK().tolist() == [[1, 1], [1, 1]]


def test_barzan_is_read_gzipped_and_what_has_no_truth_is_unknown(tmp_path):
    with gzip.open(tmp_path / "labels.txt.gz", "wt") as opened:
        opened.write("A\t201\t0\nB\t201\t1\nA\t202\t1\n")
    (tmp_path / "evaluation.txt").write_text("202\t1\n")
    found = consensus_data.barzan(tmp_path)
    assert found.truth_I.tolist() == [UNKNOWN, 1]
    assert (len(found.votes), found.votes.raters) == (3, 2)


def test_bbq_is_read_question_by_question(tmp_path):
    names = [f"Answer.q{q}" for q in range(1, 6)] + ["anon_id"]
    names += [f"q{q}_{part}" for q in range(1, 6) for part in ("uid", "label")]
    row = dict.fromkeys(names, "") | {"anon_id": "3"}
    row |= {"Answer.q1": "ans_2", "q1_uid": "5", "q1_label": "1"}
    row |= {"Answer.q2": "ans_0", "q2_uid": "6", "q2_label": "NA"}
    lines = [",".join(names), ",".join(row[name] for name in names)]
    (tmp_path / "validations_round1.csv").write_text("\n".join(lines))
    found = consensus_data.bbq(tmp_path)
    assert found.truth_I.tolist() == [1]
    assert found.votes.labels_N.tolist() == [2]


def test_arguments_are_read_with_the_slip_in_a_name_and_all_methods_run(tmp_path):
    for folder, name, lines in (
        ("UKPConvArgCrowd-CSV", "a_common-good.csv", ["p\tA\ta1", "p\tB\tequal", "q\tA\ta2"]),
        ("UKPConvArg1Strict-CSV", "a_commond-good.csv", ["p\ta1"]),
    ):
        (tmp_path / folder).mkdir()
        text = "\n".join(["#id\tlabel"] + [f"{line}\tone\tother" for line in lines])
        (tmp_path / folder / name).write_text(text)
    found = consensus_data.ukp(tmp_path)
    assert found.truth_I.tolist() == [0, UNKNOWN]
    assert found.votes.labels_N.tolist() == [0, 2, 1]
    printed = table({"ukp": found})
    assert all(f"| {name} |" in printed for name in METHODS)


def test_a_folder_without_its_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no file"):
        consensus_data.barzan(tmp_path)
