"""The `tokenizer` section of a recipe: whose tokens the output has, what row single tokens get, special tokens.

`source`, `tokens` and `pad_to_multiple_of` are mergekit's; `pad_token`, `bos_token` and `eos_token` are ours. Which
tokens there are is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from mixmerge.recipe import values
from mixmerge.recipe.nodes import Node, Table
from mixmerge.recipe.report import RefusedError, Report
from mixmerge.recipe.types import ROLES, UNION, ModelRef, Role

MAX_MULTIPLE: Final = 65_536
MAX_NUMBER: Final = 4_000_000
KEYS: Final = ("source", "tokens", "pad_to_multiple_of", *(f"{role}_token" for role in ROLES))
_TOKEN: Final = ("source", "force")
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "zero": ("kind",), "model_token": ("kind", "model", "token", "token_id"),
}  # fmt: skip
_FORMS: Final = "write a model of the recipe, {kind: zero}, or {kind: model_token, model: ..., token: ...}"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row of a model's embedding and head: of its token, or by number; neither: of the token it is wanted for."""

    model: ModelRef
    token: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class TokenSetting:
    """What the recipe says of one token of the output.

    source: the row that stands for it in models that lack it, and, with `force`, in all; None: as for any token.
    """

    token: str
    source: TokenRow | Literal["zero"] | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class TokenizerSection:
    """What `tokenizer:` says beside its source; tokens in the order listed, no token twice.

    pad_to_multiple_of: the output has a multiple of so many rows (None: as many as it needs). special: the token of
    each role that is set.
    """

    tokens: tuple[TokenSetting, ...] = ()
    pad_to_multiple_of: int | None = None
    special: Mapping[Role, str] = field(default_factory=dict)


Read = tuple[str, TokenizerSection | None]


def read_tokenizer(node: Node, report: Report) -> Read:
    """Source and the rest of the section, None where it says no more; what is wrong in it is added to the report."""
    nothing: Mapping[str, Node] = {}
    entries = report.read(node, lambda it: values.table(it, KEYS, report), nothing)
    said = {key: entry for key, entry in entries.items() if not values.is_null(entry)}
    source = (
        report.read(said["source"], lambda it: values.tokens_source(it, report), UNION) if "source" in said else UNION
    )
    named = report.read(said["tokens"], values.table_entries, nothing) if "tokens" in said else nothing
    multiple = None
    if "pad_to_multiple_of" in said:
        multiple = report.read(said["pad_to_multiple_of"], lambda it: values.integer(it, 1, MAX_MULTIPLE), None)
    special: dict[Role, str] = {}
    for role in ROLES:
        if f"{role}_token" in said:
            special[role] = report.read(said[f"{role}_token"], values.text, "")
    tokens = tuple(
        report.read(entry, partial(_setting, token, report), TokenSetting(token)) for token, entry in named.items()
    )
    section = TokenizerSection(tokens, None if multiple == 1 else multiple, special)
    return source, section if section != TokenizerSection() else None


def _setting(token: str, report: Report, node: Node) -> TokenSetting:
    if not token:
        raise RefusedError(node, "a token is text", "write the token as the key")
    entries = values.table(node, _TOKEN, report)
    given = entries.get("source")
    source = None if given is None or values.is_null(given) else report.read(given, lambda it: _row(it, report), None)
    flag = entries.get("force")
    force = flag is not None and not values.is_null(flag) and report.read(flag, values.flag, False)
    if flag is not None and force and (given is None or values.is_null(given)):
        report.wrong(flag, "a row can be forced only where `source` says which", _FORMS)
    return TokenSetting(token, source, force)


def _row(node: Node, report: Report) -> TokenRow | Literal["zero"]:
    if not isinstance(node, Table) or "kind" not in node.entries:
        return TokenRow(values.model_ref(node, report))
    kind = values.choice(node.entries["kind"], tuple(_KINDS))
    entries = values.table(node, _KINDS[kind], report)
    if kind == "zero":
        return "zero"
    if "model" not in entries:
        raise RefusedError(node, "kind: model_token needs `model`", _FORMS)
    model = values.model_ref(entries["model"], report)
    token, number = (_given(entries, key) for key in ("token", "token_id"))
    if (token is None) == (number is None):
        rule = "kind: model_token says `token` or `token_id`, one of the two"
        raise RefusedError(node, rule, "add `token: ...`" if token is None else "remove one")
    if token is not None:
        return TokenRow(model, token=values.text(token))
    assert number is not None, "one of the two is given"
    return TokenRow(model, number=values.integer(number, 0, MAX_NUMBER))


def _given(entries: Mapping[str, Node], key: str) -> Node | None:
    entry = entries.get(key)
    return None if entry is None or values.is_null(entry) else entry
