import asyncio
import threading

import pytest
import trio

from monitors.mailthread import MailThread, MailThreadClosed


async def test_work_runs_in_the_other_thread_and_returns() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    mail = MailThread()
    try:
        threads = {await mail.run(work) for _ in range(3)}
    finally:
        mail.close()
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_an_exception_comes_back() -> None:
    async def work() -> None:
        raise ConnectionRefusedError(111, "refused")

    mail = MailThread()
    with pytest.raises(ConnectionRefusedError):
        await mail.run(work)
    mail.close()


async def test_a_cancelled_caller_waits_until_the_work_has_ended() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.02)
            ended.append("work")

    mail = MailThread()
    with trio.move_on_after(0.05) as patience:
        await mail.run(work)
    assert patience.cancelled_caught
    assert ended == ["work"]
    mail.close()


async def test_a_cancellation_before_the_start_finds_the_task() -> None:
    running = 0

    async def work() -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(3600)
        finally:
            running -= 1

    mail = MailThread()
    for _ in range(50):
        with trio.fail_after(5), trio.CancelScope() as scope:
            scope.cancel()
            await mail.run(work)
        assert scope.cancelled_caught
        assert running == 0
    mail.close()


async def test_many_at_once_do_not_wait_for_each_other() -> None:
    arrived = 0
    everybody: asyncio.Future[None] | None = None

    async def work() -> None:
        nonlocal arrived, everybody
        everybody = everybody or asyncio.get_running_loop().create_future()
        arrived += 1
        if arrived == 100:
            everybody.set_result(None)
        await everybody

    mail = MailThread()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(mail.run, work)
    mail.close()
    assert arrived == 100


async def test_closing_ends_what_runs_and_the_thread() -> None:
    running = threading.Event()
    ended = threading.Event()

    async def work() -> None:
        running.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def close_when_it_runs() -> None:
        await trio.to_thread.run_sync(running.wait)
        mail.close()

    mail = MailThread()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_when_it_runs)
        with pytest.raises(MailThreadClosed):
            await mail.run(work)
    assert ended.is_set()
    assert "waypost mail" not in {thread.name for thread in threading.enumerate()}
