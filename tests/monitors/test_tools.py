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
