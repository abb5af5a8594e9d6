"""Links in a model's folder: followed within it and in the hub's cache, refused where they lead anywhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mixmerge import api
from mixmerge.checkpoint import open_adapter, open_checkpoint
from mixmerge.errors import CheckpointError, PlanError
from support import models
from support.merging import recipe_of

BLOB = "5" * 64


def model(folder: Path, seed: int = 0) -> Path:
    return models.write_model(folder, {"w": np.full((4,), seed, np.float32)})


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "merges.txt", "tokenizer.model"],
)
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_out_of_the_folder_is_refused(name: str, absolute: bool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("BEGIN PRIVATE KEY")
    folder = model(tmp_path / "m")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "secret" if absolute else "../secret")
    with pytest.raises(CheckpointError, match="ends in that folder") as caught:
        open_checkpoint(folder, "m")
    assert repr(name) in str(caught.value)
    recipe = recipe_of("linear", [folder, model(tmp_path / "n")], dialect="paper")
    with pytest.raises(PlanError, match="ends in that folder"):
        api.merge(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_such_link_is_told(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    for name in ("a.json", "b.txt"):
        (folder / name).symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder, "m")
    assert [problem.value.split()[0] for problem in caught.value.problems] == ["'a.json'", "'b.txt'"]


def test_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "inner").mkdir()
    os.rename(folder / "model.safetensors", folder / "inner" / "data")
    (folder / "model.safetensors").symlink_to("inner/data")
    (tmp_path / "link").symlink_to(folder)
    assert list(open_checkpoint(tmp_path / "link", "m").tensors) == ["w"]


@pytest.mark.parametrize("where", ["snapshot", "folder"])
def test_links_into_the_hub_cache_are_followed(where: str, tmp_path: Path) -> None:
    cache = tmp_path / "hub" / "models--owner--name"
    (cache / "blobs").mkdir(parents=True)
    made = model(tmp_path / "made")
    os.rename(made / "model.safetensors", cache / "blobs" / BLOB)
    folder = cache / "snapshots" / "abc" if where == "snapshot" else tmp_path / "own"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").symlink_to(cache / "blobs" / BLOB)
    assert list(open_checkpoint(folder, "m").tensors) == ["w"]


def test_a_cache_of_another_kind_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "models--x" / "blobs").mkdir(parents=True)
    secret = tmp_path / "models--x" / "blobs" / "id_rsa"
    secret.write_text("BEGIN PRIVATE KEY")
    folder = model(tmp_path / "m")
    (folder / "merges.txt").symlink_to(secret)
    with pytest.raises(CheckpointError, match="ends in that folder"):
        open_checkpoint(folder, "m")


def test_files_that_are_not_read_may_be_links(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "photo.jpg").symlink_to("/etc/hostname")
    assert list(open_checkpoint(folder, "m").tensors) == ["w"]


def test_adapters_keep_the_same_rule(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError, match="ends in that folder"):
        open_adapter(folder, "a")
