"""The server is killed under load: nothing that was acknowledged is lost, nothing is doubled."""

from benchmarks.collect_load import Load, measure


def test_what_was_acknowledged_survives_kills(tmp_path):
    found = measure(Load(database="sqlite", raters=10, seconds=5.0, items=3000, kills=3), tmp_path)
    assert found.judgments > 10
    assert found.resent >= 3, "each kill cuts requests off"
    assert found.refused == 0
    assert (found.lost, found.doubled, found.unacknowledged, found.miscounted) == (0, 0, 0, 0)
    assert found.faults == ()
