"""The state of a mirror as metrics in Prometheus' text format, for the textfile collector of its node exporter.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from sedas_sync.operations.status import Status
from sedas_sync.output.documents.past import HistoryEntry

_PREFIX = "sedas_sync_"


def metrics(of: Status, now: datetime) -> str:
    """Return the metrics of a mirror after a run.

    Args:
        of: The status of the mirror.
        now: The time, UTC.
    """
    mirror = {"mirror": of.mirror}
    return "".join(line + "\n" for name, help_, values in _gauges(of, now) for line in (
        f"# HELP {_PREFIX}{name} {help_}",
        f"# TYPE {_PREFIX}{name} gauge",
        *(f"{_PREFIX}{name}{{{_labels({**mirror, **labels})}}} {value}" for labels, value in values),
    ))  # fmt: skip


_Values = list[tuple[Mapping[str, str], float]]


def _gauges(of: Status, now: datetime) -> Iterator[tuple[str, str, _Values]]:
    def one(value: float) -> _Values:
        return [({}, value)]

    success, run = of.last_success, of.last_run
    if success is not None:
        yield "last_success_timestamp_seconds", "When the last successful apply ended.", one(success.end.timestamp())
    if run is not None:
        yield "last_run_timestamp_seconds", "When the last run ended.", one(run.end.timestamp())
        # A run without an end was killed.
        yield "last_exit_code", "The exit code of the last run.", one(1 if run.exit_code is None else run.exit_code)
    states = {
        "wanted": of.wanted,
        "downloaded": of.held,
        "missing": of.missing,
        "changed": of.changed,
        "pending": len(of.awaited),
        "failed": len(of.failures),
        "unwanted": of.unwanted,
    }
    yield "scenes", "Scenes by state.", [({"state": state}, number) for state, number in states.items()]
    placed = min((order.placed for order in of.awaited), default=now)
    yield (
        "oldest_order_seconds",
        "Age of the oldest order of a wanted scene that has not failed.",
        one(max(0.0, (now - placed).total_seconds())),
    )
    yield "bytes", "Size of the scenes on disk.", one(of.bytes)
    if of.free is not None:
        yield "free_bytes", "Free bytes of the file system.", one(of.free)
    files, bytes_ = of.replaced
    yield "replaced_files", "Files in .sedas-sync/replaced.", one(files)
    yield "replaced_bytes", "Size of the files in .sedas-sync/replaced.", one(bytes_)
    if run is not None:
        did = HistoryEntry.about(run)
        yield "fetched_scenes", "Scenes that the last run downloaded.", one(did.fetched)
        yield "fetched_bytes", "Bytes that the last run downloaded.", one(did.bytes)
        if did.calls:
            calls: _Values = [({"kind": kind}, number) for kind, number in did.calls.items()]
            yield "api_calls", "Requests of the last run to the archives' interfaces.", calls


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
