"""The chat template of the output, where the recipe says one: its own text, ChatML, or the one most models have.

The words are mergekit's. Of its other names for templates only the recipe knows, which refuses them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mixmerge.checkpoint import Checkpoint
from mixmerge.recipe.types import CHATML, MOST_USED
from mixmerge.tokens import small_json

FILE: Final = "chat_template.jinja"
MAX_TEMPLATE: Final = 1_000_000  # bytes

CHATML_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Every message as `<|im_start|>role`, its text, `<|im_end|>`; then the beginning of the assistant's turn."""


def chat_template(said: str | None, models: Sequence[Checkpoint]) -> tuple[str | None, tuple[str, ...]]:
    """What the recipe's `chat_template` means, and notes; None where the tokenizer keeps its own."""
    if said == CHATML:
        return CHATML_TEMPLATE, ()
    return _most_used(models) if said == MOST_USED else (said, ())


def _most_used(models: Sequence[Checkpoint]) -> tuple[str | None, tuple[str, ...]]:
    """The template that most of the models have; of as many, the first model's."""
    found = [(model.label, template) for model in models if (template := template_of(model.folder)) is not None]
    if not found:
        return None, ("chat_template: auto finds no chat template in any model",)
    template, count = Counter(template for _, template in found).most_common(1)[0]
    first = next(label for label, own in found if own == template)
    return template, (f"chat_template: auto takes that of {first} ({count} of {len(models)} models have it)",)


def template_of(folder: Path) -> str | None:
    """The chat template of a model: in a file of its own, else in the tokenizer's settings, alone or as `default`."""
    file = folder / FILE
    if file.is_file() and file.stat().st_size <= MAX_TEMPLATE:
        return file.read_text("utf-8", "replace")
    stated = small_json(folder, "tokenizer_config.json").get("chat_template")
    if isinstance(stated, list):
        named = [one for one in stated if isinstance(one, dict) and one.get("name") == "default"]
        stated = named[0].get("template") if named else None
    return stated.encode("utf-8", "replace").decode() if isinstance(stated, str) else None
