"""Hub models through the real huggingface_hub, against a small imitation of the hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import close_session, constants
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars
from safetensors.torch import save, save_file

from mixmerge import api
from mixmerge.checkpoint import hub
from mixmerge.errors import CheckpointError, ModelNotFoundError
from support import models
from support.adapters import CONFIG, Q, factors, write_adapter
from support.merging import recipe_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MOVED = "f" * 40
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


class Hub(ThreadingHTTPServer):
    """What the hub answers for one model `owner/model`: its listing, its tree, and its files by range."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.moved: dict[str, bytes] | None = None  # what the branch means now; the commits stay
        self.ranges = True
        self.status = 200
        self.sent: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def at(self, path: str) -> tuple[str, dict[str, bytes]]:
        """Commit and files that a path speaks of: of the branch where it names no commit."""
        if self.moved is not None and (MOVED in path or COMMIT not in path):
            return MOVED, self.moved
        return COMMIT, self.files

    def listing(self, data: bytes, name: str) -> dict[str, object]:
        entry: dict[str, object] = {"size": len(data)}
        if name.endswith(".safetensors"):
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        commit, files = self.server.at(path)
        if self.server.status != 200:
            self.reply(self.server.status, b"{}", {"X-Error-Code": "GatedRepo"} if self.server.status == 403 else {})
        elif path.startswith("/api/models/owner/model/tree/"):
            rows = [
                {"type": "file", "path": name, "oid": "0" * 40, **self.server.listing(data, name)}
                for name, data in files.items()
            ]
            lfs = [row | {"lfs": {**row["lfs"], "oid": row["lfs"]["sha256"]}} if "lfs" in row else row for row in rows]
            self.reply(200, json.dumps(lfs).encode())
        elif re.fullmatch(r"/api/models/owner/model(/revision/(main|[0-9a-f]{40}))?", path):
            rows = [{"rfilename": name, **self.server.listing(data, name)} for name, data in files.items()]
            self.reply(200, json.dumps({"id": "owner/model", "sha": commit, "siblings": rows}).encode())
        elif path.startswith("/api/models/owner/model/revision/"):
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"/owner/model/resolve/{commit}/"):
            name = path.removeprefix(f"/owner/model/resolve/{commit}/")
            self.file(name, files[name], commit)
        else:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def file(self, name: str, data: bytes, commit: str) -> None:
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and self.server.ranges:
            first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self.reply(206, data[first : last + 1], headers, name)
        else:
            self.reply(200, data, headers, name)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, name: str = "") -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.server.sent[name] = self.server.sent.get(name, 0) + len(body)
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def shard(start: int) -> bytes:
    return save({f"layer.{start + i}": torch.full((300, 300), float(start + i)) for i in range(3)})


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    weight_map = {f"layer.{i}": SHARDS[i // 3] for i in range(6)}
    files = {
        "config.json": b'{"model_type": "llama"}',
        "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": weight_map}).encode(),
        SHARDS[0]: shard(0),
        SHARDS[1]: shard(3),
        "tokenizer.json": b"{}",
        "pytorch_model.bin": b"x" * 1000,
        "onnx/model.safetensors": b"x" * 1000,
    }
    disable_progress_bars()
    with Hub(files) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", running.endpoint)
        template = running.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield running
        running.shutdown()
        thread.join()
    close_session()
    enable_progress_bars()


def refusal(model: str, revision: str | None = None, kind: type[CheckpointError] = ModelNotFoundError) -> str:
    with pytest.raises(CheckpointError) as caught:
        hub.resolve(model, revision, label="expert")
    assert type(caught.value) is kind
    assert all("model 'expert'" in problem.place for problem in caught.value.problems)
    return str(caught.value)


def test_headers_come_before_weights_and_weights_fit_the_headers(server: Hub) -> None:
    remote = hub.resolve("owner/model")
    assert not remote.is_local
    assert remote.label == "owner/model"
    assert list(remote.tensors) == [f"layer.{i}" for i in range(6)]
    assert remote.config == {"model_type": "llama"}
    assert sum(server.sent.values()) < 200_000 < len(server.files[SHARDS[0]])
    assert remote.origin is not None
    assert remote.origin.commit == COMMIT
    assert remote.origin.sha256 == {
        name: hashlib.sha256(server.files[name]).hexdigest() for name in (*SHARDS, "onnx/model.safetensors")[:2]
    }
    local = hub.download(remote)
    assert local.is_local
    assert local.folder == remote.folder
    assert local.tensors == remote.tensors
    assert local.origin == remote.origin
    assert sorted(path.name for path in local.folder.iterdir()) == sorted(
        ["config.json", "model.safetensors.index.json", *SHARDS, "tokenizer.json"]
    )
    out = np.empty(4 * 300, np.uint8)
    local.read_into(local.tensors["layer.4"], 300, 300, out)
    assert (out.view(np.float32) == 4).all()


def test_tokenizers_come_before_weights_too(server: Hub) -> None:
    """What a plan looks at: small files, no shard; the model is still to be downloaded then."""
    remote = hub.resolve("owner/model")
    hub.fetch_small(remote)
    assert sorted(path.name for path in remote.folder.iterdir()) == ["config.json", "tokenizer.json"]
    assert sum(server.sent.values()) < 200_000
    again = hub.resolve("owner/model")
    assert not again.is_local
    assert hub.download(again).folder == remote.folder


def test_a_hub_model_is_planned_with_its_tokens(server: Hub, tmp_path: Path) -> None:
    """A vocabulary that does not fit is told before a weight is downloaded."""
    from mixmerge import api
    from mixmerge.errors import PlanError
    from mixmerge.recipe import recipe_from_options

    names = {"model.embed_tokens.weight": torch.zeros(3, 2)}
    server.files = {"config.json": b"{}", "model.safetensors": save(names)}
    server.files["tokenizer.json"] = json.dumps({"model": {"vocab": {"a": 0, "b": 1, "c": 2}}}).encode()
    (tmp_path / "near").mkdir()
    save_file(names, tmp_path / "near" / "model.safetensors")
    recipe = recipe_from_options("linear", [str(tmp_path / "near"), "owner/model"], weight=[1.0])
    api.plan(recipe)
    (tmp_path / "near" / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1, "x": 2}}}))
    with pytest.raises(PlanError, match="learned vocabulary"):
        api.plan(recipe)
    assert server.sent["model.safetensors"] < 1000, "its header alone"


def test_a_cached_model_is_found_without_the_hub(server: Hub) -> None:
    first = hub.download(hub.resolve("owner/model"))
    assert first.origin is not None
    server.status = 500
    server.sent.clear()
    for revision in (None, "main", COMMIT):
        cached = hub.resolve("owner/model", revision)
        assert cached.is_local
        assert cached.tensors == first.tensors
        assert cached.origin == replace(first.origin, revision=revision)
    assert server.sent == {}


def test_a_snapshot_that_is_cached_in_part_is_read_from_the_hub(server: Hub) -> None:
    folder = hub.download(hub.resolve("owner/model")).folder
    (folder / SHARDS[1]).unlink()
    assert not hub.resolve("owner/model").is_local
    assert hub.download(hub.resolve("owner/model")).is_local
    assert server.sent


def test_offline_a_broken_snapshot_says_what_is_wrong_with_it(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    file = hub.download(hub.resolve("owner/model")).files[0]
    os.truncate(file, file.stat().st_size - 1)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = refusal("owner/model")
    assert "HF_HUB_OFFLINE" in message
    assert f"{file}, tensor 'layer.2'" in message
    assert server.sent


def test_a_commit_pins_the_model(server: Hub) -> None:
    assert hub.resolve("owner/model", COMMIT).folder.name == COMMIT
    assert "has the revision" in refusal("owner/model", "v9")
    assert server.sent


def test_a_long_header_and_a_server_without_ranges(server: Hub) -> None:
    tensors = {f"a.long.name.of.a.tensor.{i:06d}": torch.full((1,), i) for i in range(2000)}
    server.files = {"model.safetensors": save(tensors)}
    assert len(hub.resolve("owner/model").tensors) == 2000
    server.ranges = False
    assert len(hub.resolve("owner/model").tensors) == 2000


def test_a_broken_header_is_told_with_its_address(server: Hub) -> None:
    server.files[SHARDS[1]] = server.files[SHARDS[1]][:-1]
    message = refusal("owner/model", kind=CheckpointError)
    assert "truncated" in message
    assert f"{server.endpoint}/owner/model/resolve/{COMMIT}/{SHARDS[1]}, tensor 'layer.5'" in message


def test_a_hub_model_without_safetensors(server: Hub) -> None:
    server.files = {"pytorch_model.bin": b"x"}
    assert "save_pretrained" in refusal("owner/model", kind=CheckpointError)


def test_models_that_are_not_there(server: Hub) -> None:
    assert "check the spelling" in refusal("owner/missing")
    server.status = 403
    assert "ask for access" in refusal("owner/model")


def test_a_hub_that_does_not_answer(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    message = refusal("owner/model")
    assert "Connect" in message
    assert "HF_HUB_OFFLINE" in message
    assert server.sent == {}


def test_offline_the_hub_is_not_asked(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal("owner/model")
    assert server.sent == {}


ODD_NAMES = ["foo--bar", "a..b/x", "a/x.git", "a/" + "b" * 120, "n" * 300, "~nosuchuser/x", "a\0b", "-a/b", "a/b."]
"""Names that huggingface_hub refuses, or the file system."""


@pytest.mark.parametrize(
    "model", ["./missing", "/missing", "a/b/c", "~/missing", "", "a b", "owner/", "x\\y", *ODD_NAMES]
)
def test_what_is_neither_a_path_nor_an_id(model: str) -> None:
    assert "local folder or a hub id" in refusal(model)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/owner/model-1.1B", "owner/model-1.1B"),
        ("https://me:pass@hf.co/owner/model/", "owner/model"),
        ("http://huggingface.co/owner/model.git", "owner/model"),
        ("https://huggingface.co/owner/model/tree/v1.0", "owner/model@v1.0"),
    ],
)
def test_the_address_of_a_page_is_answered_with_its_id(address: str, name: str) -> None:
    told = refusal(address)
    assert f"say {name}\n" in f"{told}\n"
    assert "pass@" not in told


def test_the_address_of_another_site_is_not() -> None:
    assert "say owner" not in refusal("https://example.com/owner/model")


def test_an_existing_path_wins_over_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("owner/model", "owner/model+lora"):
        Path(name).mkdir(parents=True)
        save_file({"x": torch.ones(2)}, f"{name}/model.safetensors")
        found = hub.resolve(name)
        assert found.is_local
        assert found.origin is None


def test_an_adapter_is_looked_at_before_it_is_downloaded(server: Hub, tmp_path: Path) -> None:
    """A local model with an adapter of the hub: headers and settings first, both files once the plan stands."""
    base = models.smooth(models.llama_shapes(hidden=64), 1)
    tensors = factors(base, Q, rank=500)
    local = write_adapter(tmp_path / "local", tensors, r=500)
    server.files = {path.name: path.read_bytes() for path in local.iterdir()}
    server.files |= {"README.md": b"x" * 1000, "adapter_model.bin": b"x" * 1000, "optimizer.pt": b"x" * 1000}
    folder = models.write_model(tmp_path / "base", base)
    for name in ("owner/model", "owner/model@main"):
        recipe = recipe_of("linear", [f"{folder}+{name}", folder], dialect="paper", mixup={"ratio": 0.25})
        plan = api.plan(recipe)
        assert not plan.models[0].is_local
        assert plan.models[0].weights_here
        assert server.sent["adapter_model.safetensors"] < len(server.files["adapter_model.safetensors"])
    record = api.merge(recipe, tmp_path / "out")
    assert record["models"][0]["adapter"]["hub"]["commit"] == COMMIT
    assert not {"README.md", "adapter_model.bin", "optimizer.pt"} & server.sent.keys()
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers")
    assert "- owner/model\n" in card
    api.merge(
        recipe_of("linear", [f"{folder}+{local}", folder], dialect="paper", mixup={"ratio": 0.25}), tmp_path / "same"
    )
    assert models.weight_bytes(tmp_path / "same") == models.weight_bytes(tmp_path / "out")


def test_a_pickled_adapter_on_the_hub_is_refused(server: Hub, tmp_path: Path) -> None:
    server.files = {"adapter_config.json": json.dumps(CONFIG).encode(), "adapter_model.bin": b"x" * 1000}
    with pytest.raises(CheckpointError, match="pickle"):
        hub.resolve_adapter("owner/model")
    assert "adapter_model.bin" not in server.sent


def test_the_settings_of_huggingface_hub_are_obeyed(server: Hub, tmp_path: Path) -> None:
    code = (
        "import sys; from mixmerge.checkpoint import hub; assert 'huggingface_hub' not in sys.modules;"
        "c = hub.download(hub.resolve('owner/model')); print(c.folder)"
    )
    environment = os.environ | {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
    environment["HF_HUB_OFFLINE"] = "0"
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    for _ in range(2):  # the second time offline
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(tmp_path / "home/hub/models--owner--model/snapshots" / COMMIT)
        environment["HF_HUB_OFFLINE"] = "1"
        code = code.replace("hub.download(hub.resolve('owner/model'))", "hub.resolve('owner/model')")


@pytest.mark.parametrize("revision", [None, "main"])
def test_the_commit_that_was_planned_is_merged(revision: str | None, server: Hub, tmp_path: Path) -> None:
    """A branch may move between the look at the headers and the download."""
    here = models.write_model(tmp_path / "here", {f"layer.{i}": np.zeros((300, 300), np.float32) for i in range(6)})
    recipe = recipe_of("linear", [f"owner/model{'' if revision is None else '@' + revision}", here], dialect="paper")

    def move(_: object) -> None:
        server.moved = {**server.files, SHARDS[0]: shard(70), SHARDS[1]: shard(73), "config.json": b"{}"}

    record = api.merge(recipe, tmp_path / "out", on_plan=move)
    assert record["models"][0]["hub"]["commit"] == COMMIT
    merged = models.read_model(tmp_path / "out")
    assert [values.ravel()[0] for name, values in sorted(merged.items())] == [i / 2 for i in range(6)]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "llama"
