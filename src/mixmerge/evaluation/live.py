"""A transformers model in memory whose parameters can be written from outside, without torch on the writer's side.

On the CPU a writer gets the parameters' own memory. On a GPU it gets pinned memory of the same size, and `commit` moves
it over. It knows transformers and torch; it knows nothing of merging.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, final

from mixmerge.checkpoint import from_torch_name
from mixmerge.errors import Problem, extra_missing
from mixmerge.evaluation.problems import LiveModelError, shorten
from mixmerge.sink import LiveTensor

Compute = Literal["bfloat16", "float16", "float32"]


def computed_in(device: str, dtype: Compute | None) -> Compute | None:
    """CPUs compute in float32 unless told otherwise: bfloat16 is slower there, and less exact. None: as stored."""
    return "float32" if dtype is None and device == "cpu" else dtype


@final
class LiveModel:
    """model: of transformers, in eval mode. tokenizer: its own. device: where it computes, as torch writes it.

    staged: whether writers get memory of their own, which `commit` copies; needed wherever the device is not the CPU.
    """

    def __init__(self, model: Any, tokenizer: Any, *, device: str = "cpu", staged: bool | None = None) -> None:
        self.model = model.to(device).eval()
        self.tokenizer = tokenizer
        self.device = device
        self._staged = device != "cpu" if staged is None else staged
        self._staging: dict[str, Any] | None = None

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu", dtype: Compute | None = None) -> LiveModel:
        """The model of a folder with its weights. dtype: None computes in the type the folder's config names.

        Raises LiveModelError where transformers cannot load it, MissingExtraError without transformers.
        """
        torch, transformers = _libraries()
        place = Path(folder)
        try:
            with _quiet(transformers):
                model, info = transformers.AutoModelForCausalLM.from_pretrained(
                    place,
                    dtype="auto" if dtype is None else getattr(torch, dtype),
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    output_loading_info=True,
                )
            live = cls(model, _tokenizer(transformers, place), device=device)
        except Exception as error:  # whatever transformers, tokenizers, safetensors and torch make of a folder
            raise _unloadable(place, error) from error
        _check_complete(place, sorted(info["missing_keys"]))
        return live

    @classmethod
    def skeleton(cls, folder: str | Path, *, device: str = "cpu", dtype: Compute | None = None) -> LiveModel:
        """The model of a folder that has config and tokenizer only: its weights are arbitrary until written.

        Arguments and errors as `load`.
        """
        torch, transformers = _libraries()
        place = Path(folder)
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = transformers.AutoConfig.from_pretrained(place, **local)
            named = str(config.dtype or "float32") if dtype is None else dtype
            with _no_initialisation(transformers):
                chosen = getattr(torch, named.removeprefix("torch."))
                model = transformers.AutoModelForCausalLM.from_config(config, dtype=chosen, trust_remote_code=False)
            model.tie_weights()  # transformers leaves it to the weights that are not initialised
            if (place / "generation_config.json").is_file():
                settings = transformers.GenerationConfig.from_pretrained(place, local_files_only=True)
                model.generation_config = settings
            return cls(model, _tokenizer(transformers, place), device=device)
        except Exception as error:  # whatever transformers, tokenizers, safetensors and torch make of a folder
            raise _unloadable(place, error) from error

    def tensors(self) -> Mapping[str, LiveTensor]:
        """Flat views of every tensor a checkpoint of this model stores, by the model's name for it.

        Tied ones once, as the embedding. Writing into the views changes the model: at once, or with `commit()` where
        the model is not on the CPU. Raises LiveModelError where a tensor's memory cannot be viewed as numbers.
        """
        memory = self._memory()
        broken = [name for name, tensor in memory.items() if not tensor.is_contiguous()]
        if broken:
            rule, cure = (
                "parameters lie in memory element after element",
                "evaluate the merge from a written checkpoint",
            )
            raise LiveModelError(Problem(rule, ", ".join(broken[:5]), "live model", cure))
        return {name: _view(tensor) for name, tensor in memory.items()}

    def is_faithful(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether the model has exactly these tensors, name -> shape, each in one piece.

        Where a library renames or fuses tensors while loading it has not, and a merge cannot be written into it.
        """
        stored = self._stored()
        same = {name: tuple(tensor.shape) for name, tensor in stored.items()} == {
            name: tuple(shape) for name, shape in shapes.items()
        }
        return same and all(tensor.is_contiguous() for tensor in stored.values())

    def commit(self) -> None:
        """Make what was written through `tensors` take effect. Does nothing where they are the parameters' memory."""
        import torch

        if self._staging is None:
            return
        with torch.no_grad():
            for name, tensor in self._stored().items():
                tensor.copy_(self._staging[name], non_blocking=True)
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)

    def _memory(self) -> Mapping[str, Any]:
        """What writers write to: the stored tensors, or their stand-ins in the host's memory."""
        stored = self._stored()
        if not self._staged:
            return stored
        if self._staging is None:
            self._staging = {name: self._stand_in(tensor) for name, tensor in stored.items()}
        return self._staging

    def _stand_in(self, tensor: Any) -> Any:
        import torch

        pinned = self.device.startswith("cuda")
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=pinned).copy_(tensor)

    def _stored(self) -> dict[str, Any]:
        """Parameters and stored buffers by name; of those that share memory the embedding, else the first."""
        found: dict[tuple[int, tuple[int, ...]], tuple[str, Any]] = {}
        embedding = self.model.get_input_embeddings().weight
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            key = (tensor.data_ptr(), tuple(tensor.shape))
            if key not in found or (tensor is embedding and found[key][1] is not embedding):
                found[key] = (name, tensor)
        return {name: tensor.detach() for name, tensor in found.values()}


def _libraries() -> tuple[Any, Any]:
    try:
        return import_module("torch"), import_module("transformers")
    except ImportError as error:
        raise extra_missing("study", error.name or "transformers", "scoring a model in memory") from error


def _tokenizer(transformers: Any, folder: Path) -> Any:
    """transformers warns once that a long text will fail in the model. Here it will not: what does not fit is shortened
    or refused, and that is told."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


def _check_complete(folder: Path, missing: list[str]) -> None:
    """transformers fills what a checkpoint lacks with random numbers; nobody wants those scored."""
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        rule, cure = "a checkpoint stores every weight of its model", "save or merge the model again"
        raise LiveModelError(Problem(rule, f"missing: {', '.join(missing[:5])}{more}", str(folder), cure))


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars of transformers: what is shown while a study runs is decided above."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _no_initialisation(transformers: Any) -> AbstractContextManager[None]:
    """Weights that are about to be written need no random numbers. Where transformers keeps the switch has changed."""
    try:
        home = import_module("transformers.initialization")
    except ImportError:
        home = transformers.modeling_utils
    context: AbstractContextManager[None] = home.no_init_weights()
    return context


def _view(tensor: Any) -> LiveTensor:
    """The tensor's memory as a flat numpy array; types numpy does not have go through integers of their size."""
    import torch

    dtype = from_torch_name(str(tensor.dtype))
    same_size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    return LiveTensor(tensor.reshape(-1).view(same_size).numpy().view(dtype.numpy), dtype)


def _unloadable(folder: Path, error: Exception) -> LiveModelError:
    rule = "transformers can load the model"
    cure = "check config.json, tokenizer files and device; models that bring their own code are not run"
    return LiveModelError(Problem(rule, shorten(f"{type(error).__name__}: {error}"), str(folder), cure))
