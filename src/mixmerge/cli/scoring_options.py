"""How models are scored, as options that commands share: `eval` and `reproduce` all of them, `explore` some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from mixmerge.cli.options import option

DATA_DIR: Final = option("--data-dir", metavar="DIR", help="Plain files of the suite's data, for no network.")
LIMIT: Final = option("--limit", metavar="N", low=1, help="Items a task, the first.")
ALLOW_CODE_EXECUTION: Final = option("--allow-code-execution", help="Run programs the model writes, confined.")


def prompt(default: str) -> Any:
    """The option of prompt styles. default: what is used without it, in words."""
    words = "alpaca, vicuna, chat_template or raw. Of the suite's tasks."
    return option("--prompt", metavar="STYLE", help=words, default=default)


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """The fields are the options of the same name; all of them are keywords of both library functions."""

    data_dir: Annotated[str | None, DATA_DIR] = None
    limit: Annotated[int | None, LIMIT] = None
    device: Annotated[str, option("--device", metavar="DEVICE", help="cpu, cuda, ...")] = "cpu"
    compute: Annotated[
        str | None,
        option(
            "--compute", metavar="DTYPE", default="float32 on a CPU, else the model's",
            help="Computed in: float32, bfloat16 or float16.",
        ),
    ] = None  # fmt: skip
    batch_size: Annotated[int, option("--batch-size", metavar="N", low=1, help="Answers at once.")] = 16
    allow_code_execution: Annotated[bool, ALLOW_CODE_EXECUTION] = False
    workers: Annotated[
        int, option("--workers", metavar="N", low=1, help="Programs, or requests to the judge, at once.")
    ] = 1
