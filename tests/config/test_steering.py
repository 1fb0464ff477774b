"""config/steering.md: its examples are taken as they stand, and its figures are those of the code."""

import re
from pathlib import Path

import pytest

from geodata.place import EARTH_RADIUS
from steering.balance.policies import POLICIES
from steering.balance.rendezvous import KEY_LENGTH4, KEY_LENGTH6
from steering.balance.shedding import RAMP_START, STEP
from steering.settings_file import parse_settings

PAGE = (Path(__file__).parents[2] / "config" / "steering.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_taken(example: str) -> None:
    records = 'records = { CNAME = "www.paris.example.com." }'
    pools = dict.fromkeys(
        name for names in re.findall(r'pools = (\[.*?\])|fallback_pool = (".*?")', example) for name in names if name
    )
    named = dict.fromkeys(re.findall(r'"([a-z-]+)"', " ".join(pools)))
    assert named
    text = '[server]\nlisten = ["127.0.0.1:53"]\nstate = "state"\n'
    text += '[[zone]]\nname = "example.com"\nnameservers = ["ns1.example.com"]\n'
    for number, name in enumerate(named, 1):
        text += f'[[pool]]\nname = "{name}"\n[[pool.origin]]\nname = "one"\naddress = "192.0.2.{number}"\n'
        text += f'{records}\n[[pool.origin]]\nname = "two"\naddress = "2001:db8::{number}"\n{records}\n'
    settings = parse_settings(text + example, Path("/etc/waypost.toml"))
    assert len(settings.load_balancers) == 1


def test_figures() -> None:
    text = " ".join(PAGE.split())
    for said in (
        f"{EARTH_RADIUS:,} km",
        f"first {KEY_LENGTH4} bits (IPv6: {KEY_LENGTH6})",
        f"takes {RAMP_START} at once",
        f"steps of {STEP:.0f} seconds",
    ):
        assert said in text


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_in_the_table(policy: str) -> None:
    assert f"\n| `{policy}` |" in PAGE
