"""Sizes that archives do not state: from the mirror, from the archive, else from what is usual."""

import pytest

from sedas_sync.errors import ManifestError
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import DesiredScene, Scene
from sedas_sync.planning.limits import check_download
from sedas_sync.planning.sizes import typical_sizes

NEW = Reason(ReasonCode.NOT_IN_MIRROR)


def action(kind, scene_id, product_type="L1C", *, size=None, held=None):
    want = DesiredScene.of("a", Scene(id=scene_id, product_type=product_type), datasets=("d",), path=scene_id)
    local = None
    if held is not None:
        local = LocalScene(
            id=scene_id, path=scene_id, size=held, mtime_ns=0, sha256=None, level=ProofLevel.CRC, archive=""
        )
    return Action(
        kind=kind, id=scene_id, datasets=("d",), path=scene_id, size=size, reason=NEW, wanted=want, local=local
    )


def test_scenes_in_the_mirror_count_most_then_the_archive_then_the_type():
    missing = action(ActionKind.FETCH, "A")
    held = [action(ActionKind.KEEP, f"K{size}", held=size) for size in (10, 30, 1000)]
    assert typical_sizes([missing, *held], {"a": 5}) == {"L1C": 30}
    assert typical_sizes([missing], {"a": 5}) == {"L1C": 5}
    assert typical_sizes([missing], {"a": None}) == {"L1C": 600_000_000}
    assert typical_sizes([action(ActionKind.ORDER, "A", "IW_GRDH_1S")], {}) == {"IW_GRDH_1S": 1_200_000_000}


def test_nothing_is_estimated_that_is_stated_kept_or_unknown():
    assert typical_sizes([action(ActionKind.FETCH, "A", size=7), action(ActionKind.KEEP, "K", held=3)], {}) == {}
    assert typical_sizes([action(ActionKind.FETCH, "A", None), action(ActionKind.FETCH, "B", "whatever")], {}) == {}


def test_the_limit_counts_orders_and_estimates_and_not_what_is_on_disk():
    actions = (
        action(ActionKind.FETCH, "A", size=100),
        action(ActionKind.ORDER, "B"),
        action(ActionKind.KEEP, "K", size=9999, held=9999),
    )
    plan = Plan(manifest="m", mirror="/m", archive={}, actions=actions, typical_sizes={"L1C": 50})
    check_download(plan, 0)
    check_download(plan, 150)
    with pytest.raises(ManifestError, match=r"~150 B to download, more than max_download \(149 B\)"):
        check_download(plan, 149)
