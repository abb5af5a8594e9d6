"""Small checkpoints on disk, sound and broken, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Raw = Callable[..., bytes]
SaveRaw = Callable[..., Path]


def _raw(header: Mapping[str, Any] | bytes | str, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file byte by byte; `length` lies about the header's length."""
    text = json.dumps(header).encode() if isinstance(header, Mapping) else header
    text = text.encode() if isinstance(text, str) else text
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


@pytest.fixture(scope="session")
def raw() -> Raw:
    """Make the bytes of a file from a header, right or wrong, and data."""
    return _raw


@pytest.fixture
def save_raw(tmp_path: Path) -> SaveRaw:
    """Write a file with the given header and data into the test's folder, and return the folder."""

    def save(
        header: Mapping[str, Any] | bytes | str,
        data: bytes = b"",
        *,
        file: str = "model.safetensors",
        length: int | None = None,
    ) -> Path:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / file).write_bytes(_raw(header, data, length))
        return folder

    return save
