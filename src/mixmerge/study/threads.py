"""How many threads score a model where nobody says: one for a tiny model, else as many as torch finds processors.

Threads of torch wait for each other after every layer, and wait busily: on a machine that others use too, two of them
scored the models of the zoo five times slower than one. It knows numbers, and torch's setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TINY: Final = 5_000_000
"""Parameters. Layers of smaller models are done before a second thread could help."""


def scoring_threads(asked: int | None, parameters: int) -> int | None:
    """asked: what the person said. parameters: of the model. None: as many as torch is set to, which is its default
    (OMP_NUM_THREADS, else the processors) or a worker's share of them.
    """
    if asked is not None:
        return asked
    return 1 if parameters < TINY else None


@contextmanager
def on_threads(threads: int | None) -> Iterator[None]:
    """Torch computes with so many threads; None: as it is set. Afterwards it is set as before."""
    if threads is None:
        yield
        return
    import torch  # where scoring begins

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
