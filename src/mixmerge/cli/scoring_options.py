"""How models are scored, as options that commands share: `eval` and `reproduce` all of them, `explore` some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from mixmerge.cli.options import option

DATA_DIR: Final = option("--data-dir", metavar="DIR", help="Plain files of the suite's data, for no network.")
LIMIT: Final = typer.Option("--limit", metavar="N", min=1, show_default=False, help="Items a task, the first.")
ALLOW_CODE_EXECUTION: Final = typer.Option(
    "--allow-code-execution", show_default=False, help="Run programs the model writes, confined."
)


def prompt(default: str) -> Any:
    """The option of prompt styles. default: what is used without it, in words."""
    words = "alpaca, vicuna, chat_template or raw. Of the suite's tasks."
    return typer.Option("--prompt", metavar="STYLE", help=words, show_default=default)


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """The fields are the options of the same name; all of them are keywords of both library functions."""

    data_dir: Annotated[str | None, DATA_DIR] = None
    limit: Annotated[int | None, LIMIT] = None
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda, ...")] = "cpu"
    compute: Annotated[
        str | None, typer.Option("--compute", metavar="DTYPE", help="Computed in: float32, bfloat16 or float16.")
    ] = None
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Answers at once.")] = 16
    allow_code_execution: Annotated[bool, ALLOW_CODE_EXECUTION] = False
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="Programs, or requests to the judge, at once.")
    ] = 1
