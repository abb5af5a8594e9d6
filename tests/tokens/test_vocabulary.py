"""Vocabularies from every form of tokenizer file, and from files that lie."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from mixmerge.tokens import UnreadableError, read_vocabulary, signature
from mixmerge.tokens.pieces import read_pieces


def folder(tmp_path: Path, files: dict[str, Any]) -> Path:
    place = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
    place.mkdir()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content if isinstance(content, str) else json.dumps(content)
        (place / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return place


def field(number: int, data: bytes) -> bytes:
    """A protocol buffer field with a length."""
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def sentencepiece(*pieces: tuple[str, int]) -> bytes:
    """A model file as SentencePiece writes it: pieces with scores, then settings."""
    made = [
        field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", -1.5) + (b"\x18" + varint(kind)) * (kind != 1))
        for text, kind in pieces
    ]
    return b"".join(made) + field(2, b"\x08\x01" + field(1, b"corpus")) + field(3, b"\x12\x03abc")


PIECES = (("<unk>", 2), ("<s>", 3), ("▁the", 1), ("<0x0A>", 6), ("<pad>", 4))


@pytest.mark.parametrize(
    ("files", "ids", "added", "kind"),
    [
        (
            {"tokenizer.json": {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}}},
            {"a": 0, "b": 1}, [], "words",
        ),
        (
            {"tokenizer.json": {"model": {"type": "Unigram", "vocab": [["x", 0.0], ["y", -1.0]]},
                                "added_tokens": [{"id": 2, "content": "[P]", "special": True}]}},
            {"x": 0, "y": 1, "[P]": 2}, ["[P]"], "sentencepiece",
        ),
        (
            {"tokenizer.json": {"model": {"type": "BPE", "vocab": {"Ġa": 0}}, "decoder": {"type": "ByteLevel"}}},
            {"Ġa": 0}, [], "byte-level",
        ),
        (
            {"tokenizer.json": {"model": {"type": "BPE", "byte_fallback": True, "vocab": {"▁a": 0}}}},
            {"▁a": 0}, [], "sentencepiece",
        ),
        ({"tokenizer.json": {"model": {"type": "WordPiece", "vocab": {"##a": 0}}}}, {"##a": 0}, [], "wordpiece"),
        ({"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}}}}, {"a": 0}, [], ""),
        (
            {"tokenizer.model": sentencepiece(*PIECES)},
            {"<unk>": 0, "<s>": 1, "▁the": 2, "<0x0A>": 3, "<pad>": 4}, ["<s>", "<pad>"], "sentencepiece",
        ),
        (
            {"tokenizer.model": sentencepiece(*PIECES), "added_tokens.json": {"[PAD]": 5},
             "special_tokens_map.json": {"pad_token": {"content": "[PAD]"}}},
            {"<unk>": 0, "<s>": 1, "▁the": 2, "<0x0A>": 3, "<pad>": 4, "[PAD]": 5}, ["<s>", "<pad>", "[PAD]"],
            "sentencepiece",
        ),
        (
            {"vocab.json": {"Ġa": 0, "b": 1}, "tokenizer_config.json":
                {"added_tokens_decoder": {"2": {"content": "<|im_start|>", "special": True}, "1": {"content": "b"}}}},
            {"Ġa": 0, "b": 1, "<|im_start|>": 2}, ["<|im_start|>"], "byte-level",
        ),
        ({"vocab.txt": "[PAD]\nthe\n##s\n"}, {"[PAD]": 0, "the": 1, "##s": 2}, [], "wordpiece"),
    ],
)  # fmt: skip
def test_every_form(files: dict[str, Any], ids: dict[str, int], added: list[str], kind: str, tmp_path: Path) -> None:
    found = read_vocabulary(folder(tmp_path, files))
    assert found is not None
    assert dict(found.ids) == ids
    assert list(found.added) == added
    assert found.kind == kind
    for token, entry in found.added.items():
        assert entry.special == (token not in ("<pad>",))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"tokenizer.json": "not json"}, "Expecting value: line 1 column 1"),
        (
            {"tokenizer.json": '{\n  "model": {"vocab": {"a": 0}\n  "x": 1}}'},
            "Expecting ',' delimiter: line 3 column 3",
        ),
        ({"tokenizer.json": '{"model": {"vocab": {"a'}, "Unterminated string starting at: line 1 column 22"),
        ({"tokenizer.json": "[" * 500_000}, "nested too deeply"),
        ({"tokenizer.json": "[]"}, "the form of a tokenizer"),
        ({"tokenizer.json": {"model": {}}}, "an entry lacks 'vocab'"),
        ({"tokenizer.json": {"model": {"vocab": {}}}}, "no vocabulary"),
        ({"tokenizer.json": {"model": {"vocab": {"a": -1}}}}, "a token's id is a row"),
        ({"tokenizer.json": {"model": {"vocab": {"a": 2**31}}}}, "a token's id is a row"),
        ({"tokenizer.json": {"model": {"vocab": {"a": 4_000_000}}}}, "a token's id is a row"),
        ({"tokenizer.json": {"model": {"vocab": {"\ud800": 0}}}}, "surrogates"),
        ({"tokenizer.json": {"model": {"vocab": {"a": True}}}}, "a token's id is a row"),
        ({"tokenizer.json": {"model": {"vocab": {"a": "0"}}}}, "a token's id is a row"),
        ({"tokenizer.json": {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}}, "an entry lacks 'content'"),
        ({"tokenizer.json": {"model": {"vocab": {"a": 0}}, "added_tokens": 5}}, "the form of a tokenizer"),
        (
            {
                "tokenizer.json": {
                    "model": {"vocab": {"a": 0}},
                    "added_tokens": [{"content": "x", "id": "abc"}, {"content": "x", "id": 1}],
                }
            },
            "a token's id is a row",
        ),
        ({"tokenizer.json": b"\xff\xfe"}, "not UTF-8 at byte 0"),
        ({"tokenizer.model": b"\x0a\xff"}, "a number without end"),
        ({"tokenizer.model": b"\x0a\x02\x0b\x0b"}, "wire type 3"),
        ({"tokenizer.model": b"\xff" * 40}, "a number without end"),
        ({"tokenizer.model": field(1, field(1, b"\xff\xfe"))}, "can't decode byte"),
        ({"vocab.json": "{}"}, "no vocabulary"),
        ({"vocab.txt": b"\xff"}, "can't decode byte"),
    ],
)
def test_what_is_no_vocabulary(files: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """The file is named, and the place in it where there is one."""
    name = next(iter(files))
    what = "is no SentencePiece model" if name.endswith(".model") else "is malformed"
    with pytest.raises(UnreadableError) as caught:
        read_vocabulary(folder(tmp_path, files))
    assert str(caught.value).startswith(f"{name} {what}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("added_tokens.json", {"b": -4}, "a token's id is a row"),
        ("added_tokens.json", {"b": "4"}, "a token's id is a row"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "b"}}}, "invalid literal"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": 5}}, "the form of a tokenizer"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"1": {}}}, "an entry lacks 'content'"),
    ],
)
def test_what_states_malformed_tokens_beside_is_named(name: str, content: Any, reason: str, tmp_path: Path) -> None:
    """Not the learned vocabulary, which is as it should be."""
    with pytest.raises(UnreadableError) as caught:
        read_vocabulary(folder(tmp_path, {"vocab.json": {"a": 0}, name: content}))
    assert name in str(caught.value)
    assert "vocab.json" not in str(caught.value)
    assert reason in str(caught.value)


def test_no_tokenizer_file_is_no_error(tmp_path: Path) -> None:
    assert read_vocabulary(folder(tmp_path, {"added_tokens.json": {"a": 0}})) is None


def test_files_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path, {"vocab.json": {"a": 0, "b": 1}})
    monkeypatch.setattr("mixmerge.tokens.vocabulary.MAX_FILE", 5)
    with pytest.raises(UnreadableError, match=r"vocab\.json is larger than"):
        read_vocabulary(place)
    monkeypatch.undo()
    monkeypatch.setattr("mixmerge.tokens.vocabulary.MAX_TOKENS", 1)
    with pytest.raises(UnreadableError, match="without end"):
        read_vocabulary(place)
    with pytest.raises(ValueError, match="more than 2"):
        list(read_pieces(sentencepiece(*PIECES), 2))


def test_many_added_tokens_are_read_in_one_go(tmp_path: Path) -> None:
    many = {f"[{number}]": number + 1 for number in range(100_000)}
    begun = time.process_time()
    found = read_vocabulary(folder(tmp_path, {"vocab.json": {"a": 0}, "added_tokens.json": many}))
    assert found is not None
    assert len(found.added) == 100_000
    assert time.process_time() - begun < 10, "one table, not one a token: that would take minutes"


def test_pieces_are_those_the_library_writes(tmp_path: Path) -> None:
    """A model trained by SentencePiece itself, where that is installed."""
    library = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    library.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "m"), vocab_size=40, model_type="bpe",
        user_defined_symbols=["<sep>"], minloglevel=2, byte_fallback=False, hard_vocab_limit=False,
    )  # fmt: skip
    processor = library.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    found = list(read_pieces((tmp_path / "m.model").read_bytes(), 1000))
    assert [text for text, _ in found] == [processor.id_to_piece(k) for k in range(processor.get_piece_size())]
    assert dict(found)["<sep>"] == 4
    assert dict(found)["<s>"] == 3


def test_a_signature_is_of_what_numbers_tokens(tmp_path: Path) -> None:
    files = {"tokenizer.json": {"model": {"vocab": {"a": 0}}}}
    first = signature(folder(tmp_path, files))
    assert first == signature(folder(tmp_path, {**files, "tokenizer_config.json": {"x": 1}}))
    assert first != signature(folder(tmp_path, {**files, "added_tokens.json": {"b": 1}}))
    assert first != signature(folder(tmp_path, {"vocab.json": json.dumps(files["tokenizer.json"])}))
    stated = [{"1": {"content": "b"}, "2": {"content": "c"}}, {"2": {"content": "b"}, "1": {"content": "c"}}]
    two = [folder(tmp_path, {**files, "tokenizer_config.json": {"added_tokens_decoder": one}}) for one in stated]
    assert read_vocabulary(two[0]) != read_vocabulary(two[1])
    assert len({first, *map(signature, two)}) == 3
    assert signature(folder(tmp_path, {})) is None
