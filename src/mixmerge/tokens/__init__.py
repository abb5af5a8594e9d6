"""Vocabularies: which tokens models have, which row is which token, and the tokenizer of what is merged of them.

Merging rows of different tokens gives garbled text, so rows are put in step by token. Knows no weights.
"""

from mixmerge.tokens.align import Added, Alignment, align, in_step, trusted
from mixmerge.tokens.check import MEMORY, Checked, checked
from mixmerge.tokens.files import tokenizer_files
from mixmerge.tokens.model import SHOWN, Model, shown
from mixmerge.tokens.named import NOTHING, Ask, Named, Special, Wanted
from mixmerge.tokens.scan import surely_within
from mixmerge.tokens.vocabulary import (
    MAX_TOKENS,
    NO_FILES,
    AddedToken,
    UnreadableError,
    Vocabulary,
    read_vocabulary,
    signature,
    small_json,
)

__all__ = [
    "MAX_TOKENS",
    "MEMORY",
    "NOTHING",
    "NO_FILES",
    "SHOWN",
    "Added",
    "AddedToken",
    "Alignment",
    "Ask",
    "Checked",
    "Model",
    "Named",
    "Special",
    "UnreadableError",
    "Vocabulary",
    "Wanted",
    "align",
    "checked",
    "in_step",
    "read_vocabulary",
    "shown",
    "signature",
    "small_json",
    "surely_within",
    "tokenizer_files",
    "trusted",
]
