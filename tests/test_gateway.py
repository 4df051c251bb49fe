"""Who may use a gateway: keys and their owners, limits, the pages of others, and where it listens at all."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from starter.gateway.buckets import Buckets
from starter.gateway.keys import KeyFile, KeysError
from starter.gateway.settings import GatewaySettings, GatewaySettingsError
from starter.program import ROOT
from tests.gateways import Gateway, gateway
from tests.harness import WAIT, Harness
from tests.servers import Server
from workflows.contract import Config


@pytest.fixture
async def guarded(server: Server, harness: Harness, tmp_path: Path) -> AsyncIterator[tuple[Gateway, KeyFile]]:
    """A gateway with keys, and their file."""
    keys = KeyFile(tmp_path / "keys.json")
    keys.add("first", ["nobody"])
    async with gateway(server, harness, "--keys", str(tmp_path / "keys.json")) as started:
        yield started, keys


async def _command(*words: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter", *words),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), WAIT)
    return process.returncode or 0, out.decode(), errors.decode()


def test_a_key_is_stored_as_its_hash_alone_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "below" / "keys.json"
    secret = KeyFile(path).add("web", ["ada", "bob"])
    assert secret not in path.read_text()
    assert secret.removeprefix("sk-sessions-") not in path.read_text()
    assert 0o600 == path.stat().st_mode & 0o777
    found = KeyFile(path).key_of(secret)
    assert found is not None
    assert ("web", ["ada", "bob"]) == (found.name, found.owners)
    assert KeyFile(path).key_of(secret[:-1]) is None
    assert KeyFile(path).key_of("") is None


def test_a_file_of_keys_refuses_what_does_not_fit_and_stays_as_it_is(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    keys.add("web", ["ada"])
    before = (tmp_path / "keys.json").read_text()
    for name, owners, words in [
        ("web", ["bob"], "already"),
        ("a b", ["bob"], "name"),
        ("other", [], "owners"),
        ("other", ["*", "ada"], "alone"),
    ]:
        with pytest.raises(KeysError, match=words):
            keys.add(name, owners)
    with pytest.raises(KeysError, match="no key named 'other'"):
        keys.remove("other")
    assert before == (tmp_path / "keys.json").read_text()
    assert ["keys.json", "keys.json.lock"] == sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(KeysError, match="damaged"):
        keys.keys()


def test_a_bucket_gives_what_it_has_and_then_what_comes_back() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3, lambda: now[0])
    assert [0, 0, 0, 0.5] == [buckets.take("one") for _ in range(4)]
    assert 0 == buckets.take("other")
    now[0] = 0.5
    assert [0, 0.5] == [buckets.take("one") for _ in range(2)]
    now[0] = 1_000
    assert [0, 0, 0, 0.5] == [buckets.take("one") for _ in range(4)]


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("port", "http"),
        ("port", "65536"),
        ("rate", "0"),
        ("burst", "-1"),
        ("kinds", "Answer,,Other"),
        ("origins", "example.com"),
        ("wait", "inf"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(variable: str, text: str) -> None:
    with pytest.raises(GatewaySettingsError, match=f"SESSIONS_GATEWAY_{variable.upper()} is '{text}'; it must"):
        GatewaySettings.from_environment({f"SESSIONS_GATEWAY_{variable.upper()}": text})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])  # noqa: S104 (what is refused)
async def test_without_keys_it_refuses_to_listen_beyond_loopback(host: str) -> None:
    code, _, errors = await _command("gateway", "--host", host, TEMPORAL_ADDRESS="127.0.0.1:1")
    assert 2 == code
    assert "KeyMissing: without keys a gateway listens on loopback alone" in errors


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_keys(host: str) -> None:
    GatewaySettings(host=host).check_address()


@pytest.mark.rare
async def test_commands_make_show_and_take_away_keys(tmp_path: Path) -> None:
    file = ("--keys", str(tmp_path / "keys.json"))
    code, made, _ = await _command("gateway", "keys", "add", "web", "--owner", "ada", "--owner", "bob", *file)
    assert 0 == code
    assert KeyFile(tmp_path / "keys.json").key_of(made.strip()) is not None
    code, listed, _ = await _command("gateway", "keys", "list", "--json", *file)
    assert [("web", ["ada", "bob"])] == [(key["name"], key["owners"]) for key in json.loads(listed)]
    assert "sha256" not in listed
    assert 5 == (await _command("gateway", "keys", "add", "web", "--owner", "ada", *file))[0]
    assert 0 == (await _command("gateway", "keys", "remove", "web", *file))[0]
    assert "[]" == (await _command("gateway", "keys", "list", "--json", *file))[1].strip()
    assert 2 == (await _command("gateway", "keys", "list"))[0]


async def test_a_key_is_needed_and_its_end_is_the_next_request(guarded: tuple[Gateway, KeyFile]) -> None:
    door, keys = guarded
    secret = keys.add("web", ["ada"])
    for given in [None, "none", secret + "x", secret.upper(), "", "sk-sessions-"]:
        refused = await door.send("GET", "/v1/models", given)
        assert (401, "invalid_api_key") == (refused.status_code, refused.json()["error"]["code"])
    assert 401 == (await door.send("GET", "/v1/models", headers={"authorization": f"Basic {secret}"})).status_code
    assert 200 == (await door.send("GET", "/v1/models", secret)).status_code
    assert 200 == (await door.send("GET", "/healthz")).status_code
    keys.remove("web")
    assert 401 == (await door.send("GET", "/v1/models", secret)).status_code
    assert secret not in door.log
    assert "key=web" in door.log


async def test_a_foreign_session_is_answered_like_an_unknown_one(
    guarded: tuple[Gateway, KeyFile], harness: Harness
) -> None:
    door, keys = guarded
    ada, bob, both = keys.add("ada", ["ada"]), keys.add("bob", ["bob"]), keys.add("both", ["bob", "ada"])
    theirs = await door.client(ada).responses.create(input="What colour is a banana?")
    conversation = (await door.client(ada).conversations.create(metadata={"topic": "fruit"})).id
    unowned = (await harness.open()).id
    for path in [f"/v1/conversations/{conversation}", f"/v1/conversations/{unowned}"]:
        foreign = await door.send("GET", path, bob)
        unknown = await door.send("GET", "/v1/conversations/" + "x" * len(path.rpartition("/")[2]), bob)
        name = path.rpartition("/")[2]
        assert 404 == foreign.status_code
        assert foreign.text.replace(name, "") == unknown.text.replace("x" * len(name), "")
    for method, path in [
        ("GET", f"/v1/responses/{theirs.id}"),
        ("POST", f"/v1/responses/{theirs.id}/cancel"),
        ("DELETE", f"/v1/responses/{theirs.id}"),
        ("GET", f"/v1/conversations/{conversation}/items"),
        ("DELETE", f"/v1/conversations/{conversation}"),
    ]:
        assert 404 == (await door.send(method, path, bob)).status_code
    for body in [{"conversation": conversation}, {"previous_response_id": theirs.id}]:
        refused = await door.send("POST", "/v1/responses", bob, json={"input": "How big is the sun?", **body})
        assert refused.status_code in {400, 404}
    assert "completed" == (await door.client(both).responses.retrieve(theirs.id)).status
    assert {"topic": "fruit"} == (await door.client(ada).conversations.retrieve(conversation)).metadata


async def test_a_new_session_belongs_to_the_keys_first_owner_or_the_one_that_is_asked_for(
    guarded: tuple[Gateway, KeyFile], harness: Harness
) -> None:
    door, keys = guarded
    secret, anybody = keys.add("both", ["ada", "bob"]), keys.add("any", ["*"])

    async def owner(key: str, **headers: str) -> str | None:
        made = await door.client(key).conversations.create(extra_headers=headers)
        return (await harness.client.get(made.id).snapshot()).config.owner

    assert "ada" == await owner(secret)
    assert "bob" == await owner(secret, **{"X-Sessions-Owner": "bob"})
    assert "cy" == await owner(anybody, **{"X-Sessions-Owner": "cy"})
    assert await owner(anybody) is None
    with pytest.raises(openai.PermissionDeniedError):
        await owner(secret, **{"X-Sessions-Owner": "cy"})


async def test_an_owner_that_a_namespace_cannot_show_is_asked_of_the_session(
    server: Server, elsewhere: Harness, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    ada, bob = keys.add("ada", ["ada"]), keys.add("bob", ["bob"])
    async with elsewhere.worker(search_attributes=False):
        session = await elsewhere.open(Config(owner="ada"))
        async with gateway(server, elsewhere, "--keys", str(tmp_path / "keys.json")) as door:
            assert 200 == (await door.send("GET", f"/v1/conversations/{session.id}", ada)).status_code
            assert 404 == (await door.send("GET", f"/v1/conversations/{session.id}", bob)).status_code


async def test_a_key_that_calls_too_often_waits_and_others_do_not(
    server: Server, harness: Harness, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    often, other = keys.add("often", ["ada"]), keys.add("other", ["ada"])
    async with gateway(server, harness, "--keys", str(tmp_path / "keys.json"), rate="0.001", burst="3") as door:
        codes = [(await door.send("GET", "/v1/models", often)).status_code for _ in range(5)]
        assert [200, 200, 200, 429, 429] == codes
        refused = await door.send("GET", "/v1/models", often)
        assert "rate_limit_exceeded" == refused.json()["error"]["code"]
        assert int(refused.headers["retry-after"]) >= 1
        assert 200 == (await door.send("GET", "/v1/models", other)).status_code


async def test_pages_of_other_origins_may_not_call_unless_they_are_named(server: Server, harness: Harness) -> None:
    page = {"origin": "https://chat.example.com", "access-control-request-method": "POST"}
    async with gateway(server, harness) as door:
        for method, path in [("POST", "/v1/responses"), ("DELETE", "/v1/responses/x"), ("OPTIONS", "/v1/responses")]:
            answer = await door.send(method, path, headers=page)
            assert "access-control-allow-origin" not in answer.headers
            assert method == "OPTIONS" or 403 == answer.status_code
        own = {"origin": door.url, "content-type": "text/plain"}
        assert 415 == (await door.send("POST", "/v1/responses", headers=own, content="{}")).status_code
        assert 421 == (await door.send("GET", "/v1/models", headers={"host": "evil.example.com"})).status_code
        assert 200 == (await door.send("GET", "/v1/models", headers={"host": "localhost:80"})).status_code
    async with gateway(server, harness, origins="https://chat.example.com") as door:
        asked = await door.send("OPTIONS", "/v1/responses", headers=page)
        assert (204, page["origin"]) == (asked.status_code, asked.headers["access-control-allow-origin"])
        assert 400 == (await door.send("POST", "/v1/responses", headers=page, json={})).status_code
        other = await door.send("GET", "/v1/models", headers={"origin": "https://other.example.com"})
        assert "access-control-allow-origin" not in other.headers


async def test_it_ends_in_good_order_and_lets_requests_under_way_end(server: Server, harness: Harness) -> None:
    session = await harness.open()
    async with gateway(server, harness) as door:
        under_way = asyncio.create_task(
            door.client().responses.create(model="Late", input="raise", conversation=session.id)
        )
        async with asyncio.timeout(WAIT):
            while (await session.snapshot()).running is None:
                pass
        assert 0 == await door.end(signal.SIGTERM)
        assert "failed" == (await under_way).status


async def test_a_taken_port_is_said_in_a_line(server: Server, harness: Harness) -> None:
    async with gateway(server, harness) as door:
        port = door.url.rpartition(":")[2]
        code, _, errors = await _command("gateway", "--port", port, TEMPORAL_ADDRESS=server.address)
        assert 2 == code
        assert f"cannot listen on 127.0.0.1 port {port}" in errors
