"""A server of OpenAI's completions for a model folder, as a script: `python completions.py FOLDER PORT [KIND]`.

KIND `model` loads the folder by transformers and computes; `bytes`, which starts in no time, answers by a digest of the
weights; `late` comes too late, and `dies` at once.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

Answer = Callable[[str, int, bool], dict[str, Any]]


def of_model(folder: Path) -> Answer:
    """Tokens, offsets and log-probabilities from the model itself; one request at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    lock = Lock()

    def answer(prompt: str, limit: int, echo: bool) -> dict[str, Any]:
        encoded = tokenizer(prompt, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        with lock, torch.no_grad():
            if not echo:
                out = model.generate(torch.tensor([ids]), max_new_tokens=limit, do_sample=False, pad_token_id=0)
                return {"text": tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).split("\n")[0]}
            values = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        token = int(values[-1].argmax())
        found = [None, *(float(values[place, one]) for place, one in enumerate(ids[1:]))]
        offsets = [int(start) for start, _ in encoded["offset_mapping"]]
        words = [prompt[start:end] for start, end in encoded["offset_mapping"]]
        said = tokenizer.decode([token])
        logprobs = {
            "tokens": [*words, said],
            "text_offset": [*offsets, len(prompt)],
            "token_logprobs": [*found, float(values[-1, token])],
        }
        return {"text": prompt + said, "logprobs": logprobs}

    return answer


def of_bytes(folder: Path) -> Answer:
    """One token a character, scored by a digest of weights and prompt."""
    weights = (folder / "model.safetensors").read_bytes()

    def answer(prompt: str, limit: int, echo: bool) -> dict[str, Any]:
        if not echo:
            return {"text": "0" * min(limit, 9)}
        value = -float(hashlib.sha256(weights + prompt.encode()).digest()[0])
        found = [None, *([0.0] * (len(prompt) - 2)), value, 0.0]
        logprobs = {"tokens": [*prompt, "!"], "text_offset": list(range(len(prompt) + 1)), "token_logprobs": found}
        return {"text": prompt + "!", "logprobs": logprobs}

    return answer


def serve(folder: Path, port: int, answer: Answer) -> None:
    """Answer requests for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": str(folder), "object": "model"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["model"] == str(folder)
            self._send({"choices": [answer(asked["prompt"], asked["max_tokens"], bool(asked.get("echo")))]})

        def _send(self, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever(poll_interval=0.05)


def main(folder: str, port: str, kind: str = "model") -> None:
    if kind == "dies":
        sys.exit("no room for this model")
    if kind == "late":
        time.sleep(60)
    serve(Path(folder), int(port), {"model": of_model, "bytes": of_bytes}[kind](Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
