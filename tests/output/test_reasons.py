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
        (PARTIAL, "1.5 MB of it are here"),
        (
            Reason(ReasonCode.OTHER_PATH, here="{here}.zip", there="b.zip"),
            "held at {here}.zip, the layout now puts it at b.zip",
        ),
        (
            Reason(ReasonCode.FORM_CHANGED, here="a folder", there="one file"),
            "held as a folder, the archive gives one file",
        ),
        (Reason(ReasonCode.FILES_MISSING, names=("x.tif", "y.tif")), "x.tif, y.tif of it are wanted and not here"),
        (Reason(ReasonCode.FILES_EXTRA, names=("x.tif",)), "x.tif of it is here and not wanted"),
        (Reason(ReasonCode.SIZE_CHANGED, here=7, there=8), "changed in the archive: 8 bytes there, 7 here"),
        (
            Reason(ReasonCode.CHECKSUM_CHANGED, names=("x.tif",)),
            "x.tif changed in the archive: another digest than when it was fetched",
        ),
        (Reason(ReasonCode.NO_ORDER), "in the long-term archive, no order yet"),
        (
            Reason(ReasonCode.NO_ORDER, cause=DAMAGED),
            "damaged here: the bytes are not those that were fetched; in the long-term archive, no order yet",
        ),
        (Reason(ReasonCode.ORDER_READY, order="7", cause=PARTIAL), "1.5 MB of it are here; order 7 is ready"),
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
            "kept until A, B are downloaded; then no longer wanted: d: superseded by A",
        ),
    ],
)
def test_texts(reason, text):
    assert reason_text(reason) == text


def test_ids_of_orders_can_be_left_out():
    reason = Reason(ReasonCode.ORDER_READY, order="7", cause=PARTIAL)
    assert reason_text(reason, name_orders=False) == "1.5 MB of it are here; its order is ready"
