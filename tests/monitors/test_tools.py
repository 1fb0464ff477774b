import threading

from monitors.tools import open_tools


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
