"""What an answer of SeDAS has to be as a whole."""

from typing import Any

from sedas_sync.errors import ArchiveError
from sedas_sync.net import redact


def products_of(answer: object) -> list[Any]:
    """The rows of a search's answer.

    Raises:
        ArchiveError: it is no such answer, or tells of an error.
    """
    if not isinstance(answer, dict):
        raise ArchiveError(f"the archive answered a search with {kind_of(answer)} instead of an object")
    if answer.get("errorCode"):
        stated = redact.shorten(str(answer.get("errorMessage") or answer["errorCode"]))
        raise ArchiveError(f"the archive answered a search with an error: {stated}")
    products = answer.get("products")
    if products is None:
        return []
    if not isinstance(products, list):
        raise ArchiveError(f"the archive answered a search with {kind_of(products)} instead of a list of products")
    return products


def as_list(answer: object, what: str) -> list[Any]:
    """An answer that has to be a list.

    Raises:
        ArchiveError: it is none.
    """
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict) and answer.get("errorCode"):
        stated = redact.shorten(str(answer.get("errorMessage") or answer["errorCode"]))
        raise ArchiveError(f"the archive answered {what} with an error: {stated}")
    raise ArchiveError(f"the archive answered {what} with {kind_of(answer)} instead of a list")


def kind_of(answer: object) -> str:
    """What an answer is, in words."""
    match answer:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a text"
        case _:
            return "a bare value"
