"""The outermost form of the service's answers."""

from typing import Any

from sedas_sync.errors import ArchiveError
from sedas_sync.net import redact


def products_of(answer: object) -> list[Any]:
    """Return the rows in the answer to a search.

    Raises:
        ArchiveError: The answer is an error, or has another form.
    """
    if not isinstance(answer, dict):
        raise ArchiveError(f"the archive answered a search with {_type_name(answer)} instead of an object")
    _check_error(answer, "a search")
    products = answer.get("products")
    if products is None:
        return []
    if not isinstance(products, list):
        raise ArchiveError(f"the archive answered a search with {_type_name(products)} instead of a list of products")
    return products


def as_list(answer: object, what: str) -> list[Any]:
    """Return an answer that must be a list.

    Args:
        answer: The answer.
        what: The request, for the error message.

    Raises:
        ArchiveError: The answer is an error, or not a list.
    """
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict):
        _check_error(answer, what)
    raise ArchiveError(f"the archive answered {what} with {_type_name(answer)} instead of a list")


def _check_error(answer: dict[str, Any], what: str) -> None:
    if answer.get("errorCode"):
        message = redact.shorten(str(answer.get("errorMessage") or answer["errorCode"]))
        raise ArchiveError(f"the archive answered {what} with an error: {message}")


def _type_name(answer: object) -> str:
    match answer:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a string"
        case _:
            return "a plain value"
