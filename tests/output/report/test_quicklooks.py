"""Small pictures in a report: from the quick-looks inside products, and from nothing else."""

import base64
import io
import zipfile

from PIL import Image
from report_values import embedded

from sedas_sync.model.local import LocalFile, LocalScene, ProofLevel
from sedas_sync.output.report.quicklooks import WIDTH, quicklooks


def picture(kind="JPEG", size=(400, 300), colour=(20, 120, 40)):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def scene(name, path, members=()):
    return LocalScene(
        id=name, path=path, size=1, mtime_ns=1, sha256=None, level=ProofLevel.SIZE, archive="a", members=members
    )


def test_it_finds_the_quick_look_of_each_kind_of_product(tmp_path):
    scenes = []
    for name, entry, kind in (
        ("S1", "S1A_IW.SAFE/preview/quick-look.png", "PNG"),
        ("S2", "S2A_MSIL1C.SAFE/S2A_MSIL1C-ql.jpg", "JPEG"),
        ("L8", "LC08_L2SP_thumb_small.jpeg", "JPEG"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as product:
            product.writestr("measurement.tif", b"not this")
            product.writestr(entry, picture(kind))
        scenes.append(scene(name, f"{name}.zip"))
    (tmp_path / "STAC").mkdir()
    (tmp_path / "STAC" / "thumbnail.jpg").write_bytes(picture())
    file = {"size": 1, "mtime_ns": 1, "sha256": None, "level": ProofLevel.SIZE}
    members = tuple(LocalFile(name=name, path=name, **file) for name in ("B04.tif", "thumbnail.jpg"))
    scenes.append(scene("STAC", "STAC", members))
    found = quicklooks(str(tmp_path), scenes)
    assert set(found) == {"S1", "S2", "L8", "STAC"}
    for text in found.values():
        with Image.open(io.BytesIO(base64.b64decode(text))) as small:
            assert (small.format, small.size) == ("WEBP", (WIDTH, WIDTH * 3 // 4))


def test_what_is_no_picture_is_left_out(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as product:
        product.writestr("preview/quick-look.png", "<svg onload=alert(1)>")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as product:
        product.writestr("quick-look.png", picture("PNG", (6000, 6000)))
    (tmp_path / "elsewhere.zip").symlink_to(tmp_path / "text.zip")
    names = ("broken", "text", "bomb", "elsewhere", "gone")
    assert quicklooks(str(tmp_path), [scene(name, f"{name}.zip") for name in names]) == {}


def test_a_report_with_pictures(workspace, browser):
    workspace.write()
    workspace.run("apply", "--no-wait")
    ran = workspace.run("report", "--quicklooks")
    assert ran.code == 0, ran.err
    written = (workspace.path / "manifest.html").read_text()
    content = embedded(written)
    held = content["states"].index("held")
    pictures = [
        shown
        for state, shown in zip(content["scenes"]["state"], content["scenes"]["picture"], strict=True)
        if state == held
    ]
    assert pictures
    assert None not in pictures
    page = browser.open(written)
    page.click("[data-only='state'][data-value='held']")
    page.click("#scenes .link")
    page.until("return document.querySelector('#details img').naturalWidth > 0")
    assert page.log()[0] == []
