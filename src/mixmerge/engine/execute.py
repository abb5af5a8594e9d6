"""Execute a plan into a sink: measure where the method asks for it, then one apply pass.

The majority sign of the whole model is estimated while thresholds are measured, and counted while it is applied; on
the rare occasion that the two differ the apply pass is run again with the counted one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mixmerge.engine.adapting import compile_changes
from mixmerge.engine.apply import Applier
from mixmerge.engine.blocks import Arena
from mixmerge.engine.events import Event, Listener, Restarted
from mixmerge.engine.mapped import MappedFiles
from mixmerge.engine.masks import Masks, settles, wanted
from mixmerge.engine.measure import Measurer
from mixmerge.engine.statistics import Statistics
from mixmerge.kernels import Kernels, load
from mixmerge.planning import Plan, Step, changes
from mixmerge.sink import Sink


class Engine:
    """Buffers and kernels for plans of one shape; reused over many ratios of one recipe.

    listeners are called from any thread, one at a time. files: for many passes over the same weights, which are then
    mapped where that can be done, and random masks are kept; without it all is read into buffers and drawn in passing,
    in the memory that was planned.
    """

    def __init__(
        self,
        plan: Plan,
        listeners: Sequence[Listener] = (),
        kernels: Kernels | None = None,
        *,
        files: MappedFiles | None = None,
    ) -> None:
        self.kernels = kernels or load()
        self.files = files
        self.arenas = [Arena(plan, files) for _ in range(plan.budget.threads)]
        self._masks: Masks | None = None
        self._compiled: tuple[tuple[Step, ...], bool] | None = None
        self._listeners = tuple(listeners)
        self._lock = threading.Lock()

    def measure(self, plan: Plan) -> Statistics:
        """What must be known of whole tensors or the whole model. Does not depend on the plan's ratios."""
        self._prepare(plan, None)
        if changes(plan.steps):
            compile_changes(self.kernels, self._tell)
        return Measurer(plan, self.kernels, self.arenas, self._tell, self._masks).run()

    def apply(
        self,
        plan: Plan,
        statistics: Statistics,
        sink: Sink,
        *,
        skip: Mapping[str, int] | None = None,
        hashed: bool = True,
    ) -> Statistics:
        """One pass into the sink. Returns the statistics with the majority sign proven.

        skip: tensors already written with these statistics, and the sum of signs each elected. Raises NonFiniteError,
        CheckpointError, and OSError as the sink does.
        """
        if changes(plan.steps):
            compile_changes(self.kernels, self._tell)
        elected = self._pass(plan, statistics, sink, skip or {}, hashed=hashed)
        if statistics.proven:
            return statistics
        counted = int(np.sign(elected))
        if counted != statistics.majority:
            self._tell(Restarted("the majority sign came out otherwise than estimated", counted))
            statistics = replace(statistics, majority=counted)
            self._pass(plan, statistics, sink, {}, hashed=hashed)
        return replace(statistics, proven=True)

    def _pass(self, plan: Plan, statistics: Statistics, sink: Sink, skip: Mapping[str, int], *, hashed: bool) -> int:
        self._prepare(plan, None if hashed or not statistics.proven else statistics)
        applier = Applier(
            plan,
            statistics,
            sink,
            self.kernels,
            self._tell,
            skip=skip,
            hashed=hashed,
            files=self.files,
            masks=self._masks,
        )
        settled = self._masks is not None and self._masks.settled is not None
        if self._compiled is None or self._compiled[0] is not plan.steps or self._compiled[1] != settled:
            applier.compile(self.arenas[0])
            self._compiled = (plan.steps, settled)
        return applier.run(self.arenas)

    def _prepare(self, plan: Plan, settled: Statistics | None) -> None:
        """Before a pass over mapped files: they are as they were, and masks that stay the same are drawn.

        settled: what they may be settled with, where that can be done: nobody asks then how many signs are elected.
        """
        if self.files is None:
            return
        self.files.check()
        if not wanted(plan, self.kernels):
            return
        if settled is not None and not settles(plan):
            settled = None
        masks, self._masks = self._masks, None
        if masks is None or masks.settled not in (None, settled):
            masks = Masks(plan, self.kernels)
        if settled is not None and masks.settled is None:
            masks.settle(plan, settled, self.kernels, self.arenas, self._tell)
        self._masks = masks

    def _tell(self, event: Event) -> None:
        with self._lock:
            for listener in self._listeners:
                listener(event)
