"""What the tests of the state machines share: a fake clock, and values made in one line."""

from datetime import UTC, datetime, timedelta

from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import Download, Scene
from sedas_sync.operations.apply.effects import Emit, Now, Task
from sedas_sync.transfer.job import FetchResult

START = datetime(2026, 5, 1, tzinfo=UTC)


class Clock:
    """Time passes only when a test says so."""

    def __init__(self):
        self.seconds = 1000.0

    @property
    def now(self):
        return Now(self.seconds, START + timedelta(seconds=self.seconds - 1000.0))

    def tell(self, machine, event):
        """Give a machine an event; return what it yields."""
        return list(machine.handle(event, self.now))


def action(name, kind=ActionKind.FETCH, **more):
    values = {
        "datasets": ("d",),
        "path": f"{name}.zip",
        "size": 100,
        "reason": Reason(ReasonCode.NOT_IN_MIRROR),
        **more,
    }
    return Action(kind=kind, id=name, **values)


def task(name, *, archive="a", online=True, assets=(), **more):
    scene = Scene(id=name, download_url=f"http://x/{name}" if online else None, assets=assets)
    return Task(action=action(name), scene=scene, archive=archive, **more)


def order(name, *, number=None, state=OrderState.PENDING, **more):
    return Order(order=number or f"O-{name}", id=name, placed=START, state=state, **more)


def link(name="x"):
    return Download(url=f"http://x/{name}")


def fetched(name, size=10, **more):
    return FetchResult(
        id=name, path=f"{name}.zip", size=size, mtime_ns=1, sha256="0" * 64, level=ProofLevel.CRC, received=size,
        resumed_from=0, seconds=1.0, **more,
    )  # fmt: skip


def local(name, path):
    return LocalScene(id=name, path=path, size=1, mtime_ns=1, sha256="", level=ProofLevel.CRC, archive="")


def events_of(effects):
    """Return the events that are reported."""
    return [effect.event for effect in effects if isinstance(effect, Emit)]


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]
