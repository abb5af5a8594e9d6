"""Whether models can compute where, and in the dtype, a person says: asked before anything is loaded.

It knows torch's devices; it loads no model and holds no memory of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args

from mixmerge.errors import Problem, extra_missing, nearest
from mixmerge.evaluation.live import Compute

KNOWN = ("cpu", "cuda", "mps", "xpu")


def device_problems(device: str, compute: str | None, *, here: bool = True) -> Iterator[Problem]:
    """What is wrong with the words of --device and --compute.

    here: whether models are to compute on this machine, so that the device must be there. Torch is imported for devices
    other than `cpu` only; raises MissingExtraError where it is not installed.
    """
    if compute is not None and compute not in get_args(Compute):
        rule = f"compute is one of: {', '.join(get_args(Compute))}"
        yield Problem(rule, repr(compute), "--compute", nearest(compute, get_args(Compute)))
    if device == "cpu":
        return
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise extra_missing("study", error.name or "torch", "scoring a model in memory") from error
    try:
        found = torch.device(device)
    except RuntimeError:
        cure = f"a number may follow the name, as in cuda:1; {nearest(device, KNOWN)}"
        yield Problem("a device is named as torch names it", repr(device), "--device", cure)
        return
    lack = _lack(torch, found) if here or found.type == "meta" else ""
    if lack:
        yield Problem("the device is there", f"{device}: {lack}", "--device", "leave it out to compute on the CPU")


def _lack(torch: Any, device: Any) -> str:
    """Why nothing can be computed on a device; empty where it can."""
    if device.type == "meta":
        return "it holds no numbers"
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            return "torch finds no CUDA device"
        return f"torch finds {count}, from cuda:0 on" if (device.index or 0) >= count else ""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ImportError):
        return f"torch finds no {device.type.upper()} device"
    return ""
