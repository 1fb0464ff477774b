"""config/transfers.md: every configuration beside it is linked, and every link leads somewhere."""

import re
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "config"


def test_links() -> None:
    text = (CONFIG / "transfers.md").read_text(encoding="utf-8")
    linked = {CONFIG / link for link in re.findall(r"\]\(([^)#:]+)\)", text)}
    assert all(path.exists() for path in linked)
    folders = (CONFIG / "beside" / name for name in ("catalog_in", "catalog_out", "transfers_in", "transfers_out"))
    assert {path for folder in folders for path in folder.iterdir()} <= linked
