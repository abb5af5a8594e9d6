"""One header: what is refused and how it is told; ours against the safetensors package."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.checkpoint.dtypes import DTYPES
from mixmerge.checkpoint.header import TensorSpan, TensorSpec, format_header, parse_header
from mixmerge.errors import CheckpointError

Raw = Callable[..., bytes]

FILE = Path("x.safetensors")
PLACE = "model 'a', file x.safetensors"


def parse(data: bytes) -> tuple[TensorSpan, ...]:
    return parse_header(data, len(data), FILE, PLACE)


def tensor(begin: int, end: int, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


def refusal(data: bytes) -> str:
    with pytest.raises(CheckpointError) as caught:
        parse(data)
    assert type(caught.value) is CheckpointError
    assert all(problem.place.startswith(PLACE) for problem in caught.value.problems)
    return str(caught.value)


def test_spans_come_in_the_order_of_their_bytes(raw: Raw) -> None:
    data = raw({"b": tensor(8, 16), "a": tensor(0, 8), "__metadata__": {"format": "pt"}}, bytes(16))
    spans = parse(data)
    assert [(span.name, span.shape, span.nbytes, span.count) for span in spans] == [
        ("a", (2,), 8, 2),
        ("b", (2,), 8, 2),
    ]
    assert spans[0].offset == len(data) - 16
    assert spans[1].byte_range(1, 1) == (len(data) - 4, 4)


@pytest.mark.parametrize("size", range(8))
def test_a_file_too_short_for_its_length(size: int) -> None:
    assert f"{size} bytes" in refusal(bytes(size))


def test_a_header_longer_than_the_file(raw: Raw) -> None:
    assert "1,000 bytes in a file of 10 bytes" in refusal(raw(b"{}", length=1000))


def test_a_header_longer_than_the_limit(raw: Raw) -> None:
    assert "100,000,000 bytes" in refusal(raw(b"{}", length=2**63))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "b''"),
        (b" {}", "b' '"),
        (b"[]", "b'['"),
        (b"{", "Expecting property name"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"\xff": 1}', "not UTF-8 at byte 2"),
        (b'{"\\ud800": 1}', "lone surrogate"),
        (b'{"a":' + b"[" * 90_000, "nested too deeply"),
        (b'{"a":' * 90_000, "nested too deeply"),
        (b'{"a":' + b"1" * 10_000 + b"}", "Exceeds the limit"),
        (b'{"name": 1, "name": 1}', "'name' is given twice"),
        (b'{"t": {"dtype": "F32", "dtype": "F16"}}', "'dtype' is given twice"),
    ],
)
def test_text_that_is_not_an_honest_object(raw: Raw, text: bytes, told: str) -> None:
    assert told in refusal(raw(text))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (1, "found: 1"),
        ([], "found: []"),
        ({"dtype": "F32", "shape": [1]}, "data_offsets"),
        (tensor(0, 4, dtype="F33"), "did you mean 'F32'"),
        (tensor(0, 4, dtype="F4"), "found: 'F4'"),
        (tensor(0, 4, dtype=None), "found: None"),
        (tensor(0, 4, dtype=["F32"]), "found: ['F32']"),
        (tensor(0, 4, shape=[True]), "found: [True]"),
        (tensor(0, 4, shape=[1.0]), "found: [1.0]"),
        (tensor(0, 4, shape=[-1]), "found: [-1]"),
        (tensor(0, 4, shape=1), "found: 1"),
        (tensor(0, 4, shape=[2**63]), "whole numbers"),
        (tensor(0, 4, shape=[1] * 65), "at most 64"),
        (tensor(0, 4, shape=[2]), "F32 [2] takes 8 bytes, data_offsets span 4"),
        (tensor(0, 4, shape=[2**62, 2**62]), "data_offsets span 4"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "found: [4, 0]"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0]}, "found: [0]"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [False, 4]}, "found: [False, 4]"),
        ({"dtype": "F32", "shape": [1], "data_offsets": {"a": 1}}, "found: {'a': 1}"),
    ],
)
def test_a_tensor_that_is_stated_wrong(raw: Raw, entry: Any, told: str) -> None:
    message = refusal(raw({"my.tensor": entry}, bytes(4)))
    assert told in message
    assert "tensor 'my.tensor'" in message


def test_overlap_gap_truncation_and_trailing_bytes_name_the_tensor(raw: Raw) -> None:
    overlap = refusal(raw({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)))
    assert "overlaps" in overlap
    assert "tensor 'b'" in overlap
    gap = refusal(raw({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)))
    assert "gap" in gap
    assert "tensor 'b'" in gap
    truncated = refusal(raw({"a": tensor(0, 4), "b": tensor(4, 12)}, bytes(9)))
    assert "truncated" in truncated
    assert "tensor 'b'" in truncated
    assert "belong to no tensor" in refusal(raw({"a": tensor(0, 4)}, bytes(5)))


@pytest.mark.parametrize("metadata", [1, None, [], {"a": 1}, {"a": None}, {"a": {"b": "c"}}])
def test_metadata_is_text_to_text(raw: Raw, metadata: Any) -> None:
    assert "maps text to text" in refusal(raw({"__metadata__": metadata}))


def test_all_problems_are_told_at_once_and_many_are_counted(raw: Raw) -> None:
    message = refusal(raw({f"t{i}": tensor(0, 4, dtype="X") for i in range(50)}, bytes(4)))
    assert message.count("found: 'X'") == 20
    assert "and 30 more problems" in message


def test_a_long_value_is_cut(raw: Raw) -> None:
    assert len(refusal(raw({"n" * 100_000: "v" * 100_000}))) < 1000


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(CheckpointError):
        parse(data)


ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}))
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "U8", "BOOL", "F4", "Q"]) | ODD,
        "shape": st.lists(st.integers(0, 3) | ODD, max_size=3) | ODD,
        "data_offsets": st.lists(st.integers(0, 9) | ODD, max_size=3) | ODD,
    }
)
HEADER = st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), ENTRY | ODD, max_size=3)


@settings(max_examples=100, deadline=None)
@given(HEADER, st.binary(max_size=12))
def test_random_headers_are_refused_or_read(raw: Raw, header: dict[str, Any], data: bytes) -> None:
    try:
        parse(raw(header, data))
    except CheckpointError as error:
        assert PLACE in str(error)  # noqa: PT017


@st.composite
def sound(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """A header that is right, and the bytes of data it needs."""
    header: dict[str, Any] = {}
    begin = 0
    for name in draw(st.lists(st.text(max_size=4).filter(lambda n: n != "__metadata__"), unique=True, max_size=4)):
        dtype = draw(st.sampled_from(list(DTYPES.values())))
        spec = TensorSpec(name, dtype, tuple(draw(st.lists(st.integers(0, 3), max_size=3))))
        header[name] = tensor(begin, begin + spec.nbytes, dtype.name, list(spec.shape))
        begin += spec.nbytes
    return header, begin


@settings(max_examples=200, deadline=None)
@given(sound(), st.integers(-2, 2), st.data())
def test_what_we_accept_safetensors_accepts(
    raw: Raw, case: tuple[dict[str, Any], int], change: int, choice: st.DataObject
) -> None:
    header, size = case
    if header and change:
        entry = header[choice.draw(st.sampled_from(sorted(header)))]
        entry["data_offsets"][choice.draw(st.integers(0, 1))] += change
    data = raw(header, bytes(size))
    try:
        ours = {span.name: (span.dtype.name, list(span.shape)) for span in parse(data)}
    except CheckpointError:
        with pytest.raises(safetensors.SafetensorError):
            safetensors.deserialize(data)
    else:
        theirs = {name: (view["dtype"], list(view["shape"])) for name, view in safetensors.deserialize(data)}
        assert ours == theirs


@settings(max_examples=100, deadline=None)
@given(sound(), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
def test_what_we_format_is_read_by_us_and_by_safetensors(
    case: tuple[dict[str, Any], int], metadata: dict[str, str]
) -> None:
    entries, size = case
    specs = [TensorSpec(n, DTYPES[e["dtype"]], tuple(e["shape"])) for n, e in entries.items()]
    header = format_header(specs, metadata)
    assert len(header) % 8 == 0
    assert header == format_header(specs, dict(reversed(metadata.items())))
    data = header + bytes(size)
    assert {(s.name, s.dtype, s.shape) for s in parse(data)} == {(s.name, s.dtype, s.shape) for s in specs}
    assert {name for name, _ in safetensors.deserialize(data)} == set(entries)


def test_a_header_of_brackets_is_refused_before_it_is_parsed() -> None:
    """Two bytes of text become 64 of memory. Brackets of tensors, and of metadata, are no harm."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = {"__metadata__": {"tags": "[{}]" * 20_000}} | {f"w{k}": entry for k in range(50_000)}
    text = json.dumps(header).encode()
    assert len(parse(len(text).to_bytes(8, "little") + text)) == 50_000
    text = json.dumps({"w": {**entry, "x": [[]] * 100_001}}).encode()
    with pytest.raises(CheckpointError, match="holds tensors and little else"):
        parse(len(text).to_bytes(8, "little") + text)


def test_a_formatted_header_is_plain_json_with_metadata_first() -> None:
    header = format_header([TensorSpec("é", DTYPES["BF16"], (2, 3))], {"format": "pt"})
    assert json.loads(header[8:]) == {
        "__metadata__": {"format": "pt"},
        "é": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
    }
    assert header[8:].startswith(b'{"__metadata__"')
