"""What training holds in memory hardly grows with what it is trained on."""
from scale_training import measure


def test_memory_does_not_grow_with_the_pairs(tmp_path):
    figures = {}
    for count in (5_000, 100_000):
        (tmp_path / str(count)).mkdir()
        figures[count] = measure(count, tmp_path / str(count))
    assert figures[100_000]["examples"] == 2 * figures[100_000]["pairs"] and figures[100_000]["steps"] > 5
    assert figures[100_000]["besides_mib"] < figures[5_000]["besides_mib"] + 400 # seen: 265; 95,000 targets in float32 would add 278
