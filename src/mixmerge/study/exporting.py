"""Write models of a study to disk by the ordinary engine: the bytes are those that were scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mixmerge.engine import Listener
from mixmerge.engine.folder import check_place, merge_to_folder
from mixmerge.errors import OutputError, PlanError, Problem
from mixmerge.planning import Plan, check_output
from mixmerge.recipe import parse_recipe
from mixmerge.study.card import study_section
from mixmerge.study.describe import inputs_of
from mixmerge.study.merging import Merger
from mixmerge.study.session import pareto_set
from mixmerge.study.storage import Recorded
from mixmerge.study.study import Study
from mixmerge.study.summary import not_proved, recipe_of, tables
from mixmerge.version import __version__


def export(
    study_dir: str | Path,
    out: str | Path,
    *,
    trial: int | None = None,
    pareto: bool = False,
    push_to_hub: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    memory: int | None = None,
    threads: int | None = None,
    listeners: Sequence[Listener] = (),
) -> list[Path]:
    """Write the winner, trial number `trial`, or the whole Pareto set; returns the folders written.

    pareto: a folder a model, out/trial-00007 and so on. push_to_hub: a repository id to upload `out` to, made where it
    is not there (private: for its owner only). overwrite: replace what is there. memory, threads: as for `merge`.
    Raises PlanError where there is no such trial, or the sources are no longer those of the study; and what `merge`
    raises.
    """
    study, target = Study(study_dir), Path(out)
    if push_to_hub is not None:
        _refuse_repository(push_to_hub)
    chosen = _chosen(study, trial, pareto)
    places = [target / f"trial-{one.number:05d}" for one in chosen] if pareto else [target]
    with closing(Merger(parse_recipe(study.identity["recipe"]), memory=memory, threads=threads)) as merger:
        _refuse_changed(study, merger.plan)
        plans = [merger.planned(parse_recipe(recipe_of(study.identity, one.outcome.point))) for one in chosen]
        _refuse_places(places, plans, overwrite)
        hashes = {str(model.label): _hashes(model.all_files) for model in merger.plan.models}
        for one, plan, place in zip(chosen, plans, places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            card = study_section(study.records, one, hashes)
            merge_to_folder(
                plan, place, version=__version__, overwrite=overwrite, listeners=tuple(listeners), card=card
            )
    if push_to_hub is not None:
        upload(target, push_to_hub, private=private)
    return places


def unproved(study_dir: str | Path, trial: int | None = None) -> str | None:
    """What is to be said of the winner where nothing is proved of it; None where it is, and of another trial."""
    records = Study(study_dir).records
    if records.winner is None or trial not in (None, records.winner.number):
        return None
    return not_proved(records, tables(records, "test"))


def _chosen(study: Study, trial: int | None, pareto: bool) -> list[Recorded]:
    if pareto and trial is not None:
        raise PlanError(Problem("one trial or the Pareto set is exported", "both", "--trial --pareto", "give one"))
    if pareto:
        records = study.records
        return pareto_set(records.trials, records.weights) or [study.winner]
    if trial is None:
        return [study.winner]
    scored = [one for one in study.records.trials if one.outcome.scores]
    found = [one for one in scored if one.number == trial]
    if not found:
        known = ", ".join(str(one.number) for one in scored)
        raise PlanError(Problem("an exported trial was drawn and scored", str(trial), "--trial", f"known: {known}"))
    return found


def _refuse_changed(study: Study, plan: Plan) -> None:
    known, now = study.identity["inputs"], inputs_of(plan)
    changed = [label for label in now if known.get(label) != now[label]]
    if changed:
        rule, cure = "the sources are those the study scored", "restore them, or run a new study"
        raise PlanError(Problem(rule, f"changed: {', '.join(changed)}", str(study.folder), cure))


def _refuse_places(places: Sequence[Path], plans: Sequence[Plan], overwrite: bool) -> None:
    """Every folder is looked at, and the room for all of them, before the first is written."""
    total = sum(plan.cost.disk for plan in plans)
    for place, plan in zip(places, plans, strict=True):
        check_output(place, total, plan.models)
        check_place(place, resume=False, overwrite=overwrite)


def _refuse_repository(repository: str) -> None:
    """A name no repository can have is told before anything is merged."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # a second to import, for this alone

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        cure = "give a name as you/merged"
        problem = Problem("a repository of the hub is called OWNER/NAME", str(error), "--push-to-hub", cure)
        raise OutputError(problem) from error


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    """sha256 of every file that decides the weights, as hubs state them."""
    found = {}
    for path in files:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def upload(folder: Path, repository: str, *, private: bool) -> str:
    """Upload a folder to a model repository; returns its address. Raises OutputError where the hub refuses."""
    import huggingface_hub  # a second to import, for this alone

    hub = huggingface_hub.HfApi()
    try:
        address = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Merged with Mixmerge")
    except (huggingface_hub.errors.HfHubHTTPError, OSError, ValueError) as error:
        cure = "log in with `hf auth login`, and check the name; the model is whole on this disk"
        raise OutputError(Problem("the hub takes the model", str(error), repository, cure)) from error
    return str(address)
