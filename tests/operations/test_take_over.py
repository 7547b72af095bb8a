"""adopt takes over what other programs left: zips under many names, and extracted products."""

import hashlib
import os
import random
import re
import shutil
import sqlite3
from collections import Counter

import pytest
from effort import effort
from kills import killed
from products import over_harwell, unzip

from sedas_sync.operations.adopt.placing import Placer

PERIOD = '[dataset.all]\naoi = "harwell"\nstart = 2019-04-01\nend = 2019-07-31\nsensor = "all"\n'
S2 = "S2B_MSIL1C_20190507T110629_N0207_R137_T30UXC_20190507T133918"

UNKNOWN = b'<?xml version="1.0" encoding="klingon"?><a/>'


@pytest.fixture(scope="module")
def products():
    """The zips of all scenes over Harwell in four months, by id."""
    return over_harwell("2019-04-01", "2019-07-31")


@pytest.fixture
def zips(workspace, products):
    """The same, with a manifest that they match."""
    workspace.write(PERIOD)
    return dict(products)


def put(file, data):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def by_file(ran):
    return {file["file"]: file for file in ran.json["files"]}


def tree(folder):
    """Return all files below a folder with their bytes, outside the state folder."""
    found = (file for file in folder.rglob("*") if file.is_file() and ".sedas-sync" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def test_a_collection_of_years(workspace, sandbox, zips):
    """Zips and folders, whole and not, with and without the user's own files, and strangers: one line for each."""
    old, ids = workspace.path / "old", iter(zips.items())
    names = ["{}.zip", "{}.SAFE.zip", "{} (1).zip", "lower/{}.zip", "copy of {}.zip"]
    for number in range(30):
        scene, data = next(ids)
        name = names[number % len(names)].format(scene)
        put(old / "zips" / (name.lower() if "lower" in name else name), data)
    kinds = ["{}.SAFE", "{}", "{0}/{0}.SAFE", "{0}.SAFE/{0}.SAFE", "{} (2).SAFE", "{}.safe"]
    for number in range(30):
        scene, data = next(ids)
        unzip(data, old / "folders", name=kinds[number % len(kinds)].format(scene))
    lacking = []
    for without in [(".tiff", ".jp2"), ("-ql.jpg", ".tiff"), (".xml",), ("manifest.safe",), ("B02.jp2", "-001.xml")]:
        scene, data = next(ids)
        lacking.append(unzip(data, old / "broken", without=without).name)
    changed = []
    for number in range(5):
        scene, data = next(ids)
        folder = unzip(data, old / "worked on")
        changed.append(f"worked on/{folder.name}")
        put(folder / "ndvi" / f"{number}.tif", b"my result")
        put(folder / "manifest.safe.aux.xml", b"statistics")
    scene, data = next(ids)
    outer = unzip(data, old / "nested")
    inner = unzip(next(ids)[1], outer)
    strangers = {"notes.txt": b"mine", "photos/a.jpg": b"holiday", "S2A_MSIL1C_20190506.zip": b"short"}
    for name, content in strangers.items():
        put(old / name, content)
    unknown = "S2B_MSIL1C_20180101T110359_N0206_R094_T30UXC_20180101T130125"
    unzip(data, old, name=f"{unknown}.SAFE")
    before = tree(old)

    trial = workspace.run("adopt", "--from", "old", "--dry-run", "--json")
    assert not workspace.mirror.exists()
    ran = workspace.run("adopt", "--from", "old", "--json")
    assert ran.code == trial.code == 1
    assert (trial.json["dry_run"], ran.json["dry_run"]) == (True, False)
    assert trial.json["files"] == ran.json["files"]
    files = by_file(ran)
    assert len(files) == len(ran.json["files"]), "one line for each"
    assert Counter(file["result"] for file in files.values()) == {"adopted": 67, "incomplete": 5, "unwanted": 4}
    summary = ran.json["summary"]
    assert (summary["adopted"], summary["incomplete"], summary["unwanted"]) == (67, 5, 4)
    assert summary["bytes"] == summary["bytes_by_result"]["adopted"]
    added = 5 * len(b"my result" + b"statistics")
    assert sum(summary["bytes_by_result"].values()) == sum(map(len, before.values())) - added
    for name in lacking:
        detail = files[f"broken/{name}"]["detail"]
        assert " missing" in detail
        assert files[f"broken/{name}"]["path"] is None
    for name in changed:
        assert len(files[name]["added"]) == 2
        assert (
            "2 files in it that the product does not list, left alone: manifest.safe.aux.xml" in files[name]["detail"]
        )
    assert {file["result"] for name, file in files.items() if name.startswith("nested/")} == {"adopted"}
    assert str(inner.relative_to(old)) in files
    assert {name for name, file in files.items() if file["result"] == "unwanted"} == {*strangers, f"{unknown}.SAFE"}
    assert {file["level"] for file in files.values() if file["result"] == "adopted"} == {"digest"}
    assert tree(old) == before
    assert sandbox.downloads == 0

    paths = {file["path"] for file in files.values() if file["path"]}
    assert {path.rpartition(".")[2] for path in paths} == {"zip", "SAFE", "safe"}
    on_disk = tree(workspace.mirror)
    assert {path.partition("/")[0] for path in on_disk} == paths
    assert not any("ndvi" in path or path.endswith(".aux.xml") for path in on_disk)
    again = workspace.run("adopt", "--from", "old", "--json")
    assert again.json["summary"]["held"] == 67
    plan = workspace.run("plan", "--json").json["summary"]
    assert plan["keep"] == 67
    assert plan["fetch"] + plan["order"] == len(zips) - 67
    assert workspace.run("verify").code == 0


@pytest.mark.parametrize("unpack", ["true", "false"])
def test_in_the_mirror_folders_are_moved_to_their_places_as_they_are(workspace, sandbox, zips, unpack):
    workspace.write(PERIOD, mirror='layout = "{start:%Y}/{id}"\n')
    shapes = ["{0}/{0}.SAFE", "{0}.SAFE/{0}.SAFE", "x/{}.SAFE", "2019/{}.SAFE", "{}", "old_{}.SAFE.backup"]
    ids = dict(zip(shapes, zips, strict=False))
    for shape, scene in ids.items():
        folder = unzip(zips[scene], workspace.mirror, name=shape.format(scene))
        put(folder / "measurement" / "mine.tif", b"my result")
    ran = workspace.run("adopt", "--json")
    assert ran.code == 0, ran.err
    assert {file["file"]: file["path"] for file in ran.json["files"]} == {
        shape.format(scene): f"2019/{scene}.SAFE" for shape, scene in ids.items()
    }
    assert {file["added"][0] for file in ran.json["files"]} == {"measurement/mine.tif"}
    left = {path.name for path in workspace.mirror.iterdir()} | {path.name for path in workspace.mirror.glob("2019/*")}
    assert left == {".sedas-sync", "2019", *(f"{scene}.SAFE" for scene in ids.values())}
    mine = [name for name in tree(workspace.mirror) if name.endswith("mine.tif")]
    assert len(mine) == len(shapes)
    summary = workspace.run("apply", "--dry-run", "--json").json["summary"]
    assert (summary["keep"], sandbox.downloads) == (len(shapes), 0)
    assert workspace.run("adopt", "--json").json["files"] == []


@pytest.mark.parametrize("how", ["copy", "move", "link"])
def test_folders_come_from_another_folder_in_each_way(workspace, zips, how):
    scene, data = next(iter(zips.items()))
    folder = unzip(data, workspace.path / "old")
    put(folder / "mine.txt", b"my notes")
    product = {name: content for name, content in tree(folder).items() if name != "mine.txt"}
    ran = workspace.run("adopt", "--from", "old", *([] if how == "link" else [f"--{how}"]), "--json")
    assert ran.code == 0, ran.err
    assert tree(workspace.mirror / f"{scene}.SAFE") == product
    assert tree(folder) == ({"mine.txt": b"my notes"} if how == "move" else product | {"mine.txt": b"my notes"})
    assert [path.name for path in folder.iterdir()] == ["mine.txt"] or how != "move"
    if how != "move":
        assert (folder / "manifest.safe").samefile(workspace.mirror / f"{scene}.SAFE/manifest.safe") == (how == "link")


def test_a_second_run_opens_no_file_and_looks_at_each_once(workspace, zips, monkeypatch):
    """So that a thousand folders of sixty files take seconds."""
    from sedas_sync.files import safe_tree, tree_listing

    count = 0
    for data in list(zips.values())[:20]:
        count += len(tree(unzip(data, workspace.mirror)))
    assert workspace.run("adopt").code == 0
    opened, seen = [], []
    open_file, of = safe_tree.open_file, tree_listing.TreeEntry.of
    monkeypatch.setattr(safe_tree, "open_file", lambda *args, **more: opened.append(args) or open_file(*args, **more))
    monkeypatch.setattr(tree_listing.TreeEntry, "of", lambda path, found: seen.append(path) or of(path, found))
    ran = workspace.run("adopt", "--json")
    assert (ran.code, ran.json["files"]) == (0, [])
    assert [args for args in opened if ".sedas-sync" not in args[1]] == []
    assert len(seen) == len(set(seen)) == count
    # From another folder, scenes that the mirror has are not read either.
    shutil.copytree(workspace.mirror, workspace.path / "old", ignore=shutil.ignore_patterns(".sedas-sync"))
    opened.clear()
    assert workspace.run("adopt", "--from", "old", "--json").json["summary"]["held"] == 20
    assert [args for args in opened if ".sedas-sync" not in args[1]] == []


def test_a_file_is_removed_from_the_other_folder_once_the_index_has_it(workspace, zips, monkeypatch):
    for number, (scene, data) in enumerate(list(zips.items())[:4]):
        put(workspace.path / "old" / f"{scene}.zip", data) if number % 2 else unzip(data, workspace.path / "old")
    remove, recorded = Placer.remove_moved, []

    def spy(self, path, found):
        with sqlite3.connect(workspace.mirror / ".sedas-sync" / "index.db") as index:
            recorded.append(index.execute("SELECT count(*) FROM files WHERE id = ?", (found.id,)).fetchone())
        return remove(self, path, found)

    monkeypatch.setattr(Placer, "remove_moved", spy)
    assert workspace.run("adopt", "--from", "old", "--move").code == 0
    assert recorded == 4 * [(1,)]


def test_files_of_a_folder_are_verified_as_they_were_proved(workspace, zips):
    unzip(zips[S2], workspace.mirror)
    assert workspace.run("adopt").code == 0
    ran = workspace.run("verify")
    assert ran.code == 0
    assert re.search(r"\d+ OK \(\d+ by digest\)", ran.out + ran.err), ran.out + ran.err


def band(folder):
    return next(folder.rglob("*_B03.jp2"))


def link_outside(file):
    file.symlink_to(file.rename(file.parents[5] / "band.jp2"))


def change(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "result", "problem"),
    [
        (lambda folder: change(band(folder)), "wrong", "_B03.jp2 has another checksum than manifest.safe states"),
        (lambda folder: band(folder).write_bytes(b"cut"), "wrong", "_B03.jp2 has 3 bytes, and "),
        (lambda folder: (folder / "manifest.safe").write_bytes(b"<a/>"), "wrong", "manifest.safe: it lists no file"),
        (lambda folder: (folder / "manifest.safe").write_bytes(UNKNOWN), "wrong", "manifest.safe: it is not XML"),
        (lambda folder: (folder / "manifest.safe").unlink(), "incomplete", "the list of its files, is missing"),
        (lambda folder: band(folder).unlink(), "incomplete", "1 of 19 files are missing, e.g. GRANULE"),
        (lambda folder: shutil.rmtree(folder / "GRANULE"), "incomplete", "15 of 19 files are missing, e.g. GRANULE"),
        (lambda folder: link_outside(band(folder)), "wrong", "_B03.jp2"),
    ],
)
def test_folders_that_are_not_the_scene(workspace, zips, spoil, result, problem):
    folder = unzip(zips[S2], workspace.mirror)
    spoil(folder)
    before = tree(workspace.mirror)
    ran = workspace.run("adopt", "--json")
    (file,) = ran.json["files"]
    assert (ran.code, file["result"], file["file"]) == (1, result, f"{S2}.SAFE")
    assert problem in file["detail"]
    assert tree(workspace.mirror) == before
    shown = workspace.run("adopt").err.splitlines()[-1]
    assert shown.startswith(f"{result:<10} {S2}.SAFE  (")


def test_a_folder_is_compared_with_the_id_in_its_name(workspace, zips):
    of_radar = next(scene for scene in zips if scene.startswith("S1"))
    other = next(scene for scene in zips if scene.startswith("S2") and scene[11:19] != S2[11:19])
    unzip(zips[other], workspace.mirror, name=f"{S2}.SAFE")
    unzip(zips[S2], workspace.mirror, name=f"{of_radar}.SAFE")
    ran = workspace.run("adopt", "--json")
    assert {file["result"] for file in ran.json["files"]} == {"wrong"}
    assert all("it is another product: it was acquired at" in file["detail"] for file in ran.json["files"])


def with_metadata(folder, change):
    """Change the metadata of a Sentinel-2 product, and its list to match."""
    file, listing = folder / "MTD_MSIL1C.xml", folder / "manifest.safe"
    before, after = file.read_bytes(), change(file.read_bytes())
    file.write_bytes(after)
    text = listing.read_text().replace(hashlib.md5(before).hexdigest(), hashlib.md5(after).hexdigest())
    listing.write_text(re.sub(rf'size="{len(before)}"(?=><fileLocation [^>]*/MTD_MSI)', f'size="{len(after)}"', text))


def test_a_folder_of_another_product_of_the_same_time_is_not_the_scene(workspace, zips):
    (radar, *_) = (scene for scene in zips if scene.startswith("S1"))
    adopted = "its own name in its metadata"
    later = f"{S2[:-1]}{(int(S2[-1]) + 1) % 10}"
    cases = {
        "of level L2A": (S2, lambda folder: rename_all(folder, "MTD_MSIL1C", "MTD_MSIL2A")),
        later: (S2, lambda folder: with_metadata(folder, lambda data: data + uri(later))),
        adopted: (S2, lambda folder: with_metadata(folder, lambda data: data + uri(S2))),
        f"{radar[:3]}_EW_": (radar, lambda folder: rename_all(folder, f"{radar[:3].lower()}-iw", "s1x-ew", radar)),
        "_ABCDEF": (radar, lambda folder: rename_all(folder, f"-{radar[56:62].lower()}-", "-abcdef-")),
    }
    for number, (said, (scene, spoil)) in enumerate(cases.items()):
        spoil(unzip(zips[scene], workspace.path / str(number)))
        (file,) = workspace.run("adopt", "--json", "--from", str(number)).json["files"]
        if said == adopted:
            assert file["result"] == "adopted", file
            shutil.rmtree(workspace.mirror)
        else:
            assert file["result"] == "wrong", file
            assert "it is another product: " in file["detail"]
            assert said in file["detail"]


def uri(name):
    return f"<!-- --><PRODUCT_URI>{name}.SAFE</PRODUCT_URI>".encode()


def rename_all(folder, old, new, scene=""):
    """Rename the files of a product whose names have a part, and in its list too."""
    new = new.replace("s1x", scene[:3].lower())
    for file in list(folder.rglob("*")):
        if old in file.name:
            file.rename(file.with_name(file.name.replace(old, new)))
    listing = folder / "manifest.safe"
    listing.write_text(listing.read_text().replace(old, new))


@pytest.mark.parametrize("make", [os.mkfifo, lambda file: file.symlink_to("/dev/null")])
def test_a_list_that_is_no_file_is_not_read(workspace, zips, make):
    folder = unzip(zips[S2], workspace.mirror, without=("manifest.safe",))
    make(folder / "manifest.safe")
    (file,) = workspace.run("adopt", "--json").json["files"]
    assert (file["result"], file["detail"]) == ("wrong", "manifest.safe is a link or a special file, which is not read")


def test_a_list_without_checksums_proves_the_structure(workspace, zips):
    folder = unzip(zips[S2], workspace.mirror)
    listing = (folder / "manifest.safe").read_text()
    (folder / "manifest.safe").write_text(re.sub("<checksum.*?</checksum>", "", listing))
    put(folder / "INSPIRE.xml", b"written anew")
    ran = workspace.run("adopt", "--json")
    (file,) = ran.json["files"]
    assert (file["result"], file["level"]) == ("wrong", None), "a listed file has another size"
    (folder / "INSPIRE.xml").unlink()
    unzip(zips[S2], workspace.mirror, without=("manifest.safe",))
    (file,) = workspace.run("adopt", "--json").json["files"]
    assert (file["result"], file["level"]) == ("adopted", "structure")


def test_a_working_folder_named_after_a_scene_is_no_failure(workspace, zips):
    put(workspace.mirror / f"{S2}_ndvi" / "ndvi.tif", b"my result")
    put(workspace.mirror / S2 / f"{S2}.zip", zips[S2])
    put(workspace.mirror / S2 / "notes.txt", b"mine")
    ran = workspace.run("adopt", "--json")
    assert ran.code == 0
    files = by_file(ran)
    assert files[f"{S2}/{S2}.zip"]["result"] == "adopted"
    assert files[f"{S2}/notes.txt"]["result"] == "unwanted"
    assert files[f"{S2}_ndvi"]["result"] == "unwanted"
    assert "cannot be checked" in files[f"{S2}_ndvi"]["detail"]


def test_of_a_zip_and_its_folder_one_is_taken(workspace, zips):
    put(workspace.mirror / f"{S2}.zip", zips[S2])
    unzip(zips[S2], workspace.mirror)
    ran = workspace.run("adopt", "--json")
    assert {name: file["result"] for name, file in by_file(ran).items()} == {
        f"{S2}.zip": "adopted",
        f"{S2}.SAFE": "held",
    }


def test_a_product_is_not_the_folder_to_adopt_from(workspace, zips):
    folder = unzip(zips[S2], workspace.path / "old")
    ran = workspace.run("adopt", "--from", folder)
    assert ran.code == 2
    assert "this folder is a product itself" in ran.err


def test_a_folder_in_the_way_stays(workspace, zips):
    put(workspace.mirror / f"{S2}.SAFE" / "notes.txt", b"mine")
    unzip(zips[S2], workspace.path / "old")
    ran = workspace.run("adopt", "--from", "old", "--json")
    assert (ran.code, ran.json["files"][0]["result"]) == (1, "failed")
    assert "something else stands at" in ran.json["files"][0]["detail"]
    inner = unzip(zips[S2], workspace.mirror / f"{S2}.SAFE")
    before = tree(workspace.mirror)
    ran = workspace.run("adopt", "--json")
    assert {file["result"] for file in ran.json["files"]} == {"failed", "unwanted"}
    assert tree(workspace.mirror) == before
    assert inner.is_dir()


def test_scenes_that_match_no_dataset_are_adopted_as_folders_too(workspace, zips):
    workspace.write(PERIOD.replace('sensor = "all"', 'sensor = "sar"'))
    unzip(zips[S2], workspace.mirror / "optical")
    assert workspace.run("adopt", "--json").json["files"][0]["result"] == "unwanted"
    (file,) = workspace.run("adopt", "--all", "--json").json["files"]
    assert (file["result"], file["path"]) == ("adopted", f"optical/{S2}.SAFE")


@pytest.mark.parametrize("unpack", [True, False])
def test_folders_without_an_index_are_not_downloaded_again(workspace, sandbox, zips, unpack):
    """As files without one: what is at a scene's path is checked, whatever the mirror's form is."""
    workspace.write(
        PERIOD.replace("2019-04-01", "2019-05-07").replace("2019-07-31", "2019-05-07").replace('"all"', '"optical"'),
        mirror=f"unpack = {str(unpack).lower()}\n",
    )
    folder = unzip(zips[S2], workspace.mirror)
    put(folder / "mine.txt", b"my notes")
    before = tree(workspace.mirror)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["fetched"]) == (0, 1, 0), ran.err
    assert (tree(workspace.mirror), sandbox.downloads) == (before, 0)
    assert workspace.run("plan", "--json").json["summary"]["keep"] == 1


def test_of_a_zip_and_its_folder_the_form_of_the_mirror_is_taken(workspace, zips):
    workspace.write(PERIOD, mirror="unpack = true\n")
    put(workspace.mirror / f"{S2}.zip", zips[S2])
    unzip(zips[S2], workspace.mirror)
    results = {name: file["result"] for name, file in by_file(workspace.run("adopt", "--json")).items()}
    assert results == {f"{S2}.zip": "held", f"{S2}.SAFE": "adopted"}


def test_a_product_inside_another_is_moved_before_it(workspace, zips):
    (outer, data), (inner, more) = list(zips.items())[:2]
    folder = unzip(data, workspace.mirror / "old")
    unzip(more, folder / "mine")
    put(folder / "mine" / "notes.txt", b"mine")
    ran = workspace.run("adopt", "--json")
    assert ran.code == 0, ran.err
    assert {file["path"] for file in ran.json["files"]} == {f"{outer}.SAFE", f"{inner}.SAFE"}
    assert (workspace.mirror / f"{outer}.SAFE" / "mine" / "notes.txt").read_bytes() == b"mine"
    assert not (workspace.mirror / "old").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("options", [("--from", "old", "--move"), ("--from", "old", "--copy"), ()], ids=" ".join)
def test_kills_lose_no_file(workspace, zips, options):
    seed = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1 << 30)
    print(f"KILL_SEED={seed}")
    chance = random.Random(seed)
    (zipped, data), (scene, more) = list(zips.items())[:2]
    start, last = workspace.path / "start", 60
    put(start / f"{zipped} (1).zip", data)
    put(unzip(more, start, name=f"{scene}.SAFE/{scene}.SAFE") / "mine.txt", b"mine")
    product = {name.split("/", 2)[2]: content for name, content in tree(start).items() if name.startswith(scene)}
    for _ in range(effort(1, 20)):
        for folder in (workspace.mirror, workspace.path / "old"):
            shutil.rmtree(folder, ignore_errors=True)
        place = workspace.path / "old" if options else workspace.mirror
        shutil.copytree(start, place)
        moment = chance.randint(1, last)
        if not killed(workspace, moment, "adopt", *options):
            last = min(last, moment)
        note = f"moment {moment}, seed {seed}"
        left = [*tree(workspace.path / "old").items(), *tree(workspace.mirror).items()]
        assert data in [content for _, content in left], note
        for name, content in product.items():
            assert any(path.endswith(name) and content == found for path, found in left), (name, note)
        ran = workspace.run("adopt", *options, "--json")
        assert ran.code == 0, (note, ran.err, ran.out)
        on_disk = tree(workspace.mirror)
        assert on_disk.pop(f"{zipped}.zip") == data, note
        own = {name.partition("/")[2]: content for name, content in on_disk.items()}
        assert {name: own[name] for name in product if name != "mine.txt"}.items() <= product.items(), note
        assert workspace.run("plan", "--json").json["summary"]["keep"] == 2, note
        assert workspace.run("verify").code == 0, note
