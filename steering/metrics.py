"""Metrics: what control knows of itself, as text for Prometheus (exposition format 0.0.4). Pure.

`probe_` is what blackbox_exporter calls it, so that dashboards and alerts made for that go on working; `waypost_` is
ours. What is not known has no sample. config/http.md says what each metric means.

An Exposition is filled pool by pool: with many thousands of origins that takes longer than a probe may wait for its
turn, so who fills it can let others run in between.
"""

import math
from collections.abc import Iterable

import msgspec

from monitors.notify.courier import Statistics as NotifierStatistics
from monitors.scheduler import Statistics
from steering.messages import OriginStatus, PoolStatus, Status, WorkerStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Probed(msgspec.Struct, frozen=True):
    """The last result of a monitor at an address. `checked` and `certificate_expires` in Unix
    seconds, `rtt` and `duration` in seconds."""

    monitor: str
    up: bool
    checked: float
    rtt: float | None = None
    duration: float | None = None
    certificate_expires: float | None = None


class Exposition:
    """Metrics that are being collected; `render` is the whole text."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def gauge(self, name: str, help_text: str, labels: str, value: float | None) -> None:
        """A sample of what goes up and down; none if `value` is None. `labels` as `render_labels` makes them."""
        self._add("gauge", name, help_text, labels, value)

    def counter(self, name: str, help_text: str, labels: str, value: float | None) -> None:
        """A sample of what only grows while the process lives."""
        self._add("counter", name, help_text, labels, value)

    def _add(self, kind: str, name: str, help_text: str, labels: str, value: float | None) -> None:
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            escaped = help_text.replace("\\", "\\\\").replace("\n", "\\n")
            self._families[name] = family = [f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"]
        family.append(f"{name}{labels} {render_value(value)}\n")

    def render(self) -> str:
        """The text, each metric with all its samples in one place."""
        return "".join(line for family in self._families.values() for line in family)


def render_labels(labels: Labels) -> str:
    """`{name="value",...}`, escaped; "" without labels."""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}" if labels else ""


def render_value(value: float) -> str:
    """A number as Go reads it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(value)


def add_status(exposition: Exposition, status: Status, version: str) -> None:
    """All but the pools."""
    exposition.gauge("waypost_build_info", "The version that runs.", render_labels((("version", version),)), 1)
    exposition.gauge("waypost_configuration_timestamp_seconds", "When the configuration was taken.", "", status.since)
    exposition.gauge("waypost_held", "Whether all states are held: the checker seems broken.", "", held(status))
    exposition.gauge("waypost_workers", "Workers that are fed by control.", "", len(status.workers))
    _add_scheduler(exposition, status.probes)
    for name, notifier in status.notifiers.items():
        _add_notifier(exposition, name, notifier)
    for worker in status.workers:
        _add_worker(exposition, worker)
    for zone in status.zones:
        labels = render_labels((("zone", zone.name),))
        exposition.gauge("waypost_zone_serial", "The serial that is served.", labels, zone.serial)


def add_pool(exposition: Exposition, pool: PoolStatus, probed: Iterable[Iterable[Probed]], now: float) -> None:
    """A pool and its origins, at `now` (Unix seconds). `probed` has the last results for each origin, in their
    order."""
    name = ("pool", pool.name)
    labels = render_labels((name,))
    exposition.gauge("waypost_pool_up", "Whether the pool has its minimum of healthy origins.", labels, pool.up)
    exposition.gauge("waypost_pool_enabled", "Whether the pool is enabled.", labels, pool.enabled)
    exposition.gauge("waypost_pool_origins", "Origins of the pool.", labels, len(pool.origins))
    exposition.gauge("waypost_pool_origins_healthy", "Healthy origins of the pool.", labels, pool.healthy)
    exposition.gauge("waypost_pool_minimum_origins", "Healthy origins that it needs.", labels, pool.minimum_origins)
    exposition.gauge("waypost_pool_share", "How much of its traffic the pool takes.", labels, pool.share)
    _add_cause(exposition, "waypost_pool_cause", (name,), pool.cause)
    for origin, results in zip(pool.origins, probed, strict=True):
        _add_origin(exposition, name, origin)
        for result in results:
            _add_probed(exposition, name, origin, result, now)


def add_result(exposition: Exposition, labels: str, up: bool, duration: float | None, expires: float | None) -> None:
    """The metrics of one check, as blackbox_exporter calls them."""
    exposition.gauge("probe_success", "Whether the last check succeeded.", labels, up)
    exposition.gauge("probe_duration_seconds", "How long the last check took, with its retries.", labels, duration)
    exposition.gauge(
        "probe_ssl_earliest_cert_expiry", "When the certificate of the server expires, in Unix time.", labels, expires
    )


def monitors_of(pool: PoolStatus, origin: OriginStatus) -> tuple[str, ...]:
    """The monitors that check an origin: that of its pool, or the members of a group."""
    return tuple(monitor.name for monitor in origin.monitors) or ((pool.monitor,) if pool.monitor else ())


def held(status: Status) -> bool:
    """Whether all states are held."""
    return bool(status.held)


def _add_origin(exposition: Exposition, pool: tuple[str, str], origin: OriginStatus) -> None:
    names = (pool, ("origin", origin.name), ("address", origin.address))
    labels = render_labels(names)
    exposition.gauge("waypost_origin_up", "Whether the origin is healthy.", labels, origin.up)
    exposition.gauge("waypost_origin_enabled", "Whether the origin is enabled.", labels, origin.enabled)
    exposition.gauge("waypost_origin_weight", "Its configured share of the pool.", labels, origin.weight)
    exposition.gauge("waypost_origin_share", "How much of its weight it takes.", labels, origin.share)
    exposition.gauge("waypost_origin_state_timestamp_seconds", "When its health changed last.", labels, origin.since)
    if origin.up is not None:
        exposition.counter("waypost_origin_flips_total", "Changes of its health.", labels, origin.flips)
        exposition.gauge("waypost_origin_warning", "Whether its checks warn.", labels, bool(origin.warning))
    _add_cause(exposition, "waypost_origin_cause", names, origin.cause)


def _add_cause(exposition: Exposition, metric: str, names: Labels, cause: str) -> None:
    if cause:
        text = "1 for what decides instead of the results; no sample while they do."
        exposition.gauge(metric, text, render_labels((*names, ("cause", cause))), 1)


def _add_probed(
    exposition: Exposition, pool: tuple[str, str], origin: OriginStatus, probed: Probed, now: float
) -> None:
    names = (("monitor", probed.monitor), ("address", origin.address), pool, ("origin", origin.name))
    labels = render_labels(names)
    add_result(exposition, labels, probed.up, probed.duration, probed.certificate_expires)
    exposition.gauge("waypost_probe_rtt_seconds", "The round trip that the last check measured.", labels, probed.rtt)
    exposition.gauge("waypost_probe_age_seconds", "How long ago the last result came.", labels, now - probed.checked)


def _add_scheduler(exposition: Exposition, probes: Statistics) -> None:
    exposition.gauge("waypost_scheduler_targets", "Targets that are watched.", "", probes.targets)
    exposition.gauge("waypost_scheduler_running", "Checks that run now.", "", probes.running)
    exposition.counter("waypost_scheduler_started_total", "Checks that were started.", "", probes.started)
    exposition.counter("waypost_scheduler_retried_total", "Attempts that followed a timeout.", "", probes.retried)
    exposition.counter("waypost_scheduler_skipped_total", "Due checks that were left out.", "", probes.skipped)
    exposition.counter(
        "waypost_scheduler_lag_seconds_total", "Seconds from due to start, of all checks.", "", probes.lag_seconds
    )
    exposition.gauge("waypost_scheduler_lag_maximum_seconds", "The longest of them.", "", probes.lag_maximum)


def _add_notifier(exposition: Exposition, name: str, notifier: NotifierStatistics) -> None:
    labels = render_labels((("notifier", name),))
    exposition.gauge("waypost_notifier_queued", "Events that are not taken in yet.", labels, notifier.queued)
    exposition.gauge("waypost_notifier_waiting", "Messages that are not delivered yet.", labels, notifier.waiting)
    exposition.gauge("waypost_notifier_failing", "Whether the last attempt failed.", labels, bool(notifier.error))
    for counter, meaning in (
        ("delivered", "Messages that were delivered."),
        ("failed", "Attempts that failed."),
        ("given_up", "Messages that were given up."),
        ("dropped", "Events that found no room."),
    ):
        exposition.counter(f"waypost_notifier_{counter}_total", meaning, labels, getattr(notifier, counter))


def _add_worker(exposition: Exposition, worker: WorkerStatus) -> None:
    """Whatever a worker counts, by the name that the counter has there."""
    labels = render_labels((("worker", str(worker.number)),))
    for counter, value in msgspec.structs.asdict(worker).items():
        if counter not in ("number", "pid") and isinstance(value, int | float):
            text = f"The worker's counter {counter}, since it started."
            exposition.counter(f"waypost_worker_{counter}_total", text, labels, value)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
