"""Check the folder of a product, which archives send as a zip, by the product's own list of its files."""

import re
from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.integrity import FileCheck
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.model.file_kind import folder_ending
from sedas_sync.model.files import folder_path, local_scene
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.product_listing import MAX_SIZE, NAMES, ProductListing, read_listing
from sedas_sync.model.results import Result
from sedas_sync.model.scene import DesiredScene
from sedas_sync.model.text import count, product_id
from sedas_sync.planning.product_name import described, tile_of

FOLDER_ENDINGS = (".SAFE", ".SEN3")
"""The usual ending of a product's folder, for each name of a list."""
_ENDINGS = dict(zip(NAMES, FOLDER_ENDINGS, strict=True))
_SECOND = timedelta(seconds=1)
_TILE = re.compile(r"(?:^|[_/])T(\d\d[A-Z]{3})_")
"""A tile in the name of a file of a Sentinel-2 product."""
_METADATA = re.compile(r"MTD_MSI(L\d[A-Z])\.xml")
"""The metadata of a Sentinel-2 product, with its level."""
_URI = re.compile(rb"<PRODUCT_URI>\s*([^<\s]+)\s*</PRODUCT_URI>")
"""The name of a Sentinel-2 product in its metadata."""
_RADAR = re.compile(r"(S1[A-D])_(\w\w)_(GRD|OCN|RAW|SLC)\w_\w{4}_\w{15}_\w{15}_\d{6}_([0-9A-F]{6})_")
_RADAR_FILE = re.compile(r"(S1[A-D])-(\w\w)\d?-(GRD|OCN|RAW|SLC)-[^/]+-\d{6}-([0-9A-F]{6})[-.][^/]*", re.IGNORECASE)
"""Mission, mode, type and data take of a Sentinel-1 product, in its name and in those of its files."""


class NotAScene(Exception):
    """Why a folder is not the scene.

    Args:
        problem: A sentence.
        result: What the folder is.
    """

    def __init__(self, problem: str, result: Result = Result.WRONG) -> None:
        super().__init__(problem)
        self.result = result


class ProductFolder(Struct, frozen=True):
    """The folder of a product that is right."""

    found: LocalScene
    """What the index has to store."""
    added: tuple[str, ...]
    """Files in it that are not the product's, sorted."""


def check_product(base: str, place: str, want: DesiredScene, checked: Callable[..., FileCheck]) -> ProductFolder:
    """Check whether a folder is a scene that archives send as a zip.

    Args:
        base: A folder.
        place: The path of the product's folder below it.
        want: The scene.
        checked: Checks one file, as `sedas_sync.files.integrity.check`.

    Raises:
        NotAScene: It is not the scene, or not complete; the message says why.
        OSError: A file cannot be read.
        TransferError: A folder of a path is a symbolic link.
    """
    there = {entry.path: entry for entry in tree_listing.scan(base, place)}
    name, listing = _listing(base, place, there)
    _compare_with_name(listing, want)
    _compare_with_metadata(base, place, listing, want)
    if missing := [file.name for file in listing.files if file.name not in there]:
        of = count(len(listing.files), "file")
        raise NotAScene(f"{len(missing)} of {of} are missing, e.g. {missing[0]}", Result.INCOMPLETE)
    files, own, level = [], {listed.name for listed in listing.files}, ProofLevel.DIGEST
    for listed in listing.files:
        result = checked(f"{place}/{listed.name}", size=listed.size, digest=listed.digest, filehash="enforce")
        if listed.size not in (None, result.size):
            raise NotAScene(f"{listed.name} has {result.size:,} bytes, and {listed.size:,} in {name}")
        if result.checksum_differs:
            raise NotAScene(f"{listed.name} has another checksum than {name} states")
        if result.problems:
            raise NotAScene(f"{listed.name}: {'; '.join(result.problems)}")
        reached = ProofLevel.STRUCTURE if listed.digest is None else result.level
        files.append(_local(there[listed.name], result, reached))
        level = max(level, reached, key=tuple(ProofLevel).index)
    # No checksum of these files exists, so that they prove nothing and disprove nothing.
    others = [there[name] for name in there.keys() - own if there[name].is_file and listing.may_contain(name)]
    files += [_local(entry, checked(f"{place}/{entry.path}"), level) for entry in others]
    own.update(entry.path for entry in others)
    folder = place if folder_ending(place) else place + _ENDINGS[name]
    path = folder_path(want.path, folder.rpartition("/")[2])
    found = local_scene(want.scene.id, path, files, archive="", facts=metadata_of(want.scene), packed=PackedFile())
    return ProductFolder(found, tuple(sorted(there.keys() - own)))


def _listing(base: str, place: str, there: dict[str, TreeEntry]) -> tuple[str, ProductListing]:
    """Return the name of the product's list and what it says."""
    name = next((name for name in NAMES if name in there and there[name].is_file), None)
    if name is None and (special := next((name for name in NAMES if name in there), None)) is not None:
        raise NotAScene(f"{special} is a link or a special file, which is not read")
    if name is None and folder_ending(place):
        raise NotAScene(f"{' or '.join(NAMES)}, the list of its files, is missing", Result.INCOMPLETE)
    if name is None:
        raise NotAScene(f"it has no {' or '.join(NAMES)}, so that it cannot be checked", Result.UNWANTED)
    with safe_tree.reading(base, f"{place}/{name}") as file:
        data = file.read(MAX_SIZE + 1)
    try:
        return name, read_listing(data)
    except ValueError as error:
        raise NotAScene(f"{name}: {error}") from None


def _compare_with_name(listing: ProductListing, want: DesiredScene) -> None:
    """Compare the product with the scene's id: a folder can be renamed.

    Raises:
        NotAScene: It is another product.
    """
    named = described(want.scene.id)
    # The time in the name is rounded, or cut off.
    if named.start is not None and listing.start is not None and abs(named.start - listing.start) >= _SECOND:
        raise NotAScene(f"it is another product: it was acquired at {listing.start:%Y-%m-%dT%H:%M:%S}")
    tile, tiles = tile_of(named), {tile for file in listing.files for tile in _TILE.findall(file.name)}
    if tile is not None and tiles and tile not in tiles:
        raise NotAScene(f"it is another product: of tile {min(tiles)}")
    radar = _RADAR.match(want.scene.id)
    names = (_RADAR_FILE.fullmatch(file.name.rpartition("/")[2]) for file in listing.files)
    takes = {"_".join(match.groups()).upper() for match in names if match is not None}
    if radar is not None and takes and "_".join(radar.groups()) not in takes:
        raise NotAScene(f"it is another product: {min(takes)}")


def _compare_with_metadata(base: str, place: str, listing: ProductListing, want: DesiredScene) -> None:
    """Compare the level and the name in the metadata of a Sentinel-2 product with the scene's id.

    Raises:
        NotAScene: It is another product.
        OSError: The metadata cannot be read.
        TransferError: A folder of a path is a symbolic link.
    """
    named, wanted = described(want.scene.id), product_id(want.scene.id)
    metadata = next((match for file in listing.files if (match := _METADATA.fullmatch(file.name))), None)
    if metadata is None or tile_of(named) is None:
        return
    if metadata[1] != named.product_type:
        raise NotAScene(f"it is another product: of level {metadata[1]}")
    if tree_listing.look(base, f"{place}/{metadata[0]}") is None:
        return
    with safe_tree.reading(base, f"{place}/{metadata[0]}") as file:
        uri = _URI.search(file.read(MAX_SIZE))
    if uri is not None and (product := product_id(uri[1].decode(errors="replace"))) != wanted:
        raise NotAScene(f"it is another product: {product}")


def _local(entry: TreeEntry, result: FileCheck, level: ProofLevel) -> LocalFile:
    return LocalFile(name=entry.path, size=result.size, mtime_ns=entry.mtime_ns, sha256=result.sha256, level=level)
