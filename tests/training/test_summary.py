"""The table of layers as the lecture prints it."""

from training import architectures, summary


def test_the_printed_table() -> None:
    lines = summary.table("lecture-cnn", summary.rows(architectures.find("lecture-cnn").build())).splitlines()
    assert lines[0] == "lecture-cnn"
    assert lines[4].split("  ")[0] == "Conv2D"
    assert lines[7].endswith("1,168")
    assert lines[-1] == "Total 228,036 parameters"
    assert len({len(line) for line in lines[1:-1]}) == 1
