"""Tokenizer files of the output where they differ from those of the model whose tokenizer it keeps.

They differ by the tokens it has beyond that model's, and by the special tokens a recipe sets; all else in them stays:
learned tokens, other special tokens, chat template.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mixmerge.tokens.alignment import Added
from mixmerge.tokens.named import Special
from mixmerge.tokens.vocabulary import AddedToken, Vocabulary, small_json

_JSON: Final = "tokenizer.json"
_CONFIG: Final = "tokenizer_config.json"
_BESIDE: Final = "added_tokens.json"
_MAP: Final = "special_tokens_map.json"


def tokenizer_files(
    folder: Path, home: Vocabulary, added: Sequence[Added], special: Sequence[Special]
) -> Mapping[str, bytes]:
    """Name -> content of the files in a model's folder that state tokens or roles, with these entered.

    home: the vocabulary there, which has been read before; what could not be read then states no tokens now.
    """
    entered = {one.id: one.token for one in added} | {
        one.id: replace(home.added.get(one.token, AddedToken(one.token)), special=True)
        for one in special
        if one.token in home.ids
    }
    found: dict[str, dict[str, Any]] = {}
    config = small_json(folder, _CONFIG)
    if entered and (folder / _JSON).is_file():
        found[_JSON] = _learned_and_added(small_json(folder, _JSON), entered, special)
        _rename(found[_JSON], _renamed({**small_json(folder, _MAP), **config}, special))
    config = _roles(config, special)
    if isinstance(config.get("added_tokens_decoder"), dict) and entered:
        config["added_tokens_decoder"] |= {str(number): token.entry() for number, token in entered.items()}
        found[_CONFIG] = config
    if special:
        found[_CONFIG] = config
        if (folder / _MAP).is_file():
            found[_MAP] = _roles(small_json(folder, _MAP), special)
    if added and ((folder / _BESIDE).is_file() or _JSON not in found):
        found[_BESIDE] = {**small_json(folder, _BESIDE), **{one.token.content: one.id for one in added}}
    return {name: _text(content) for name, content in found.items()}


def _learned_and_added(
    content: dict[str, Any], entered: Mapping[int, AddedToken], special: Sequence[Special]
) -> dict[str, Any]:
    """tokenizer.json with tokens entered by id; padding, where it states some, is done with the token for it."""
    entries = [one for one in content.get("added_tokens") or [] if one["id"] not in entered]
    entries += [{"id": number, **token.entry()} for number, token in entered.items()]
    content["added_tokens"] = sorted(entries, key=lambda entry: int(entry["id"]))
    for one in special:
        if one.role == "pad" and isinstance(content.get("padding"), dict):
            content["padding"] |= {"pad_id": one.id, "pad_token": one.token}
    return content


def _renamed(config: Mapping[str, Any], special: Sequence[Special]) -> dict[str, Special]:
    """Token so far -> the one that is set for its role, of those put around texts; none where a token had both roles
    and would become two."""
    found: dict[str, Special] = {}
    for one in special:
        was = config.get(f"{one.role}_token")
        was = was.get("content") if isinstance(was, dict) else was
        other = config.get("eos_token" if one.role == "bos" else "bos_token")
        if one.role != "pad" and isinstance(was, str) and was != one.token and was != other:
            found[was] = one
    return found


def _rename(content: Mapping[str, Any], renamed: Mapping[str, Special]) -> None:
    """The tokens that templates of a tokenizer put around texts. What has another form stays as it is."""
    for template in _templates(content.get("post_processor")):
        for piece in (*_listed(template.get("single")), *_listed(template.get("pair"))):
            put = _object(_object(piece).get("SpecialToken"))
            was = put.get("id")
            if isinstance(was, str) and was in renamed:
                put["id"] = renamed[was].token
        stated = _object(template.get("special_tokens"))
        for was, one in renamed.items():
            if stated.pop(was, None) is not None:
                stated[one.token] = {"id": one.token, "ids": [one.id], "tokens": [one.token]}


def _templates(processor: Any) -> Iterator[dict[str, Any]]:
    """The templates of a post-processor: itself, or among those it is a sequence of."""
    waiting = [processor]
    while waiting:
        step = waiting.pop()
        if isinstance(step, dict):
            waiting += _listed(step.get("processors"))
            if step.get("type") == "TemplateProcessing":
                yield step


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    """What is no object states nothing."""
    return value if isinstance(value, dict) else {}


def _roles(content: dict[str, Any], special: Sequence[Special]) -> dict[str, Any]:
    return content | {f"{one.role}_token": one.token for one in special}


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()  # ASCII: a chat template may hold half a character
