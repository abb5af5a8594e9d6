"""Studies: draw ratios, merge each into a live model, score it, choose on validation items, prove on test items.

The only room where ratio laws, the engine, evaluation and storage meet. Nothing here prints: listeners hear
`StudyEvent`s. PyTorch, transformers and Optuna are imported when a study begins, not before.
"""

from mixmerge.study.demonstration import Demo, PairResult, TwoByTwo, demo
from mixmerge.study.events import (
    Proving,
    Stage,
    StudyEvent,
    StudyListener,
    StudyStarted,
    TrialDone,
    TrialStarted,
)
from mixmerge.study.exploring import explore
from mixmerge.study.exporting import export
from mixmerge.study.study import Study

__all__ = [
    "Demo",
    "PairResult",
    "Proving",
    "Stage",
    "Study",
    "StudyEvent",
    "StudyListener",
    "StudyStarted",
    "TrialDone",
    "TrialStarted",
    "TwoByTwo",
    "demo",
    "explore",
    "export",
]
