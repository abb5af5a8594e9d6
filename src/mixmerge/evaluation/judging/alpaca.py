"""A judge of the `alpaca_eval` package: the prompts, readers and model names under which win rates are published.

The package is called through `alpaca_eval.evaluate` with one of its annotator configurations; which servers and keys
it uses are its own settings (OPENAI_API_KEY, OPENAI_CLIENT_CONFIG_PATH). It knows pairs of answers; what the package
prints, and what it does to the root logger, stays inside.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final, final

from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import Problem, extra_missing, nearest
from mixmerge.evaluation.judging.cost import Cost, Prices, cost_of
from mixmerge.evaluation.judging.judge import Judge, Pair, Verdicts
from mixmerge.evaluation.problems import BackendError, TaskError, shorten
from mixmerge.evaluation.secret_words import without_secrets

MAX_TOKENS: Final = 2048  # of a reply, where a configuration does not say
MAX_BYTES: Final = 500_000_000  # of a file of verdicts
MODEL: Final = "measured"  # the name the package's table gives the model; nobody sees it


@final
class AlpacaEvalJudge(Judge):
    """annotators: a configuration the package has, as `chatgpt_fn`, or a folder with a `configs.yaml` of one's own.

    seed: of the order in which the package shows answers. prices: what the cost is told with. verdicts: JSON file in
    which the package keeps annotations, every 128 of them; None: it keeps none. Requests at a time are the package's
    OPENAI_MAX_CONCURRENCY. Raises MissingExtraError where the package does not load, TaskError for a configuration it
    does not have.
    """

    def __init__(
        self,
        annotators: str,
        *,
        seed: int = 0,
        prices: Prices | None = None,
        verdicts: Path | None = None,
        agree: Callable[[Cost], bool] | None = None,
        tell: Callable[[Verdicts], None] | None = None,
    ) -> None:
        super().__init__(agree, tell)
        self._name, self._seed, self._prices, self._verdicts = annotators, seed, prices, verdicts
        with _contained():
            self._package = _package()
            self._config = _config(self._package, annotators)
            self._annotators = _configured(self._package, self._config)

    def record(self) -> dict[str, str | int | bool]:
        version = metadata.version("alpaca_eval")
        return {"judge": "alpaca_eval", "version": version, "annotators": self._name, "seed": self._seed}

    def cost(self, pairs: Sequence[Pair]) -> Cost:
        wanted, known = self._wanted(pairs)
        template = max((str(one.prompt_template) for one in self._annotators.values()), key=len)
        texts = ("".join((template, pair.instruction, pair.reference, pair.answer)) for pair in wanted)
        tokens = max(int(one.completions_kwargs.get("max_tokens", MAX_TOKENS)) for one in self._annotators.values())
        return cost_of(texts, known=known, completion=tokens, prices=self._prices)

    def _wanted(self, pairs: Sequence[Pair]) -> tuple[list[Pair], int]:
        """The pairs that must be asked, each once, and how many more the file of verdicts has. Equal answers tie."""
        different = {pair: None for pair in pairs if pair.answer != pair.reference}
        kept = _kept(self._verdicts, self._annotators)
        wanted = [pair for pair in different if (pair.instruction, pair.reference, pair.answer) not in kept]
        return wanted, len(different) - len(wanted)

    def _compare(self, pairs: Sequence[Pair], workers: int) -> Verdicts:  # noqa: ARG002
        wanted, known = self._wanted(pairs)
        found = self._evaluate(list(dict.fromkeys(pairs))) if pairs else {}
        scores = tuple(0.5 if pair.answer == pair.reference else found.get(pair, math.nan) for pair in pairs)
        return Verdicts(
            scores=scores,
            sent=len(wanted),
            known=known,
            unreadable=sum(1 for pair in dict.fromkeys(pairs) if math.isnan(found.get(pair, math.nan))),
        )

    def _evaluate(self, pairs: Sequence[Pair]) -> dict[Pair, float]:
        """What the package says of different pairs: its preference for the measured answer, less 1."""
        answers = [{"instruction": pair.instruction, "output": pair.answer, "generator": MODEL} for pair in pairs]
        references = [{"instruction": pair.instruction, "output": pair.reference} for pair in pairs]
        with _contained():
            try:
                _, annotations = self._package.evaluate(
                    model_outputs=answers,
                    reference_outputs=references,
                    annotators_config=self._config,
                    name=MODEL,
                    output_path=None,
                    precomputed_leaderboard=None,
                    is_cache_leaderboard=False,
                    fn_metric=_no_metric,
                    sort_by="win_rate",
                    is_return_instead_of_print=True,
                    annotation_kwargs={"is_ordered": True},
                    seed=self._seed,
                    caching_path=self._verdicts,
                )
            except Exception as error:  # whatever the package, its clients or its tables raise
                rule = "the alpaca_eval package gives verdicts"
                cure = "check its keys, OPENAI_CLIENT_CONFIG_PATH and servers"
                found = without_secrets(f"{type(error).__name__}: {error}", os.environ)  # servers may quote a key
                raise BackendError(Problem(rule, shorten(found), self._name, cure)) from error
        return {
            Pair(str(one["instruction"]), str(one["output_2"]), str(one["output_1"])): _preference(one) - 1.0
            for one in annotations
        }


def _no_metric(annotations: object) -> dict[str, float]:  # noqa: ARG001
    """In place of the package's win rate: that fails where no reply could be read, and the mean is not ours to take."""
    return {"win_rate": 0.0, "standard_error": 0.0}


def _preference(annotation: Mapping[str, Any]) -> float:
    """1 for the reference, 2 for the measured answer, between them where the annotator weighs; NaN for no verdict."""
    value = annotation.get("preference")
    number = math.nan if value is None else float(value)
    return number if 1.0 <= number <= 2.0 else math.nan


def _package() -> Any:
    try:
        return import_module("alpaca_eval")
    except ModuleNotFoundError as error:
        if error.name == "pkg_resources":
            rule = "the alpaca_eval package needs a setuptools that still has pkg_resources"
            raise TaskError(Problem(rule, "it has none", "", "pip install 'setuptools<81'")) from error
        raise extra_missing("judge", error.name or "alpaca_eval", "a judge of alpaca_eval") from error


def _config(package: Any, name: str) -> str:
    """The name, for one of the package's own; the whole path, for a folder or file of the person's."""
    known = {path.name for path in package.constants.EVALUATORS_CONFIG_DIR.iterdir() if path.is_dir()}
    path = Path(name)
    if name in known:
        return name
    if (path / "configs.yaml").is_file() or (path.is_file() and path.suffix in (".yaml", ".yml")):
        return str(path.resolve())
    rule = "annotators are a configuration of alpaca_eval, or a folder with configs.yaml"
    raise TaskError(Problem(rule, shorten(name), "", nearest(name, known)))


def _configured(package: Any, config: str) -> Mapping[str, Any]:
    """The annotators of a configuration, by name; makes them, sends nothing."""
    try:
        annotator = package.annotators.PairwiseAnnotator(annotators_config=config, caching_path=None)
    except Exception as error:  # a configuration of a stranger may hold anything
        rule, cure = "a configuration of annotators can be used", "compare it with those of alpaca_eval"
        raise TaskError(Problem(rule, shorten(f"{type(error).__name__}: {error}"), config, cure)) from error
    found: Mapping[str, Any] = annotator.annotators
    return found


def _kept(path: Path | None, annotators: Mapping[str, Any]) -> set[tuple[object, object, object]]:
    """Instruction, reference and answer of what the package's file has a verdict on, for these annotators."""
    if path is None or not path.exists():
        return set()
    try:
        with path.open("rb") as file:
            rows = parse_json(file.read(MAX_BYTES))
    except (OSError, MalformedJsonError) as error:
        rule, cure = "the file of verdicts can be read", "check path and permissions, or begin another file"
        raise TaskError(Problem(rule, shorten(str(error)), str(path), cure)) from error
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {
        (row.get("instruction"), row.get("output_1"), row.get("output_2"))
        for row in rows
        if row.get("annotator") in annotators
    }


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """The package logs and draws bars to the terminal, sets the root logger's level, and warns of its own imports."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    silent = io.StringIO()
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            root.addHandler(logging.NullHandler())  # so that its first message sets up no other
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
