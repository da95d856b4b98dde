"""What training holds in memory hardly grows with what it is trained on."""
from scale_training import measure


def test_memory_does_not_grow_with_the_pairs(tmp_path):
    figures = {}
    for count in (5_000, 50_000):
        (tmp_path / str(count)).mkdir()
        figures[count] = measure(count, tmp_path / str(count))
    assert figures[50_000]["examples"] == 2 * figures[50_000]["pairs"] and figures[50_000]["steps"] > 5
    assert figures[50_000]["besides_mib"] < figures[5_000]["besides_mib"] + 250 # 45,000 targets alone would be 130 MiB in float32
