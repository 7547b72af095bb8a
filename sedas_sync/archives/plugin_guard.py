"""Protects a run from the archive of another package, which may raise anything and return values of any type.

Both become an `ArchiveError` with the name of the archive's type. Only that search, look-up or scene fails. Values are
checked as if they had been read from JSON, so that plans, the index and the order journal can be read again.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, ArchiveWrapper, ListsFiles, Orders, Warn, is_stopped
from sedas_sync.errors import ArchiveError, IncompleteSearch, SedasSyncError, StoppedError
from sedas_sync.model.order import Order
from sedas_sync.model.satellites import SatelliteSource
from sedas_sync.model.scene import Download, Query, Reach, RemoteFile, Scene
from sedas_sync.net.redact import logger_of

_LOG = logger_of(__name__)

Value = TypeVar("Value")
Record = TypeVar("Record", bound=Struct)
Guard = Callable[[str], AbstractContextManager[None]]
"""Guards a call of a method of the package."""
Check = Callable[[object, str], Value]
"""Returns what a method of the package returned, if it is valid."""


class GuardedArchive(ArchiveWrapper):
    """An archive of another package, with its errors and results checked.

    Args:
        archive: The archive that the package opened.
        kind: The name of its type.
        reach: Where its links may lead if they have no `reach` of their own.
    """

    def __init__(self, archive: Archive, kind: str, reach: Reach | None = None) -> None:
        with guard(kind, "identity"):
            super().__init__(archive)
        self._kind = kind
        self._reach = reach or Reach()
        self._ended = False
        """Whether calls were made to end early."""

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the package finds; see `Archive.find`."""
        return self._scenes(lambda: super(GuardedArchive, self).find(query, warn=_text(warn)), "find")

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes that the package looks up; see `Archive.look_up`."""
        return self._scenes(lambda: super(GuardedArchive, self).look_up(ids, warn=_text(warn)), "look_up")

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the link that the package gives; see `Archive.locate`."""
        with self._guard("locate"):
            returned = _of_type(super().locate(scene, file, refused=refused), Download, self._kind, "locate")
            if returned.open is not None and not callable(returned.open):
                raise _failed(self._kind, "locate", "the `open` of its Download cannot be called")
            valid = _valid(replace(returned, open=None), Download, self._kind, "locate")
            reach = valid.reach if valid.reach != Reach() else self._reach
            return replace(valid, open=returned.open, reach=reach)

    @property
    def orders(self) -> Orders | None:
        """Places and polls orders; None if the package takes none."""
        with self._guard("orders"):
            orders = super().orders
        return None if orders is None else _GuardedOrders(orders, self._kind, self._guard)

    @property
    def connections(self) -> int | None:
        """Maximum concurrent downloads; None if there is no limit."""
        with self._guard("connections"):
            number = getattr(self._archive, "connections", None)
            limits = number is not None and _of_type(number, int, self._kind, "connections") > 0
            return number if limits else None

    @property
    def server_time(self) -> datetime | None:
        """The current time of the archive's server; None if the package fails."""
        time = self._or_else(lambda: super(GuardedArchive, self).server_time, None, "server_time")
        return time if isinstance(time, datetime) and time.tzinfo is not None else None

    @property
    def calls(self) -> Mapping[str, int]:
        """The requests so far, by kind; none if the package fails."""
        counts: dict[Any, Any] = self._or_else(lambda: dict(super(GuardedArchive, self).calls), {}, "calls")
        return {name: count for name, count in counts.items() if isinstance(name, str) and isinstance(count, int)}

    @property
    def retrying(self) -> str:
        """Which try of a request is under way; empty if the package fails."""
        return self._or_else(lambda: str(super(GuardedArchive, self).retrying), "", "retrying")

    @property
    def known_orders(self) -> Sequence[Order]:
        """The orders that the package remembers."""
        with self._guard("known_orders"):
            return [_valid(order, Order, self._kind, "known_orders") for order in super().known_orders]

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called, as far as the package knows."""
        return self._or_else(lambda: super(GuardedArchive, self).stopped, False, "stopped") is True

    def satellites(self) -> Sequence[SatelliteSource]:
        """Return the satellites that the package lists."""
        with self._guard("satellites"):
            return [_of_type(item, SatelliteSource, self._kind, "satellites") for item in super().satellites()]

    def source_groups(self) -> Sequence[SatelliteSource]:
        """Return the groups of satellites that the package lists."""
        with self._guard("source_groups"):
            return [_of_type(item, SatelliteSource, self._kind, "source_groups") for item in super().source_groups()]

    def list_files(self, scene: Scene) -> Scene:
        """Return a scene with the files that the package lists."""
        with self._guard("list_files"):
            return self._checked(super().list_files(scene), "list_files")

    def interrupt(self) -> bool:
        """End running calls; return False if the package cannot, or fails."""
        self._ended = True
        return self._or_else(super().interrupt, False, "interrupt")

    def stop(self) -> None:
        """Make calls in other threads end early. An error is only logged."""
        self._ended = True
        self._or_else(super().stop, None, "stop")

    def close(self) -> None:
        """Close the archive. An error is only logged."""
        self._ended = True
        self._or_else(super().close, None, "close")

    def _or_else(self, call: Callable[[], Value], instead: Value, what: str) -> Value:
        """Return the result of a call, or another one if the package fails. The error is only logged."""
        try:
            with self._guard(what):
                return call()
        except SedasSyncError:
            _LOG.warning("the package of archive type %s failed in %s", self._kind, what, exc_info=True)
            return instead

    def _guard(self, method: str) -> AbstractContextManager[None]:
        return guard(self._kind, method, self._may_stop)

    def _may_stop(self) -> bool:
        """Whether a call may end early."""
        with suppress(Exception):
            return self._ended or is_stopped(self._archive)
        return False

    def _scenes(self, call: Callable[[], Iterable[object]], method: str) -> Iterator[Scene]:
        """Yield the valid scenes; raise the error of the first that is not at the end."""
        problems: list[ArchiveError] = []

        def check(value: object, method: str) -> Scene | None:
            try:
                return self._checked(value, method)
            except ArchiveError as error:
                problems.append(error)
                return None

        yield from filter(None, _each(call, method, self._guard, check))
        if problems:
            raise IncompleteSearch(str(problems[0])) from problems[0]

    def _checked(self, value: object, method: str) -> Scene:
        scene = _valid(value, Scene, self._kind, method)
        if scene.listing and not isinstance(self._archive, ListsFiles):
            raise _failed(self._kind, method, f"scene {scene.id!r} has a listing, but the archive has no `list_files`")
        return scene


class InvalidOrder(ArchiveError):
    """A package placed an order, and a field of what it returned is wrong.

    Args:
        problem: Why it is not valid.
        usable: The order with the fields that are right.
    """

    def __init__(self, problem: ArchiveError, usable: Order) -> None:
        super().__init__(f"{problem}; order {usable.order} is kept, and the next run polls it")
        self.usable = usable


class _GuardedOrders:
    def __init__(self, orders: Orders, kind: str, guard: Guard) -> None:
        self._orders = orders
        self._kind = kind
        self._guard = guard

    def place(self, scene: Scene) -> Order:
        with self._guard("orders.place"):
            placed = self._orders.place(scene)
            try:
                return self._checked(placed, "orders.place")
            except ArchiveError as error:
                if (usable := _usable(placed, scene)) is None:
                    raise
                raise InvalidOrder(error, usable) from error

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        return _each(lambda: self._orders.poll(orders), "orders.poll", self._guard, self._checked)

    def _checked(self, order: object, method: str) -> Order:
        return _valid(order, Order, self._kind, method)


def _usable(placed: object, scene: Scene) -> Order | None:
    """Return an invalid order without its wrong fields; None if its id is one of them."""
    number = getattr(placed, "order", None)
    if not isinstance(number, str | int) or isinstance(number, bool) or number == "":
        return None
    fields = to_builtins(Order(order=str(number), id=scene.id, placed=datetime.now(UTC)))
    for name in set(Order.__struct_fields__) - {"order", "id"}:
        with suppress(Exception):
            value = getattr(placed, name)
            candidate = fields | {name: to_builtins(value)}
            if not isinstance(value, datetime) or value.tzinfo is not None:
                convert(candidate, Order)
                fields = candidate
    return convert(fields, Order)


@contextmanager
def guard(kind: str, method: str, may_stop: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turn all errors of a package into an `ArchiveError`, except the errors of sedas-sync.

    Args:
        kind: The name of the archive's type.
        method: The method that is called, for the error message.
        may_stop: Whether the call may end with a `StoppedError`.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, SedasSyncError) and (not isinstance(error, StoppedError) or may_stop()):
            raise
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            # Python raises it there if a person presses Ctrl-C.
            raise
        _LOG.debug("the package of archive type %s failed in %s", kind, method, exc_info=True)
        raise _failed(kind, method, f"{type(error).__name__}: {error}") from error


def _each(call: Callable[[], Iterable[object]], method: str, guard: Guard, check: Check[Value]) -> Iterator[Value]:
    """Yield what an iterator of the package returns. What its reader raises is not guarded."""
    with guard(method):
        values = iter(call())
    while True:
        with guard(method):
            try:
                value = check(next(values), method)
            except StopIteration:
                return
        yield value


def _text(warn: Warn) -> Warn:
    return lambda sentence: warn(str(sentence))


def _failed(kind: str, method: str, reason: str) -> ArchiveError:
    return ArchiveError(f"the package of archive type {kind} failed in {method}: {reason}")


def _of_type(value: Any, expected: type[Value], kind: str, method: str) -> Value:
    """Return a value that a package made, if it has the right type."""
    if not isinstance(value, expected):
        found, article = type(value).__name__, "an" if expected.__name__[0] in "AEIOUaeiou" else "a"
        raise _failed(kind, method, f"it returned {found} instead of {article} {expected.__name__}")
    return value


def _valid(value: object, expected: type[Record], kind: str, method: str) -> Record:
    """Return a value that a package made as its JSON would be read, if its fields have the right types.

    Times become UTC.
    """
    name, given = expected.__name__, _of_type(value, expected, kind, method)
    try:
        fields = to_builtins(given, enc_hook=dict, builtin_types=(bytes,))
        json.dumps(fields.get("extra"))
        valid = convert(fields, expected)
    except ValidationError as error:
        reason, _, field = str(error).partition(" - at ")
        whose = f"`{field.strip('`').removeprefix('$.')}` of its {name}{_id_of(given)}" if field else f"its {name}"
        raise _failed(kind, method, f"{whose} is not valid: {reason[:1].lower()}{reason[1:]}") from error
    except Exception as error:
        reason = f"a field of its {name}{_id_of(given)} cannot be written as JSON: {type(error).__name__}: {error}"
        raise _failed(kind, method, reason) from error
    times = {field: time for field in expected.__struct_fields__ if isinstance(time := getattr(given, field), datetime)}
    for field, time in times.items():
        if time.tzinfo is None:
            raise _failed(kind, method, f"the {field} of {name.lower()}{_id_of(given)} has no time zone")
    # JSON has no seconds of a time zone.
    return replace(valid, **{field: time.astimezone(UTC) for field, time in times.items()}) if times else valid


def _id_of(value: object) -> str:
    """Return the id of a scene or of an order's scene for a message; empty for others."""
    found = getattr(value, "id", None)
    return f" {found!r}" if isinstance(found, str) else ""
