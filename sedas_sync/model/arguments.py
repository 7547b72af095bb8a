"""Check the arguments of public functions against their annotations, so that a wrong one is an error in words."""

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from functools import cache, wraps
from numbers import Integral, Real
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, is_typeddict

from msgspec import Meta

from sedas_sync.model.similar import did_you_mean, nearest

_Options = ParamSpec("_Options")
_Result = TypeVar("_Result")

Jobs = Annotated[int, Meta(ge=1)]
"""A number of concurrent downloads, or of files that are read at once."""
Seconds = Annotated[float, Meta(ge=0)]

_LONGEST = 60
_PLAIN: dict[Any, tuple[type | tuple[type, ...], str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
    bytes: (bytes, "bytes"),
    bool: (bool, "True or False"),
    collections.abc.Callable: (collections.abc.Callable, "a function"),  # type: ignore[dict-item]  # isinstance takes it
    collections.abc.Mapping: (collections.abc.Mapping, "a dict"),
}
"""What is accepted for a type, and its name."""


def one_or_more(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of which a caller may give one as it is."""
    return (names,) if isinstance(names, str) else tuple(names)


def checked(function: Callable[_Options, _Result]) -> Callable[_Options, _Result]:
    """Return a function that checks its arguments first.

    Raises:
        TypeError: An argument has a wrong type, is missing or unknown.
        ValueError: An argument has a value that is not allowed.
    """

    @wraps(function)
    def call(*args: _Options.args, **options: _Options.kwargs) -> _Result:
        check_arguments(function, args, options)
        return function(*args, **options)

    return call


def check_arguments(function: Callable[..., Any], args: Iterable[Any], options: dict[str, Any]) -> None:
    """Check the arguments of a call; see `checked`."""
    signature, hints = _described(function)
    try:
        bound = signature.bind(*args, **options)
    except TypeError as error:
        raise TypeError(f"{error}{_similar(options, signature.parameters)}") from None
    for argument, value in bound.arguments.items():
        hint = hints.get(argument, Any)
        if signature.parameters[argument].kind is not inspect.Parameter.VAR_KEYWORD:
            _check(argument, value, hint)
        elif get_args(hint) and is_typeddict(table := get_args(hint)[0]):  # `**options: Unpack[SomeOptions]`
            known = typing.get_type_hints(table, include_extras=True)
            for option, given in value.items():
                if option not in known:
                    similar = _similar([option], {**signature.parameters, **known})
                    raise TypeError(f"got an unexpected keyword argument {option!r}{similar}")
                _check(option, given, known[option])


@cache
def _described(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    # Without the result, whose type may be that of an optional package.
    given = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    hints = typing.get_type_hints(
        types.SimpleNamespace(__annotations__=given), function.__globals__, include_extras=True
    )
    return inspect.signature(function), hints


def _similar(given: Iterable[str], known: Iterable[str]) -> str:
    """Return the end of a sentence about unknown arguments: a known name that is similar."""
    names = set(known)
    return did_you_mean(next(filter(None, (nearest(name, names) for name in given if name not in names)), None))


def _check(argument: str, value: Any, hint: Any) -> None:
    """Raise an error if a value does not fit an annotation."""
    if _fits(value, hint):
        return
    shown = repr(value)
    shown = shown if len(shown) <= _LONGEST and "\n" not in shown else f"of type {type(value).__name__}"
    right_type = any(_is_of_type(value, one) for one in _alternatives(hint))
    raise (ValueError if right_type else TypeError)(f"{argument} is {shown}; it must be {in_words(hint)}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_of_type(value: Any, hint: Any) -> bool:
    """Return whether a value has the type of an annotation, whatever bounds that has."""
    if get_origin(hint) is Literal:
        return isinstance(value, type(get_args(hint)[0]))
    return get_origin(hint) is Annotated and _fits(value, get_args(hint)[0])


def _fits(value: Any, hint: Any) -> bool:  # one case for each kind of annotation
    """Return whether a value fits an annotation. The items of an iterator are not read."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar | str):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in args)
    if origin is Annotated:
        return _fits(value, args[0]) and all(_is_within(value, meta) for meta in args[1:] if isinstance(meta, Meta))
    if origin is Literal:
        return value in args
    if hint is None or hint is types.NoneType:
        return value is None
    kind: Any = origin or hint
    if kind in (int, float) and isinstance(value, bool):
        return False
    if kind in _PLAIN:
        fits = isinstance(value, _PLAIN[kind][0])
        return fits and (kind is not collections.abc.Mapping or all(_fits(item, args[1]) for item in value.values()))
    if kind is typing.IO:
        return hasattr(value, "write")
    if getattr(kind, "_is_protocol", False):
        return not isinstance(value, type) and all(hasattr(value, name) for name in _members(kind))
    if not isinstance(value, kind):
        return False
    # A text is an iterable of texts; where it is meant as one name, the annotation has `str` too.
    if issubclass(kind, Iterable) and args:
        return not isinstance(value, str | bytes | collections.abc.Mapping) and (
            not isinstance(value, list | tuple | set | frozenset) or all(_fits(item, args[0]) for item in value)
        )
    return True


def _is_within(value: Any, meta: Meta) -> bool:
    return (meta.ge is None or value >= meta.ge) and (meta.le is None or value <= meta.le)


def _members(protocol: type) -> list[str]:
    """Return the names of the attributes and methods of a protocol."""
    return [name for name in {**protocol.__annotations__, **vars(protocol)} if not name.startswith("_")]


def in_words(hint: Any) -> str:
    """Describe the values that an annotation allows; completes "must be …"."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(in_words, args)))
    if origin is Annotated:
        bounds = [f" of at least {meta.ge}" for meta in args[1:] if isinstance(meta, Meta) and meta.ge is not None]
        return in_words(args[0]) + "".join(bounds)
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if hint is None or hint is types.NoneType:
        return "None"
    kind: Any = origin or hint
    if kind in _PLAIN:
        return _PLAIN[kind][1]
    if kind is typing.IO:
        return "an open file"
    if kind in (collections.abc.Iterable, collections.abc.Sequence):
        return f"a list of {in_words(args[0]).split(' ', 1)[1]}s"
    name = getattr(kind, "__name__", str(kind))
    if name == "PathLike":
        return "a path"
    needs = f" with {', '.join(_members(kind))}" if getattr(kind, "_is_protocol", False) else ""
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}{needs}"
