"""Products of the Copernicus Data Space from its bucket: recorded rows, and an emulator that checks signatures."""

import hashlib
import signal
import threading
from urllib.parse import urlencode

import pytest
from bucket_server import KEY, NO_ACCOUNT, BucketServer, client, error
from cdse_mirror import mirror_of
from cdse_server import CdseServer, recorded_product
from recorded import recorded, recorded_json

FILES = {
    "MTD_MSIL1C.xml": b"<?xml version='1.0'?><metadata/>",
    "GRANULE/L1C/IMG_DATA/T_B02.jp2": b"\0\0\0\x0cjP  " + b"blue" * 400,
    "GRANULE/L1C/IMG_DATA/T_B03.jp2": b"\0\0\0\x0cjP  " + b"green" * 400,
    "GRANULE/L1C/QI_DATA/FORMAT.xml": b"<?xml version='1.0'?><report/>",
}
KEYS = {"CDSE_S3_ACCESS_KEY": KEY, "CDSE_S3_SECRET_KEY": KEY}


def listing(files, algorithm="MD5"):
    """A `manifest.safe` with the checksums of files."""
    name = algorithm.lower().replace("-", "_")
    entries = "".join(
        f'<dataObject><byteStream size="{len(data)}"><fileLocation href="./{path}"/>'
        f'<checksum checksumName="{algorithm}">{hashlib.new(name, data).hexdigest()}</checksum>'
        "</byteStream></dataObject>"
        for path, data in files.items()
    )
    return f'<?xml version="1.0"?><xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1">{entries}</xfdu:XFDU>'.encode()


def rows(pattern):
    pages = [recorded_json("cdse", page.name) for page in sorted(recorded("cdse").glob(pattern))]
    return [recorded_product(row) for page in pages for row in page["value"]]


@pytest.fixture
def s3():
    with BucketServer() as running:
        yield running


@pytest.fixture
def server():
    with CdseServer(rows("eodag_cop_dataspace_s2_l1c.json") + rows("cdsetool_s1_aux_page_1.json")) as running:
        yield running


def put(s3, product, files=None, algorithm="SHA3-256"):
    """Store a product as the bucket has it, with its list of checksums."""
    path = product.changes["S3Path"].removeprefix("/eodata/")
    if not path.endswith(".SAFE"):
        s3.put("eodata", path, product.bytes)
        return
    files = FILES if files is None else files
    for name, data in {**files, "manifest.safe": listing(files, algorithm)}.items():
        s3.put("eodata", f"{path}/{name}", data)


@pytest.fixture
def mirror(workspace, server, s3, monkeypatch):
    made = mirror_of(workspace, server, monkeypatch)
    made.workspace.env |= {**NO_ACCOUNT, **KEYS, "CDSE_PASSWORD": "", "CDSE_USERNAME": ""}
    for name, value in made.workspace.env.items():
        monkeypatch.setenv(name, value)
    s3.made = [one for one in server.products if one.collection == "SENTINEL-2"]
    for product in server.products:
        put(s3, product)
    s3.asked.clear()
    return made


def manifest(mirror, s3, archive="", dataset="", transfer="retries = 2\njobs = 1"):
    dataset = dataset or 'aoi = "a"\nstart = 2020-08-08\nend = 2020-08-08'
    mirror.write(archive=f'access = "s3"\ns3 = {{ endpoint = "{s3.url}" }}\n{archive}', transfer=transfer)
    file = mirror.workspace.path / "manifest.toml"
    text = file.read_text().partition("[aoi.harwell]")[0]
    file.write_text(f"{text}[aoi.a]\nbbox = [141, 12, 145, 15]\n[dataset.d]\n{dataset}\n")


def lists(s3):
    return [one for one in s3.asked if "list-type" in one.query]


def listing_also(s3, key):
    """Return a rule that adds an object to the lists of one folder."""

    def rule(request):
        if "list-type" not in request.query or not key.startswith(request.query["prefix"]):
            return None
        status, headers, body = s3.forward("GET", f"{request.path}?{urlencode(request.query)}", request.headers)
        entry = f"<Contents><Key>{key}</Key><Size>0</Size></Contents></ListBucketResult>"
        return status, headers, body.replace(b"</ListBucketResult>", entry.encode())

    return rule


def folder(mirror, product):
    return mirror.workspace.mirror / product.name


def names(place):
    return {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}


def test_products_from_plan_to_verify(mirror, server, s3):
    manifest(mirror, s3)
    planned = mirror.run("plan", "--json")
    assert planned.code == 0, planned.err
    assert (planned.json["summary"]["fetch"], len(planned.json["actions"])) == (2, 2)
    assert {action["path"] for action in planned.json["actions"]} == {one.name for one in s3.made}
    assert not s3.asked, "a plan lists nothing"
    reached, go_on = threading.Event(), threading.Event()

    def hold(request):
        if request.path.endswith("B03.jp2"):
            reached.set()
            go_on.wait(60)

    s3.rule = hold
    process = mirror.workspace.start("apply", "--json", XDG_RUNTIME_DIR="")
    assert reached.wait(60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    go_on.set()
    s3.rule = None
    s3.asked.clear()
    applied = mirror.run("apply", "--json")
    assert (applied.code, applied.summary["fetched"], applied.summary["warnings"]) == (0, 2, 0), applied.err
    assert len(lists(s3)) == 2
    for product in s3.made:
        place = folder(mirror, product)
        assert names(place) == {*FILES, "manifest.safe"}
        assert (place / "GRANULE/L1C/IMG_DATA/T_B02.jp2").read_bytes() == FILES["GRANULE/L1C/IMG_DATA/T_B02.jp2"]
    assert not server.requests("login"), "the bucket has keys of its own"
    s3.asked.clear()
    for command in ("apply", "lock", "lock --check", "plan --locked --exit-code", "apply --locked", "verify"):
        ran = mirror.run(*command.split())
        assert ran.code == 0, (command, ran.err)
    assert not s3.asked
    (folder(mirror, s3.made[0]) / "MTD_MSIL1C.xml").unlink()
    assert mirror.run("apply", "--locked").code == 0
    assert names(folder(mirror, s3.made[0])) == {*FILES, "manifest.safe"}
    assert [one.path.rpartition("/")[2] for one in s3.gets] == ["MTD_MSIL1C.xml"], "a lock file has the names"


def test_patterns_choose_the_files(mirror, s3):
    manifest(mirror, s3, 'files = ["*_B0[24].jp2", "MTD_*.xml"]')
    assert mirror.run("apply").code == 0
    place = folder(mirror, s3.made[0])
    assert names(place) == {"MTD_MSIL1C.xml", "GRANULE/L1C/IMG_DATA/T_B02.jp2"}
    s3.asked.clear()
    assert mirror.run("apply", "--json").summary["kept"] == 2
    assert not s3.asked
    manifest(mirror, s3, 'files = ["*_B0[24].jp2", "*_B03.jp2"]')
    again = mirror.run("apply", "--json")
    assert (again.code, again.summary["fetched"]) == (0, 2), again.err
    assert names(place) == {"GRANULE/L1C/IMG_DATA/T_B02.jp2", "GRANULE/L1C/IMG_DATA/T_B03.jp2"}
    assert not any(one.path.endswith("B02.jp2") for one in s3.gets)
    assert mirror.run("apply", "--json").summary["kept"] == 2
    manifest(mirror, s3, 'files = "*.tif"')
    none = mirror.run("apply")
    assert none.code == 1
    assert "files matches files = ['*.tif']; they are GRANULE" in none.err


@pytest.mark.parametrize("algorithm", ["MD5", "SHA3-256"])
def test_the_products_own_checksums_are_checked(mirror, server, s3, algorithm):
    manifest(mirror, s3, 'filehash = "enforce"')
    for product in s3.made:
        put(s3, product, algorithm=algorithm)
    path = s3.made[0].changes["S3Path"].removeprefix("/eodata/")
    s3.put("eodata", f"{path}/MTD_MSIL1C.xml", FILES["MTD_MSIL1C.xml"].replace(b"meta", b"data"))
    applied = mirror.run("apply", "--json")
    assert (applied.code, applied.summary["fetched"], applied.summary["failed"]) == (1, 1, 1)
    assert "MTD_MSIL1C.xml: the download is not the scene" in applied.out


def test_a_product_that_is_one_object(mirror, server, s3):
    manifest(mirror, s3, dataset='start = 2014-04-06\nend = 2014-04-14\nproduct_type = "AUX_INS"\nreprocessed = "all"')
    planned = mirror.run("plan", "--json").json
    applied = mirror.run("apply", "--json")
    assert applied.code == 0, applied.err
    files = mirror.all_files()
    assert len(files) == len(planned["actions"]) > 0
    assert all(name.endswith(".zip") for name in files)
    assert not lists(s3)
    assert mirror.run("verify").code == 0


def test_keys_that_are_missing_or_wrong(mirror, s3):
    manifest(mirror, s3)
    mirror.workspace.env |= {"CDSE_S3_ACCESS_KEY": "wrong-key-0123"}
    refused = mirror.run("apply")
    assert refused.code == 4
    assert "InvalidAccessKeyId" in refused.err
    assert "the bucket eodata refuses CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY" in refused.err
    assert "wrong-key-0123" not in refused.err
    mirror.workspace.env |= dict.fromkeys(KEYS, "")
    mirror.write(archive='access = "s3"')
    text = (mirror.workspace.path / "manifest.toml").read_text().partition("[aoi.harwell]")[0]
    (mirror.workspace.path / "manifest.toml").write_text(
        f'{text}[aoi.a]\nbbox = [141, 12, 145, 15]\n[dataset.d]\naoi = "a"\nstart = 2020-08-08\nend = 2020-08-08\n'
    )
    refused = mirror.run("apply")
    assert refused.code == 4
    assert "eodata.dataspace.copernicus.eu: set CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY" in refused.err


def test_a_folder_that_the_index_does_not_know_is_proved(mirror, s3):
    manifest(mirror, s3)
    assert mirror.run("apply").code == 0
    for file in (mirror.workspace.mirror / ".sedas-sync").glob("index*"):
        file.unlink()
    s3.asked.clear()
    again = mirror.run("apply", "--json")
    assert (again.code, again.summary["fetched"], again.summary["adopted"]) == (0, 0, 2), again.err
    assert not [one for one in s3.gets if not one.path.endswith("manifest.safe")]


def test_the_marker_of_a_folder_is_no_file(mirror, s3):
    manifest(mirror, s3)
    path = s3.made[0].changes["S3Path"].removeprefix("/eodata/")
    s3.rule = listing_also(s3, path)
    assert mirror.run("apply").code == 0
    assert names(folder(mirror, s3.made[0])) == {*FILES, "manifest.safe"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("granule/l1c/img_data/t_b02.JP2", "differ only in letter case"),
        ("GRANULE/L1C", "which is also the folder of"),
    ],
)
def test_files_that_cannot_be_on_disk_together(mirror, s3, name, problem):
    manifest(mirror, s3)
    path = s3.made[0].changes["S3Path"].removeprefix("/eodata/")
    s3.rule = listing_also(s3, f"{path}/{name}")
    applied = mirror.run("apply", "--json")
    assert (applied.code, applied.summary["fetched"], applied.summary["failed"]) == (1, 1, 1)
    assert problem in applied.out


def test_the_list_of_checksums_is_requested_again_after_a_refusal(mirror, s3):
    """As any other file. Here the server states another region twice."""
    manifest(mirror, s3)
    refusals, regions = [error(403, "SignatureDoesNotMatch")], ["eu-west-1"]

    def wrong_region(request):
        if request.method == "HEAD" and regions and not refusals:
            return 200, {"x-amz-bucket-region": regions.pop()}, b""
        if request.path.endswith("manifest.safe") and refusals:
            return refusals.pop()
        return None

    s3.rule = wrong_region
    applied = mirror.run("apply", "--json")
    assert (applied.code, applied.summary["fetched"]) == (0, 2), applied.err
    assert not refusals
    assert not regions


def test_keys_of_access_need_it(mirror, s3):
    mirror.write(archive='files = "*.xml"')
    ran = mirror.run("validate")
    assert ran.code == 2
    assert 'archive.files: has no effect: access is "https"' in ran.err


def test_a_lock_file_made_before_the_download(mirror, s3):
    manifest(mirror, s3)
    assert mirror.run("lock").code == 0
    applied = mirror.run("apply", "--locked")
    assert applied.code == 0, applied.err
    assert names(folder(mirror, s3.made[0])) == {*FILES, "manifest.safe"}
    assert mirror.run("plan", "--locked", "--exit-code").code == 0
    assert mirror.run("lock").code == 0
    assert mirror.run("plan", "--locked", "--exit-code").code == 0


def test_lists_of_many_pages(s3):
    """The emulator gives pages of a thousand keys."""
    from sedas_sync.archives.s3 import Buckets
    from sedas_sync.archives.s3_config import S3Config
    from sedas_sync.net import session

    s3.put("many", "a/0", b"0")
    store = client("s3")
    body = b"x"
    for number in range(1, 1003):
        store.put_object(Bucket="many", Key=f"a/{number}", Body=body)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**NO_ACCOUNT, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": KEY}.items():
            patch.setenv(name, value)
        found = list(Buckets(S3Config(endpoint=s3.url), session.Api(retries=0)).objects("s3://many/a/"))
    assert {one.key for one in found} == {f"a/{number}" for number in range(1003)}
    assert len(lists(s3)) == 2
