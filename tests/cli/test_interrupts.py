"""Control-C during a study, also where something in between swallows it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixmerge import study
from mixmerge.cli import run
from mixmerge.cli.interrupts import kept_interrupts


@pytest.fixture(autouse=True)
def pythons_handler() -> Iterator[None]:
    """Shells start what runs in the background deaf to Control-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_was_swallowed_ends_the_study_at_its_next_event(tmp_path: Path, monkeypatch, capsys) -> None:
    def explore(*_: Any, listeners: Any, **__: Any) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # as a finaliser does
            signal.raise_signal(signal.SIGINT)
        for listener in listeners:
            listener(study.Stage("going on", ""))
        pytest.fail("the study went on")

    monkeypatch.setattr(study, "explore", explore)
    assert run(["explore", "recipe.yaml", str(tmp_path / "s"), "--tasks", "t.jsonl"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_nothing_is_raised_that_nobody_asked_for() -> None:
    with kept_interrupts() as again:
        again(None)


def test_an_interrupt_is_raised_at_once_and_handlers_are_put_back() -> None:
    with pytest.raises(KeyboardInterrupt), kept_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_ones_own_stays() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        with kept_interrupts() as again:
            signal.raise_signal(signal.SIGINT)
            again(None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1]


def test_other_threads_have_no_handlers() -> None:
    failed = []

    def work() -> None:
        try:
            with kept_interrupts() as again:
                again(None)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []
