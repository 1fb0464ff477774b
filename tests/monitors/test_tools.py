import threading

import trio

from monitors.tools import MOST_STEPS, current_trace, open_tools, trace_step, traced, waiting_for


def mail_threads() -> int:
    return sum(thread.name == "waypost mail" for thread in threading.enumerate())


async def test_the_mail_thread_starts_when_it_is_asked_for_and_ends_with_the_tools() -> None:
    async with open_tools() as tools:
        assert mail_threads() == 0
        assert tools.mail is tools.mail
        assert mail_threads() == 1
    assert mail_threads() == 0


async def test_there_is_one_context_for_all_that_verify() -> None:
    async with open_tools() as tools:
        assert tools.tls_context(False) is tools.tls_context(False)
        assert tools.tls_context(True) is not tools.tls_context(False)


async def test_steps_are_collected_only_for_who_asks() -> None:
    waiting_for.set("before")
    with traced() as trace:
        waiting_for.set("greeting")
        assert waiting_for.get() == "greeting"
        trace_step("connected")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step_in_a_task)
        await trio.to_thread.run_sync(trace_step, "in a thread", current_trace())
    trace_step("after")
    assert [step for _, step in trace] == ["greeting", "connected", "in a task", "in a thread"]
    times = [time for time, _ in trace]
    assert times == sorted(times)
    assert current_trace() is None


async def step_in_a_task() -> None:
    await trio.lowlevel.checkpoint()
    trace_step("in a task")


def test_a_trace_has_an_end() -> None:
    with traced() as trace:
        for _ in range(10 * MOST_STEPS):
            trace_step("more of the reply")
    assert len(trace) == MOST_STEPS
