"""Vocabularies: which tokens models have, which row is which token, and the tokenizer of what is merged of them.

Merging rows of different tokens gives garbled text, so rows are put in step by token. Knows no weights. What does that
is imported on first use: most models of a merge have one vocabulary.
"""

from typing import TYPE_CHECKING

from mixmerge.startup import on_first_use
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
from mixmerge.tokens.wanted import NOTHING, Ask, Wanted

if TYPE_CHECKING:
    from mixmerge.tokens.alignment import Added, Alignment, align, in_step, trusted
    from mixmerge.tokens.check import MEMORY, Checked, checked
    from mixmerge.tokens.files import tokenizer_files
    from mixmerge.tokens.model import SHOWN, Model, shown
    from mixmerge.tokens.named import Named, Special
else:
    __getattr__ = on_first_use(__name__, {
        "MEMORY": "mixmerge.tokens.check",
        "SHOWN": "mixmerge.tokens.model",
        "Added": "mixmerge.tokens.alignment",
        "Alignment": "mixmerge.tokens.alignment",
        "Checked": "mixmerge.tokens.check",
        "Model": "mixmerge.tokens.model",
        "Named": "mixmerge.tokens.named",
        "Special": "mixmerge.tokens.named",
        "align": "mixmerge.tokens.alignment",
        "checked": "mixmerge.tokens.check",
        "in_step": "mixmerge.tokens.alignment",
        "shown": "mixmerge.tokens.model",
        "tokenizer_files": "mixmerge.tokens.files",
        "trusted": "mixmerge.tokens.alignment",
    })  # fmt: skip

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
