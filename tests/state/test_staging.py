"""Downloads under way of scenes that nothing wants any more: which they are, and what goes with them."""

from sedas_sync.model.scene import RemoteFile, Scene
from sedas_sync.state import staging

PARTIAL = ".sedas-sync/partial"


def test_downloads_under_way_of_other_scenes_are_spare_and_go_whole(tmp_path):
    place = tmp_path / PARTIAL
    wanted = (Scene(id="ONE"), Scene(id="MANY", assets=(RemoteFile(name="B04.tif", key="B04"),)))
    for name in ("ONE.zip", "OTHER.zip"):
        (place / f"{name}.part").parent.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.part").write_bytes(b"bytes")
        (place / f"{name}.meta").write_text("a note")
    for name in ("MANY.scene", "GONE.scene", "KEPT.scene"):
        (place / name / "new").mkdir(parents=True)
        (place / name / "new" / "B04.tif").write_bytes(b"bytes")
    (place / "KEPT.scene" / "old").mkdir()
    (place / "mine.txt").write_text("mine")
    found, size = staging.unwanted_downloads(str(tmp_path), wanted)
    assert found == (f"{PARTIAL}/GONE.scene", f"{PARTIAL}/OTHER.zip.part")
    assert size == len(b"bytes")
    for path in found:
        staging.forget(str(tmp_path), path)
    left = {"ONE.zip.part", "ONE.zip.meta", "MANY.scene", "KEPT.scene", "mine.txt"}
    assert {path.name for path in place.iterdir()} == left
    staging.forget(str(tmp_path), f"{PARTIAL}/OTHER.zip.part")


def test_nothing_is_spare_where_there_is_nothing(tmp_path):
    assert staging.unwanted_downloads(str(tmp_path), ()) == ((), 0)
