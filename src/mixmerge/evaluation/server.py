"""Scores from any server that speaks OpenAI's completions protocol: vLLM, SGLang, llama.cpp, transformers serve.

`POST {url}/completions`, one request an item or choice, several at a time; the server batches them. Targets need
nothing but text, nor do suite tasks, whose answers may be long. Choices need `echo` with `logprobs`, as vLLM and SGLang
offer them; what their tokens say is read in `echo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, final

import numpy as np

from mixmerge.errors import Problem
from mixmerge.evaluation.backends import Backend
from mixmerge.evaluation.echo import Answer, count_of, counted, echo_of, spelled, text_of, total
from mixmerge.evaluation.generation import matches
from mixmerge.evaluation.greedy import ending_of
from mixmerge.evaluation.http import PAUSE, JsonServer
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask
from mixmerge.evaluation.problems import BackendError, TaskError, shorten
from mixmerge.evaluation.tasks import AnyTask, ChoiceItem, Indices, Item, TargetItem

Floats = np.ndarray[Any, np.dtype[np.float64]]
SCORES: Final = "a server scores items of JSONL files, and suite tasks asked without a chat template"
_CHOICES: Final = "choices need a server that echoes prompts with logprobs (vLLM, SGLang); or use targets instead"
_ADDRESS: Final = "check that the address is that of the API, such as http://localhost:8000/v1"
_T = TypeVar("_T")


@final
class OpenAIBackend(Backend):
    """url: up to and including the version, `http://localhost:8000/v1`. model: the name the server knows it by.

    api_key: sent as a bearer token. workers: requests at a time. timeout: seconds for one answer: thousands of tokens
    for several requests at a time take a server without a GPU many minutes. pause: seconds before a failed request is
    tried again.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        workers: int = 16,
        timeout: float = 1800.0,
        pause: float = PAUSE,
    ) -> None:
        address = url.rstrip("/").removesuffix("/completions") + "/completions"
        self._server = JsonServer(address, key=api_key, timeout=timeout, pause=pause)
        self._model, self._workers = model, workers
        self._counts: dict[str, int | None] = {}

    def score(self, task: AnyTask, indices: Sequence[int] | Indices) -> Floats:
        if isinstance(task, LmEvalTask):
            if not task.needs_text_only:
                rule, cure = SCORES, "use the live backend for other tasks of lm-eval, and for chat templates"
                raise TaskError(Problem(rule, "a task of lm-eval", f"task {task.name!r}", cure))
            return task.score(_Writer(self._answers), [int(index) for index in indices])
        items = [task.items[int(index)] for index in indices]
        with ThreadPoolExecutor(self._workers) as pool:
            return np.array(list(pool.map(self._score, items)), dtype=np.float64)

    def _answers(self, requests: Sequence[Any]) -> list[str]:
        """Greedy answers to requests of lm-eval, in their order."""
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(self._answer, requests))

    def _answer(self, request: Any) -> str:
        prompt, settings = request.args
        ending = ending_of(settings)
        assert ending is not None, "suite tasks ask for greedy text"
        asked = {"prompt": str(prompt), "max_tokens": ending.limit, "stop": list(ending.stops)}
        return ending.cut(self._ask(asked, _text))

    def _score(self, item: Item) -> float:
        if isinstance(item, TargetItem):
            return float(matches(self._continuation(item), item.target))
        values = [self._log_likelihood(item, choice) for choice in item.choices]
        return float(int(np.argmax(values)) == item.answer)

    def _continuation(self, item: TargetItem) -> str:
        limit = len(item.target.encode("utf-8")) + 1
        return self._ask({"prompt": item.prompt, "max_tokens": limit, "stop": ["\n"]}, _text)

    def _log_likelihood(self, item: ChoiceItem, choice: str) -> float:
        prompt, whole = item.prompt.rstrip(), item.prompt + choice

        def read(answer: Answer) -> float:
            echo = echo_of(answer, whole)
            place = spelled(echo, whole, len(prompt)) or counted(echo, self._count(prompt))
            return total(echo, *place)

        return self._ask({"prompt": whole, "max_tokens": 1, "echo": True, "logprobs": 1}, read)

    def _count(self, prompt: str) -> int | None:
        """How many tokens the server makes of a prompt; None where it does not tell, or there is nothing to count."""
        if prompt and prompt not in self._counts:
            self._counts[prompt] = self._ask({"prompt": prompt, "max_tokens": 1}, count_of)
        return self._counts.get(prompt)

    def _ask(self, asked: Mapping[str, Any], read: Callable[[Answer], _T]) -> _T:
        """What `read` finds in the answer. Raises BackendError where that is nothing."""
        cure = _CHOICES if "echo" in asked else ""
        answer = self._server.post({"model": self._model, "temperature": 0, **asked}, cure=cure)
        try:
            return read(answer)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            rule, why = "the server answers as OpenAI's completions do", f"{type(error).__name__}: {error}"
            raise BackendError(
                Problem(rule, f"{why}, in {shorten(answer)}", self._server.url, cure or _ADDRESS)
            ) from error


@final
class _Writer:
    """What a task of a suite asks of a model as lm-eval wraps it."""

    def __init__(self, answers: Callable[[Sequence[Any]], list[str]]) -> None:
        self.generate_until = answers


def _text(answer: Answer) -> str:
    return text_of(answer["choices"][0])
