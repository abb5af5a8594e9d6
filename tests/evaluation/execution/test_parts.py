"""The parts that need no process: frames, orders, comparisons, texts in pickles."""

from __future__ import annotations

import base64
import contextlib
import doctest
import json
import os
import pickle
import subprocess
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.evaluation.execution import compare
from mixmerge.evaluation.execution.jail import acts, census, frames, order
from mixmerge.evaluation.scoring import code_text, packed_text

BYTES = st.lists(st.binary(max_size=40), max_size=6)


@given(BYTES)
def test_frames_come_back(parts: list[bytes]) -> None:
    assert frames.unpack(frames.pack(parts)) == parts


@given(BYTES, st.integers(0, 300))
def test_a_cut_pipe_loses_whole_frames_only(parts: list[bytes], cut: int) -> None:
    data = frames.pack(parts)
    assert frames.unpack(data[:cut]) == parts[: len(frames.unpack(data[:cut]))]


@given(st.text(), st.lists(st.tuples(st.sampled_from(["checks", "call"]), st.text(), st.text()), max_size=3))
def test_orders_come_back(source: str, acts: list[tuple[str, str, str]]) -> None:
    limits = {"seconds": 0.5, "memory": 1 << 30, "processes": 3, "disk": 4, "files": 5, "output": 6, "identity": 7}
    sent = order.Order(**limits, folder="/a b", libraries=("/x", "/y"), source=source + "\ud800", acts=acts)  # type: ignore[arg-type]
    back = order.read(order.write(sent))
    assert all(getattr(back, name) == value for name, value in limits.items())
    assert (back.folder, back.libraries, back.source) == ("/a b", ("/x", "/y"), source + "\ud800")
    assert list(back.acts) == acts


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_a_returned_value_equals_itself_and_nothing_else(value: object) -> None:
    told = json.dumps(acts._plain(value)).encode()
    assert compare.returned(told, json.dumps(value)) == ""
    assert compare.returned(told, json.dumps([value, 1])) != ""


@pytest.mark.parametrize(
    ("output", "expected", "right"),
    [
        (b"1 2\n3\n", "1 2\n3", True),
        (b"\n 1 2 \n3\n\n", "1 2\n3", True),
        (b"1.50 2", "1.5 2.0", True),
        (b"1  2", "1 2", True),
        (b"a  b", "a b", False),
        (b"1e1", "10", True),
        (b"50000000000000000", "50000000000000001", False),
        (b"YES", "yes", False),
        (b"1\n2", "1", False),
        (b"", "", True),
        (b"", "0", False),
        (b"nan", "nan", True),
        (b"\xff", "x", False),
    ],
)
def test_printed(output: bytes, expected: str, right: bool) -> None:
    assert (compare.printed(output, expected) == "") is right


@pytest.mark.parametrize(
    "told", [b"", b"{", b"[" * 100_000, b'{"dict": 3}', b'{"dict": [[[1], 2]]}', b'{"x": 1}', b'{"tuple": 1}']
)
def test_what_a_program_returns_is_never_trusted(told: bytes) -> None:
    assert compare.returned(told, "[1]") != ""


@settings(deadline=None)
@given(st.text(), st.integers(1, pickle.HIGHEST_PROTOCOL))
def test_a_pickled_text_is_read_without_unpickling(text: str, protocol: int) -> None:
    data = pickle.dumps(text, protocol)
    assert packed_text.text_of_pickle(data) == text
    assert packed_text.unpacked(base64.b64encode(zlib.compress(data)).decode()) == text


class Deed:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("done",))


@pytest.mark.parametrize(
    "value", [Deed(), ["a"], 1, b"a", None, ("a", "b"), {"a": "b"}], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_any_other_pickle_is_refused(value: object, protocol: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="a pickle of"):
        packed_text.text_of_pickle(pickle.dumps(value, protocol))
    assert capsys.readouterr().out == ""


@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_a_refusal(data: bytes) -> None:
    for form in (data, b"\x80\x04" + data, b"\x80\x04\x8c" + data, b"X" + data):
        with contextlib.suppress(ValueError):
            assert isinstance(packed_text.text_of_pickle(form), str)


def test_a_bomb_of_zeros_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_text, "MAX_BYTES", 1000)
    packed = base64.b64encode(zlib.compress(pickle.dumps("0" * 2000))).decode()
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        packed_text.unpacked(packed)
    for wrong in ("%", "AAAA", base64.b64encode(zlib.compress(b"x")[:-3]).decode()):
        with pytest.raises(ValueError, match=r"not base64|cut off"):
            packed_text.unpacked(wrong)


@pytest.mark.skipif(not os.path.exists("/proc/thread-self/children"), reason="this kernel lists no children")
def test_children_are_found_with_and_without_the_kernels_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(os.getpid())
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        try:
            assert str(child.pid) in census.children(own)
            assert set(census.scanned(own)) == set(census.children(own))
            assert census.scanned(str(child.pid)) == []
        finally:
            child.kill()
    assert census.children("0x") == []
    monkeypatch.setattr(census, "_LISTED", "/proc/none of that name")
    assert census.children("0x") == census.scanned("0x") == []


def test_examples_in_docstrings() -> None:
    for module in (frames, packed_text, code_text):
        failed, tried = doctest.testmod(module)
        assert tried
        assert not failed
