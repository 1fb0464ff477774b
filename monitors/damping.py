"""Damping: an address that flips too often is kept down until it has been steady.

Rules for this file: pure. Times are Unix seconds.
"""

from monitors.monitor import Monitor


def remember_flip(flips: tuple[float, ...], monitor: Monitor, now: float) -> tuple[float, ...]:
    """The moments of flips that matter to damping after one at `now`: no more than it takes to be damped."""
    return (*flips, now)[-(monitor.damping_flips + 1) :] if monitor.damping_flips else ()


def damp(
    damped: float | None, flips: tuple[float, ...], last_flip: float, monitor: Monitor, now: float
) -> float | None:
    """Since when it is damped; None: it is not. `damped` is the answer before, `flips` those of `remember_flip`.

    It begins with more than `damping_flips` flips in a window, and ends when there was none for a whole one. A clock
    that was set back ends it, too.
    """
    if not monitor.damping_flips:
        return None
    if damped is not None:
        return damped if 0 <= now - last_flip < monitor.damping_window else None
    recent = sum(0 <= now - flip < monitor.damping_window for flip in flips)
    return now if recent > monitor.damping_flips else None
