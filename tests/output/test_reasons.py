"""The texts of reasons."""

import pytest

from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.output.reasons import reason_text

DAMAGED = Reason(ReasonCode.DAMAGED)
PARTIAL = Reason(ReasonCode.PARTLY_DOWNLOADED, here=1_500_000)


@pytest.mark.parametrize("code", ReasonCode)
def test_every_code_has_a_text(code):
    whole = Reason(code, cause=DAMAGED, here=1, there=2, names=("a",), order="7", detail="a detail")
    assert reason_text(whole).strip("; ")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (PARTIAL, "1.5 MB already downloaded"),
        (
            Reason(ReasonCode.OTHER_PATH, here="{here}.zip", there="b.zip"),
            "in the mirror at {here}.zip, the layout now puts it at b.zip",
        ),
        (
            Reason(ReasonCode.FORM_CHANGED, here="a folder", there="one file"),
            "a folder in the mirror, one file in the archive",
        ),
        (Reason(ReasonCode.FILES_MISSING, names=("x.tif", "y.tif")), "x.tif, y.tif are missing"),
        (Reason(ReasonCode.FILES_EXTRA, names=("x.tif",)), "x.tif is no longer selected"),
        (Reason(ReasonCode.SIZE_CHANGED, here=7, there=8), "changed in the archive: 8 bytes there, 7 in the mirror"),
        (
            Reason(ReasonCode.CHECKSUM_CHANGED, names=("x.tif",)),
            "x.tif changed in the archive: its checksum is not the one it had at download",
        ),
        (Reason(ReasonCode.NO_ORDER), "in the long-term archive, no order yet"),
        (
            Reason(ReasonCode.NO_ORDER, cause=DAMAGED),
            "damaged: the file's contents changed since it was downloaded; in the long-term archive, no order yet",
        ),
        (Reason(ReasonCode.ORDER_READY, order="7", cause=PARTIAL), "1.5 MB already downloaded; order 7 is ready"),
        (
            Reason(ReasonCode.ORDER_FAILED, order="7", detail="EXPIRED"),
            "in the long-term archive; order 7 failed (EXPIRED)",
        ),
        (
            Reason(
                ReasonCode.SUCCESSOR_MISSING,
                names=("A", "B"),
                cause=Reason(ReasonCode.NO_MATCH, detail="d: superseded by A"),
            ),
            "kept until A, B are downloaded, then removed: no longer matches: d: superseded by A",
        ),
    ],
)
def test_texts(reason, text):
    assert reason_text(reason) == text


def test_ids_of_orders_can_be_left_out():
    reason = Reason(ReasonCode.ORDER_READY, order="7", cause=PARTIAL)
    assert reason_text(reason, name_orders=False) == "1.5 MB already downloaded; its order is ready"
