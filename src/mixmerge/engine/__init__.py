"""The engine: executes plans, block by block, in bounded memory, on all cores. It only obeys."""

from mixmerge.engine.events import Event, Listener, PassStarted, Progress, Restarted, TensorDone
from mixmerge.engine.execute import Engine
from mixmerge.engine.mapped import MappedFiles
from mixmerge.engine.statistics import Statistics

__all__ = [
    "Engine",
    "Event",
    "Listener",
    "MappedFiles",
    "PassStarted",
    "Progress",
    "Restarted",
    "Statistics",
    "TensorDone",
]
