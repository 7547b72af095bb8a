"""The settings of a run, and what the index remembers of its plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from sedas_sync.files.integrity import Filehash
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.plan import NEEDS_ARCHIVE, ActionKind, Plan
from sedas_sync.model.scene import LocalScene, SceneId
from sedas_sync.operations.context import filehash_of
from sedas_sync.state.index import NO_FACTS, WritableIndex
from sedas_sync.transfer.job import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of a run."""

    jobs: int = 4
    """Downloads at once."""
    policy: Policy = field(default_factory=Policy)
    max_rate: int = 0
    """Bytes a second over all downloads; 0 for no limit."""
    order_timeout: float = 86400.0
    """Seconds."""
    max_orders: int = 0
    """0 for no limit."""
    wait: bool = True
    """Wait for orders that are not ready."""
    filehash: Mapping[str, Filehash] = field(default_factory=dict)
    """For each archive's key: warn, enforce or ignore."""


def options(manifest: Manifest, *, wait: bool, jobs: int | None) -> Options:
    """Return the settings of a run.

    Args:
        manifest: its `[transfer]` table.
        wait: whether to wait for orders that are not ready.
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
    """Write the scenes that match each dataset to the index, for `status`."""
    names = plan.datasets or tuple(datasets)
    wanted: dict[str, list[SceneId]] = {name: [] for name in names}
    for action in plan.actions:
        for name in action.datasets:
            if name in wanted and action.kind is not ActionKind.SKIP:
                wanted[name].append(action.id)
    # After an incomplete search, scenes that matched before are still recorded as matching.
    unfinished = {failure.id for failure in plan.failures} & set(names)
    before = index.wanted() if unfinished else {}
    for name in unfinished:
        wanted[name] = list(dict.fromkeys((*wanted[name], *before.get(name, ()))))
        if not wanted[name] and name not in before:
            # The matches of the dataset are unknown, which is different from none.
            del wanted[name]
    index.put_wanted(wanted, only=not plan.datasets)
    mine = {product for name in names for product in datasets[name].products}
    errors: dict[str, str] = {}
    for failure in plan.failures:
        # Several archives of a dataset may have failed.
        errors[failure.id] = f"{errors[failure.id]}; {failure.error}" if failure.id in errors else failure.error
    index.put_failures(errors, of=mine.union(names) if plan.datasets else None)


def remember_absent(index: WritableIndex, plan: Plan) -> None:
    """Write the metadata of scenes that are wanted and not downloaded to the index, for reports."""
    wants = {a.id: a.want.scene for a in plan.actions if a.want is not None and a.kind in NEEDS_ARCHIVE}
    on_disk = index.ids() if wants else set()
    metadata = {scene_id: metadata_of(scene) for scene_id, scene in wants.items() if scene_id not in on_disk}
    index.put_absent(metadata, only=plan.search_complete and not plan.datasets)


def kept_files(plan: Plan) -> list[LocalScene]:
    """Return the scenes that a plan keeps, each with its metadata."""
    return [
        local
        if local.facts != NO_FACTS or action.want is None
        else replace(local, facts=metadata_of(action.want.scene))
        for action in plan.actions
        if action.kind is ActionKind.KEEP and (local := action.held) is not None
    ]
