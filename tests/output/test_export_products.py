"""STAC catalogues of Sentinel products: what is in them, whether other tools read it, and catalogues with the files."""

import json
import os
import shutil
import zipfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pystac
import pytest
from products import fill_from_sandbox
from sandbox_bands import pixels
from stac_schemas import quick_problems, schema_map
from static_server import StaticServer
from workspaces import HARWELL, OPTICAL, Workspace

import sedas_sync as ss
from sedas_sync.errors import SedasSyncError
from sedas_sync.model.local import LocalFile, LocalScene, ProofLevel
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.scene import Scene
from sedas_sync.output.export import catalogue
from sedas_sync.output.export import stac as as_stac
from sedas_sync.output.export.inventory import ExportEntry
from sedas_sync.output.export.product_assets import Grid, assets_of_product, grids_of
from sedas_sync.output.export.texts import listed, providers_of
from sedas_sync.sandbox.bands import BANDS, stage_of

# Libraries of the readers; none of them is ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:odc"),
]
SQUARE = "POLYGON((0 0,0 1,1 1,0 0))"
COPERNICUS = "https://www.copernicus.eu/"
DATASETS = OPTICAL + '[dataset.radar]\naoi = "harwell"\nstart = 2019-04-30\nend = 2019-05-05\nsensor = "sar"\n'


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A mirror of zipped scenes, made once; its archive is gone."""
    folder = tmp_path_factory.mktemp("template")
    fill_from_sandbox(folder, DATASETS)
    return folder


@pytest.fixture
def applied(template, tmp_path):
    """A copy of it."""
    shutil.copytree(template, tmp_path / "work")
    return Workspace(tmp_path / "work", "")


def items_of(folder):
    found = pystac.Catalog.from_file(str(folder / "catalog.json")).get_items(recursive=True)
    return {item.id: item for item in found}


def entry(name, **facts):
    scene = Scene(id=name, start=datetime(2019, 5, 1, tzinfo=UTC), **facts)
    held = LocalScene(
        id=name,
        path=f"{name}.zip",
        size=1,
        mtime_ns=0,
        sha256=None,
        level=ProofLevel.CRC,
        archive="",
        facts=metadata_of(scene),
    )
    return ExportEntry(local=held, datasets=("d",))


def unpacked(applied, folder):
    """Unpack the optical scenes, and write a catalogue of the folders."""
    entries = []
    for product in sorted(applied.mirror.glob("S2*.zip")):
        with zipfile.ZipFile(product) as archive:
            archive.extractall(folder)
            top = f"{product.stem}.SAFE"
            members = tuple(
                LocalFile(
                    name=entry.filename.removeprefix(f"{top}/"),
                    size=entry.file_size,
                    mtime_ns=0,
                    sha256=None,
                    level=ProofLevel.CRC,
                )
                for entry in archive.infolist()
            )
        start = datetime.strptime(product.stem[11:26], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        facts = metadata_of(Scene(id=product.stem, start=start, satellite="Sentinel-2A"))
        held = LocalScene(
            id=product.stem,
            path=top,
            size=1,
            mtime_ns=0,
            sha256=None,
            level=ProofLevel.CRC,
            archive="",
            facts=facts,
            members=members,
        )
        entries.append(ExportEntry(local=held, datasets=("d",)))
    place = folder.parent / "of-folders"
    place.mkdir()
    to_mirror = os.path.relpath(folder, place)
    groups = as_stac.groups_of(entries, {"d": None})
    as_stac.write(place, groups, name="m", root=str(folder), to_mirror=to_mirror, marks={catalogue.MARK: "x"})
    return place


# -- items -----------------------------------------------------------------------------------------------------------


def test_a_zipped_product_has_an_asset_for_each_band_and_a_thumbnail(applied):
    assert applied.run("export", "--format", "stac").code == 0
    for item in items_of(applied.path / "stac").values():
        optical = item.id.startswith("S2")
        bands = {*BANDS} if optical else {"vv", "vh"} if "GRD" in item.id else {"iw1-vv", "iw2-vh", "iw3-vv"}
        assert bands <= {*item.assets}
        for key, asset in item.assets.items():
            if key == "thumbnail":
                assert Path(asset.get_absolute_href()).read_bytes()[:2] == b"\xff\xd8"
                assert asset.media_type == "image/jpeg"
            elif key != "product":
                inside = asset.extra_fields["alternate"]["vsizip"]
                there = os.path.normpath(Path(item.self_href).parent / inside["href"].removeprefix("/vsizip/"))
                product, _, name = there.partition(".zip/")
                assert f"{product}.zip" == os.path.normpath(asset.get_absolute_href())
                with zipfile.ZipFile(f"{product}.zip") as archive:
                    assert archive.getinfo(name).file_size == inside["file:size"]
        if optical:
            red = item.assets["B04"]
            assert red.extra_fields["bands"][0]["eo:common_name"] == "red"
            assert red.extra_fields["proj:shape"] == [40, 40]
            assert red.extra_fields["proj:transform"] == [2745, 0, 600000, 0, -2745, 5800020]
            baseline = int(item.properties["processing:version"].replace(".", ""))
            assert red.extra_fields["raster:offset"] == (-0.1 if baseline >= 400 else 0)


def test_a_folder_has_an_asset_for_each_file(applied, tmp_path):
    place = unpacked(applied, tmp_path / "scenes")
    assert quick_problems(place) == []
    items = items_of(place)
    assert items
    for item in items.values():
        files = {Path(asset.get_absolute_href()).resolve() for asset in item.assets.values()}
        assert files == {file for file in (tmp_path / "scenes" / f"{item.id}.SAFE").rglob("*") if file.is_file()}
        assert item.assets["thumbnail"].roles == ["thumbnail"]
        assert item.assets["B8A"].media_type == "image/jp2"
        assert item.assets["B8A"].extra_fields["proj:shape"] == [20, 20]
        assert {item.assets[key].title for key in ("safe_manifest", "product_metadata", "granule_metadata")} == {
            "manifest.safe",
            "MTD_MSIL1C.xml",
            "MTD_TL.xml",
        }
        assert item.assets["INSPIRE.xml"].roles == ["metadata"]
        assert not any("alternate" in asset.extra_fields for asset in item.assets.values())


def test_assets_of_real_names():
    """Names as in products of ESA, of several kinds and ages."""
    level_2 = "S2A_MSIL2A_20220217T183431_N0510_R027_T13VEK_20240516T022440.SAFE/GRANULE/L2A_T13VEK_A034769/IMG_DATA"
    files = [
        f"{level_2}/R10m/T13VEK_20220217T183431_B04_10m.jp2",
        f"{level_2}/R20m/T13VEK_20220217T183431_B04_20m.jp2",
        f"{level_2}/R20m/T13VEK_20220217T183431_SCL_20m.jp2",
        f"{level_2}/R60m/T13VEK_20220217T183431_WVP_60m.jp2",
        "GRANULE/L1C_T30UXC/QI_DATA/MSK_CLASSI_B00.jp2",
        "GRANULE/S2A_OPER_MSI_L1C_TL_A/IMG_DATA/S2A_OPER_MSI_L1C_TL_SGS__20150801T110000_A000000_T32TQM_B02.jp2",
        "GRANULE/S2A_OPER_MSI_L1C_TL_B/IMG_DATA/S2A_OPER_MSI_L1C_TL_SGS__20150801T110000_A000000_T32TQN_B02.jp2",
        "measurement/s1a-iw2-slc-vh-20240607t000654-20240607t000719-054210-0697da-002.tiff",
        "measurement/s1a-iw-grd-vv-20240607t000653-20240607t000718-054210-0697da-001-cog.tiff",
        "preview/quick-look.png",
    ]
    found = {
        asset.file: asset for asset in assets_of_product(dict.fromkeys(files, 1000), baseline=510, grids={20: GRID})
    }
    assert [found[file].key for file in files] == [
        *("B04_10m", "B04_20m", "SCL_20m", "WVP_60m", files[4], "B02", files[6], "iw2-vh", "vv", "thumbnail")
    ]
    assert not found[files[4]].known, "a mask is no band"
    assert found[files[1]].fields["proj:transform"] == [*GRID.transform]
    assert found[files[1]].fields["raster:offset"] == -0.1
    assert "proj:shape" not in found[files[0]].fields, "its grid is not known"
    assert found[files[2]].fields["data_type"] == "uint8"
    assert found[files[7]].fields["data_type"] == "cint16"
    assert found[files[9]].fields["type"] == "image/png"


GRID = Grid("EPSG:32613", (5490, 5490), (20, 0, 499980, 0, -20, 6300000))
METADATA = b"""<?xml version="1.0"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
<n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief">
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 13N</HORIZONTAL_CS_NAME><HORIZONTAL_CS_CODE>EPSG:32613</HORIZONTAL_CS_CODE>
<Size resolution="20"><NROWS>5490</NROWS><NCOLS>5490</NCOLS></Size>
<Geoposition resolution="20"><ULX>499980</ULX><ULY>6300000</ULY><XDIM>20</XDIM><YDIM>-20</YDIM></Geoposition>
</Tile_Geocoding><Tile_Angles"""


def test_the_grids_are_read_from_the_beginning_of_the_metadata():
    assert grids_of(METADATA) == {20: GRID}
    assert grids_of(METADATA.replace(b"EPSG:32613", b"local")) == {}
    assert grids_of(METADATA.replace(b"5490", b"many")) == {}
    assert grids_of(b"not xml") == grids_of(b"") == {}


def test_a_damaged_product_is_described_without_its_content(applied):
    product = next(applied.mirror.glob("S2*.zip"))
    content = product.read_bytes()
    product.write_bytes(b"x" * len(content))
    assert applied.run("export", "--format", "stac").code == 0
    assert [*items_of(applied.path / "stac")[product.stem].assets] == ["product"]


def test_texts_that_no_unicode_can_have_become_question_marks(tmp_path):
    groups = as_stac.groups_of([entry("A", satellite="S\ud800", instrument="\udfff", footprint=SQUARE)], {"d": None})
    as_stac.write(tmp_path, groups, name="m", root=str(tmp_path), to_mirror="x", marks={catalogue.MARK: "x"})
    assert items_of(tmp_path)["A"].properties["keywords"] == ["S?", "?"]
    parquet = tmp_path / "items.parquet"
    assert as_stac.write_geoparquet(parquet, groups, root=str(tmp_path), to_mirror="x") == []
    assert parquet.read_bytes()[:4] == b"PAR1"


def test_geoparquet_has_the_scenes_with_a_footprint(tmp_path):
    """Orbit files have none."""
    groups = as_stac.groups_of([entry("A", footprint=SQUARE), entry("ORBIT.EOF")], {"d": None})
    parquet = tmp_path / "items.parquet"
    (left_out,) = as_stac.write_geoparquet(parquet, groups, root=str(tmp_path), to_mirror="x")
    assert left_out.id == "ORBIT.EOF"
    rustac = pytest.importorskip("rustac")
    (item,) = rustac.read_sync(str(parquet), format="geoparquet", set_self_link=False)["features"]
    assert item["id"] == "A"
    with pytest.raises(SedasSyncError, match="no scene with a footprint"):
        as_stac.write_geoparquet(parquet, as_stac.groups_of([], {"d": None}), root=str(tmp_path), to_mirror="x")


def test_texts_are_for_people(applied):
    assert applied.run("export", "--format", "stac").code == 0
    catalog = pystac.Catalog.from_file(str(applied.path / "stac" / "catalog.json"))
    assert catalog.title == "Satellite scenes of harwell"
    assert "12 satellite scenes: Sentinel-1 GRD, Sentinel-1 SLC and Sentinel-2 L1C" in catalog.description
    optical = catalog.get_child("optical")
    assert optical.title == "optical: Sentinel-2 L1C of harwell"
    assert optical.description.startswith(
        "4 scenes over harwell: Sentinel-2 L1C. Acquired from 30 April 2019 to 12 May "
    )
    assert {"Sentinel-2", "MSI", "L1C", "30UXC"} <= {*optical.keywords}
    item = next(optical.get_items())
    assert item.properties["title"].startswith("Sentinel-2A L1C, tile 30UXC, 12 May 2019, 11:06 UTC, version 02.07")
    assert [link.title for link in optical.get_links("item")] == [
        one.properties["title"] for one in optical.get_items()
    ]
    assert item.properties["providers"][0]["roles"] == ["producer", "licensor"]
    radar = next(catalog.get_child("radar").get_items())
    assert radar.properties["title"].startswith(("Sentinel-1A GRD, ", "Sentinel-1A SLC, "))
    assert "orbit" in radar.properties["title"]


def test_lists_are_written_as_people_do():
    assert [listed(list("abcde")[:number]) for number in range(6)] == [
        *("", "a", "a and b", "a, b and c", "a, b, c and 1 more", "a, b, c and 2 more")
    ]


@pytest.mark.parametrize(
    ("archive", "host"),
    [
        ("sedas https://geobrowser.satapps.org/api/", {"name": "SeDAS", "url": "https://geobrowser.satapps.org/"}),
        ("stac https://user:secret@example.org/v1/", {"name": "example.org", "url": "https://example.org/"}),
        ("sedas http://127.0.0.1:8080/api/", None),
        ("directory /data/sentinel", None),
        ("mine https://[", None),
        ("sandbox", None),
    ],
)
def test_providers_name_the_archive_without_secrets_and_local_addresses(archive, host):
    made = {"name": "European Union / ESA / Copernicus", "roles": ["producer", "licensor"], "url": COPERNICUS}
    expected = [made, {**host, "roles": ["host"]}] if host else [made]
    found = providers_of(Scene(id="A", satellite="Sentinel-1A"), archive)
    assert [dict(sorted(one.items())) for one in found] == [dict(sorted(one.items())) for one in expected]
    assert providers_of(Scene(id="A", satellite="NovaSAR-1"), "sandbox") == []


def test_stac_check_has_nothing_else_to_say(applied, tmp_path, monkeypatch):
    """Two of its advices are not followed: see the page on exports."""
    lint = pytest.importorskip("stac_check.lint", reason="installed by make .venv/.geo")
    assert applied.run("export", "--format", "stac").code == 0
    (tmp_path / "schemas").mkdir()
    schemas = schema_map(tmp_path / "schemas")
    # The real validator, with schemas of this machine.
    monkeypatch.setattr(lint, "StacValidate", partial(lint.StacValidate, schema_map=schemas))
    found = set()
    place = applied.path / "stac"
    items = sorted(place.glob("*/items/*.json"))
    for document in (place / "catalog.json", *place.glob("*/collection.json"), items[0], items[-1]):
        report = lint.Linter(str(document))
        assert report.valid_stac, (document, report.error_msg)
        assert not [line for line in report.geometry_errors_msg[1:] if line]
        found |= {line.replace(document.stem, "ID") for line in report.best_practices_msg[1:] if line}
    assert found == {
        "A link to 'self' in links is strongly recommended",
        "Item name 'ID' should only contain Searchable identifiers",
        "Identifiers should consist of only lowercase characters, numbers, '_', and '-'",
    }


# -- pixels ----------------------------------------------------------------------------------------------------------


def test_gdal_reads_bands_inside_a_zip(applied):
    rasterio = pytest.importorskip("rasterio", reason="installed by make .venv/.geo")
    assert applied.run("export", "--format", "stac").code == 0
    item = next(item for item in items_of(applied.path / "stac").values() if item.id.startswith("S2"))
    for key, shape in (("B02", (40, 40)), ("B12", (20, 20)), ("B09", (10, 10))):
        inside = item.assets[key].extra_fields["alternate"]["vsizip"]["href"].removeprefix("/vsizip/")
        with rasterio.open(f"/vsizip/{(Path(item.self_href).parent / inside).resolve()}") as band:
            assert np.array_equal(band.read(1), pixels(key, 0))
            assert (band.shape, band.crs.to_epsg()) == (shape, 32630)
            assert [*band.transform[:6]] == item.assets[key].extra_fields["proj:transform"]


def test_odc_stac_loads_the_pixels_that_were_written(applied, tmp_path):
    odc = pytest.importorskip("odc.stac", reason="installed by make .venv/.geo")
    loaded = odc.load(items_of(unpacked(applied, tmp_path / "scenes")).values(), bands=["B04", "B08", "B11"])
    assert loaded.odc.geobox.crs.epsg == 32630
    assert (loaded.odc.geobox.shape, loaded.odc.geobox.affine[:6]) == ((40, 40), (2745, 0, 600000, 0, -2745, 5800020))
    assert loaded.sizes["time"] == 3, "two of the four scenes are one acquisition"
    for number, month in enumerate(loaded.time.dt.month.values):
        # Of two products of one acquisition, the first is loaded: the one of the older baseline.
        for band in ("B04", "B08"):
            assert np.array_equal(loaded[band].values[number], pixels(band, stage_of(month)))
        # Of 20 m: each pixel is repeated.
        assert np.array_equal(loaded["B11"].values[number][::2, ::2], pixels("B11", 0))


def test_reflectance_is_the_same_with_and_without_an_offset(applied, tmp_path):
    odc = pytest.importorskip("odc.stac", reason="installed by make .venv/.geo")
    twins = [item for item in items_of(unpacked(applied, tmp_path / "scenes")).values() if "20190430" in item.id[:20]]
    found = []
    for item in twins:
        about = item.assets["B08"].extra_fields
        found.append(odc.load([item], bands=["B08"])["B08"].values[0] * about["raster:scale"] + about["raster:offset"])
    assert {item.assets["B08"].extra_fields["raster:offset"] for item in twins} == {0, -0.1}
    assert np.allclose(*found)


# -- self-contained catalogues ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("links", ["hard", "symbolic"])
def test_a_self_contained_catalogue_has_its_files_below_its_root(applied, tmp_path, links):
    place = applied.path / "published"
    ran = applied.run("export", "--format", "stac", "--self-contained", "--links", links, "--out", place)
    assert ran.code == 0, ran.err
    assert quick_problems(place) == []
    for item in items_of(place).values():
        for asset in item.assets.values():
            assert Path(os.path.normpath(asset.get_absolute_href())).is_relative_to(place)
    files = [file for file in (place / "files").rglob("*") if not file.is_dir()]
    assert {file.name for file in files} == {file.name for file in applied.mirror.glob("*.zip")}
    for file in files:
        assert file.samefile(applied.mirror / file.name)
        assert file.is_symlink() == (links == "symbolic")
        assert links == "hard" or not file.readlink().is_absolute()
    if links == "hard":
        place = place.rename(tmp_path / "moved")
    else:
        applied = Workspace(applied.path.rename(tmp_path / "moved"), "")
        place = applied.path / "published"
    for item in items_of(place).values():
        assert Path(item.assets["product"].get_absolute_href()).is_file()


def test_a_self_contained_catalogue_on_a_web_server_can_be_mirrored(applied, tmp_path):
    place = applied.path / "published"
    assert applied.run("export", "--format", "stac", "--self-contained", "--out", place).code == 0
    files = {f"/{file.relative_to(place)}": file.read_bytes() for file in place.rglob("*") if file.is_file()}
    with StaticServer(files) as server:
        root = pystac.Catalog.from_file(f"{server.url}/catalog.json", stac_io=pystac.StacIO.default())
        hrefs = [asset.get_absolute_href() for item in root.get_items(recursive=True) for asset in item.assets.values()]
        assert {urlsplit(href).path for href in hrefs} <= {*files}
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "manifest.toml").write_text(
            f'version = 1\n[archive]\ntype = "stac"\nurl = "{server.url}/catalog.json"\n'
            'collections = ["optical", "radar"]\n'
            f'[aoi.harwell]\nwkt = "{HARWELL}"\n[dataset.all]\naoi = "harwell"\nstart = 2019-04-30\nend = 2019-05-12\n'
        )
        mirrored = Workspace(copy, "").run("apply", "--json")
    assert (mirrored.code, mirrored.summary["fetched"]) == (0, 12), mirrored.err
    copies = {file.name: file.read_bytes() for file in copy.glob("scenes/S*/*.zip")}
    assert copies == applied.files(), "of each item only the product is taken"


def test_a_self_contained_catalogue_is_replaced_and_stays_what_it_is(applied):
    place = applied.path / "stac"
    assert applied.run("export", "--format", "stac", "--self-contained").code == 0
    with ss.Mirror(ss.load_manifest(applied.path / "manifest.toml")) as mirror:
        assert not mirror.export("stac", unless_fresh=True).written
        gone = next(applied.mirror.glob("S2*.zip"))
        gone.unlink()
        mirror.export("stac", unless_fresh=True)
    assert catalogue.links_of(place) == "hard"
    assert not (place / "files" / gone.name).exists()
    assert len(list((place / "files").iterdir())) == 11
    assert applied.run("export", "--format", "stac").code == 0
    assert catalogue.links_of(place) == "hard"
    assert sorted(entry.name for entry in place.iterdir()) == ["catalog.json", "files", "optical", "radar"]
    assert len(list((place / "files").iterdir())) == 11
    assert sorted(entry.name for entry in applied.path.iterdir()) == ["manifest.toml", "scenes", "stac"]
    assert len(list(applied.mirror.glob("*.zip"))) == 11, "a link that goes takes no scene with it"


def test_other_files_among_the_links_are_never_removed(applied):
    place = applied.path / "stac"
    assert applied.run("export", "--format", "stac", "--self-contained").code == 0
    (place / "files" / "notes.txt").write_text("mine")
    refused = applied.run("export", "--format", "stac", "--self-contained")
    assert refused.code == 2
    assert "files/notes.txt" in refused.err
    assert (place / "files" / "notes.txt").read_text() == "mine"


def test_the_next_export_removes_the_links_that_a_kill_has_left(applied):
    left = applied.path / ".stac.sedas-sync-stac-abc"
    (left / "files").mkdir(parents=True)
    (left / "optical" / "items").mkdir(parents=True)
    for product in applied.mirror.glob("*.zip"):
        (left / "files" / product.name).hardlink_to(product)
    (left / "optical" / "items" / "A.jpg").write_bytes(b"x")
    (left / "files" / "notes.txt").write_text("mine")
    assert applied.run("export", "--format", "stac").code == 0
    assert [str(file.relative_to(left)) for file in left.rglob("*") if file.is_file()] == ["files/notes.txt"]


def test_a_self_contained_catalogue_is_not_in_the_mirror(applied):
    refused = applied.run("export", "--format", "stac", "--self-contained", "--out", applied.mirror / "stac")
    assert refused.code == 2
    assert "is in the mirror" in refused.err
    assert not (applied.mirror / "stac").exists()


def test_hard_links_need_the_file_system_of_the_mirror(applied, other_disk):
    place = other_disk / "catalogue"
    refused = applied.run("export", "--format", "stac", "--self-contained", "--out", place)
    assert refused.code == 1
    assert "--links symbolic" in refused.err
    assert not place.exists()
    linked = applied.run("export", "--format", "stac", "--self-contained", "--links", "symbolic", "--out", place)
    assert linked.code == 0
    assert all(Path(item.assets["product"].get_absolute_href()).is_file() for item in items_of(place).values())


@pytest.mark.parametrize("options", [["--format", "csv", "--self-contained"], ["--format", "stac", "--links", "hard"]])
def test_options_that_do_not_go_together_are_refused(applied, options):
    assert applied.run("export", *options).code == 2


def test_a_dataset_may_be_called_like_the_folder_of_files(applied):
    manifest = applied.path / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("dataset.radar", "dataset.files"))
    assert applied.run("export", "--format", "stac", "--self-contained").code == 0
    root = json.loads((applied.path / "stac" / "catalog.json").read_text())
    assert [link["href"] for link in root["links"] if link["rel"] == "child"][1].startswith("./files~")
