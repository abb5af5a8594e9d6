"""Sizes as people write and read them."""

from __future__ import annotations

import pytest

from mixmerge.cli.failures import UsageError
from mixmerge.cli.sizes import bytes_text, mib_text, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GiB", 2**30),
        ("512MB", 512_000_000),
        ("5GB", 5_000_000_000),
        ("500000000", 500_000_000),
        ("1.5 MiB", 3 * 2**19),
        ("0.1GB", 100_000_000),
        (" 2kib ", 2048),
        ("7B", 7),
        ("1TB", 10**12),
        ("1TiB", 2**40),
        ("1KB", 1000),
        ("3MiB", 3 * 2**20),
    ],
)
def test_read(text: str, size: int) -> None:
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize(
    "text", ["", "GB", "1G", "1.5.2GB", "-1GB", "1e9", "0", "0.1B", "5 gigabytes", "１GB", "1,5GB", "9" * 10**6]
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1GiB") as caught:
        parse_size(text, "--shard-size")
    assert caught.value.problems[0].place == "--shard-size"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (2_200_121_416, "2.20 GB"),
        (3e15, "3000 TB"),
    ],
)
def test_written(count: float, text: str) -> None:
    assert bytes_text(count) == text


def test_memory_in_mib() -> None:
    assert mib_text(5 * 2**30) == "5,120 MiB"
