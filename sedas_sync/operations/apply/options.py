"""A run of a mirror, around the carrying out of its plan: how it goes about it, and what the index keeps of it."""

from collections.abc import Mapping

from msgspec.structs import replace

from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.plan import NEEDS_ARCHIVE, ActionKind, Plan
from sedas_sync.model.scene import LocalScene, SceneId
from sedas_sync.operations.apply.run import Options
from sedas_sync.operations.context import filehash_of
from sedas_sync.state.index import NO_FACTS, WritableIndex
from sedas_sync.transfer import Policy


def options(manifest: Manifest, *, wait: bool, jobs: int | None) -> Options:
    """How a run goes about it.

    Args:
        manifest: says so.
        wait: for orders that are not ready.
        jobs: downloads at once, instead of the manifest's.
    """
    transfer = manifest.transfer
    return Options(
        jobs=jobs or transfer.jobs,
        policy=Policy(
            retries=transfer.retries,
            connect_timeout=transfer.connect_timeout,
            stall_timeout=transfer.stall_timeout,
            segments=transfer.segments,
            integrity=transfer.integrity,
        ),
        max_rate=transfer.max_rate,
        order_timeout=transfer.order_timeout,
        max_orders=transfer.max_orders,
        wait=wait,
        filehash=filehash_of(manifest),
    )


def remember_wanted(index: WritableIndex, plan: Plan, datasets: Mapping[str, Dataset]) -> None:
    """Keep for `status` what this plan wants, dataset by dataset."""
    names = plan.datasets or tuple(datasets)
    wanted: dict[str, list[SceneId]] = {name: [] for name in names}
    for action in plan.actions:
        for name in action.datasets:
            if name in wanted and action.kind is not ActionKind.SKIP:
                wanted[name].append(action.id)
    # What a search did not finish to find is no reason to forget what was wanted.
    unfinished = {failure.id for failure in plan.failures} & set(names)
    before = index.wanted() if unfinished else {}
    for name in unfinished:
        wanted[name] = list(dict.fromkeys((*wanted[name], *before.get(name, ()))))
        if not wanted[name] and name not in before:
            # Nothing is known of what it wants, which is not the same as wanting nothing.
            del wanted[name]
    index.put_wanted(wanted, only=not plan.datasets)
    mine = {product for name in names for product in datasets[name].products}
    told: dict[str, str] = {}
    for failure in plan.failures:
        # Several archives of a dataset may have failed, each in its own way.
        told[failure.id] = f"{told[failure.id]}; {failure.error}" if failure.id in told else failure.error
    index.put_failures(told, of=mine.union(names) if plan.datasets else None)


def remember_absent(index: WritableIndex, plan: Plan) -> None:
    """Keep for reports the facts of what a plan wanted and did not get; those of files are kept with the files."""
    wants = {a.id: a.want.scene for a in plan.actions if a.want is not None and a.kind in NEEDS_ARCHIVE}
    held = index.ids() if wants else set()
    facts = {scene_id: metadata_of(scene) for scene_id, scene in wants.items() if scene_id not in held}
    index.put_absent(facts, only=plan.search_complete and not plan.datasets)


def kept_files(plan: Plan) -> list[LocalScene]:
    """What an index has to know of the files that a plan keeps."""
    return [
        held if held.facts != NO_FACTS or action.want is None else replace(held, facts=metadata_of(action.want.scene))
        for action in plan.actions
        if action.kind is ActionKind.KEEP and (held := action.held) is not None
    ]
