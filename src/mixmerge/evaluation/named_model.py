"""The model that a person's words name, whole in one folder: where it lies, or fetched from the hub, or put together
with its LoRA adapter in a temporary folder.

Names are those of recipes: a folder, a hub id with or without a revision, `model+adapter`. It reads headers, and
weights only to add an adapter; it loads no model.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from mixmerge import api, temporary
from mixmerge.checkpoint import Checkpoint
from mixmerge.errors import CheckpointError, PlanError, Problem, RecipeError
from mixmerge.evaluation.problems import TaskError
from mixmerge.recipe import Recipe, parse_recipe

FOLDERS: Final = "mixmerge-adapted-"
"""How the names of temporary folders begin."""

_ALONE: Final = "{{merge_method: linear, dialect: mergekit, models: [{{model: {}, parameters: {{weight: 1}}}}]}}"
_CONTENTS: Final = re.compile(r"model.*")


@final
@dataclass(frozen=True, slots=True)
class NamedModel:
    """name: as the person wrote it. checkpoint: its headers. recipe: of a merge of this model alone."""

    name: str
    checkpoint: Checkpoint
    recipe: Recipe

    @property
    def commit(self) -> str | None:
        """Of a model of the hub; None for others, and for one with an adapter."""
        origin = self.checkpoint.origin
        return None if origin is None or self.checkpoint.adaptation is not None else origin.commit

    @property
    def is_whole(self) -> bool:
        """Whether it lies in a folder of this disk as it is."""
        return self.checkpoint.is_local and self.checkpoint.adaptation is None

    @contextmanager
    def folder(self, tell: Callable[[str], None]) -> Iterator[Path]:
        """Where it lies while the context lasts. tell: of what is written on the way.

        With an adapter, its base's dtype and files are kept, and each weight is rounded once. Raises CheckpointError,
        PlanError, OutputError.
        """
        if self.checkpoint.adaptation is None:
            yield self._fetched().folder
            return
        temporary.sweep(FOLDERS, _CONTENTS)
        with temporary.held(FOLDERS) as place:
            try:
                out = Path(place, "model")
                tell(f"{self.name} is put together in {out}, and removed at the end")
                api.merge(self.recipe, out)
                yield out
            finally:
                shutil.rmtree(place, ignore_errors=True)

    def _fetched(self) -> Checkpoint:
        if self.checkpoint.is_local:
            return self.checkpoint
        from mixmerge.checkpoint import hub  # huggingface_hub takes a second to import

        return hub.download(self.checkpoint)


def find_model(name: str) -> NamedModel:
    """The model of that name, headers read. Raises TaskError for what names none, CheckpointError for what is none."""
    try:
        recipe = parse_recipe(_ALONE.format(json.dumps(name)))
    except RecipeError as error:
        place = f"model {name!r}"
        raise TaskError([Problem(one.rule, one.value, place, one.cure) for one in error.problems]) from error
    try:
        (checkpoint,) = api.open_models(recipe).values()
    except PlanError as error:
        raise CheckpointError(error.problems) from error
    return NamedModel(name, checkpoint, recipe)
