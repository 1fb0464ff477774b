"""waypost beside: the list of ways, and a way for one's own configuration."""

import base64
import json
import re
from pathlib import Path

from steering.beside.ways import WAYS
from tests.steering.running import run_command, web_settings

SERVER = '[server]\nlisten = ["192.0.2.53:53"]\nstate = "state"\n'


def test_the_ways_are_listed() -> None:
    said = run_command("beside")
    assert said.returncode == 0
    assert [line.split()[0] for line in said.stdout.splitlines()] == list(WAYS)
    assert json.loads(run_command("beside", "--json").stdout) == {name: way.summary for name, way in WAYS.items()}


def test_a_way_has_the_zone_and_address_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "waypost.toml"
    config.write_text(SERVER + web_settings(80))
    said = run_command("beside", "dnsdist", str(config), "--server", "192.0.2.54:53")
    assert said.returncode == 0, said.stderr
    assert 'address="192.0.2.53:53", pool="waypost", checkName="example.com.", checkType="SOA",' in said.stdout
    assert 'setLocal("192.0.2.54:53")' in said.stdout
    assert "Names and addresses of the example" not in said.stdout
    files = json.loads(run_command("beside", "delegation", "--zone", "lb.test", "--json").stdout)
    assert list(files) == ["test.zone", "waypost.toml"]
    assert 'name = "lb.test"' in files["waypost.toml"]


def test_where_waypost_listens_everywhere_its_address_is_not_made_up(tmp_path: Path) -> None:
    config = tmp_path / "waypost.toml"
    config.write_text(SERVER.replace("192.0.2.53:53", '0.0.0.0:53", "[::]:53') + web_settings(80))
    said = run_command("beside", "transfers_out", str(config)).stdout
    assert "0.0.0.0" not in said
    assert "::" not in said
    assert "# Names and addresses of the example; for your own: --waypost, --server" in said


def test_the_secret_is_new_each_time_and_the_same_in_all_files() -> None:
    secrets = set()
    for _ in range(2):
        files = json.loads(run_command("beside", "transfers_out", "--json").stdout)
        [secret] = {match for content in files.values() for match in re.findall(r"[\w+/]{43}=", content)}
        assert len(base64.b64decode(secret)) == 32
        assert secret != "c2VjcmV0IG9mIHRoZSBleGFtcGxlLCBub3QgeW91cnM="
        secrets.add(secret)
    assert len(secrets) == 2


def test_what_is_wrong_is_told() -> None:
    said = run_command("beside", "dnsdits")
    assert (said.returncode, said.stderr) == (2, 'dnsdits: no such way; did you mean "dnsdist"?\n')
    said = run_command("beside", "dnsdist", "--waypost", "somewhere")
    assert (said.returncode, said.stderr.split(": ")[0]) == (2, "--waypost somewhere")
    assert (
        "# Names and addresses of the example; for your own: --zone, --waypost, --server"
        in run_command("beside", "dnsdist").stdout
    )
