"""Whether a model's tokenizer brings a chat template. It knows folders and tokenizers; it loads no weights."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mixmerge.errors import extra_missing


def has_template(folder: Path) -> bool:
    """Also False where the tokenizer cannot be loaded: loading the model tells it better. Raises MissingExtraError."""
    try:
        transformers = import_module("transformers")
    except ImportError as error:
        raise extra_missing("study", error.name or "transformers", "scoring a model in memory") from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception:  # whatever it is, loading the model tells it better
        return False
    return tokenizer.chat_template is not None
