"""Routing: which endpoint a request is for, and which scenes it names."""

import json
import re

from sedas_sync.sandbox.faults import SandboxRequest
from sedas_sync.sandbox.orders import read_order

_SLASHES = re.compile(r"/{2,}")


def plain_path(request: SandboxRequest) -> str:
    """Return the path with double slashes reduced to one, as the archive reads it."""
    return _SLASHES.sub("/", request.path)


def route(request: SandboxRequest) -> None:
    """Set the endpoint, the scenes and the decoded body of a request."""
    path = plain_path(request)
    if "json" in request.headers.get("content-type", "") and request.body:
        try:
            request.json = json.loads(request.body)
        except (ValueError, RecursionError):
            request.json = None
    if path == "/datamgr/datamgr.php":
        request.endpoint = "download"
        request.scenes = (request.query.get("sceneid", "").removesuffix(".zip"),)
    elif path == "/qls/qlmgr.php":
        request.endpoint, request.scenes = "picture", (request.query.get("sceneid", ""),)
    elif path.startswith("/archiveql/"):
        request.endpoint = "picture"
        request.scenes = (path.removeprefix("/archiveql/").removesuffix(".jpg"),)
    elif path == "/portal":
        request.endpoint = "portal"
    elif path.startswith("/api/"):
        _route_api(request, path.removeprefix("/api/").rstrip("/"))


def _route_api(request: SandboxRequest, path: str) -> None:
    ids = tuple(filter(None, request.query.get("ids", "").split(",")))
    match path.split("/", 1):
        case ["authentication"]:
            request.endpoint = "login"
        case ["search"]:
            request.endpoint = "search"
        case ["search", "products"]:
            request.endpoint, request.scenes = "look_up", ids
        case ["sensors", "sourceGroups" | "satellites"]:
            request.endpoint = "sensors"
        case ["request"]:
            request.endpoint = "poll"
            request.scenes = tuple(read[0] for read in map(read_order, ids) if read)
        case ["request", scene]:
            request.endpoint, request.scenes = "order", (scene,)
        case _:
            pass
