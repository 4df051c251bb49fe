"""Callbacks: others are told of a session's events, signed, at least once, and never at the expense of a task.

Long: what a session decides, what a worker lets out and what arrives are one promise.
"""

import asyncio
import ipaddress
import itertools
import json
import logging
import re
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import WebhookVerificationError
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment

from activities import notify
from activities.notify import Delivery, NotifyActivities, allowed_hosts, public, signing_secrets
from starter.client import Session
from starter.client.connection import connect
from starter.client.erasure import Erasure
from starter.client.overview import Overview
from starter.dev_server import EARLY
from starter.serving.settings import Settings, SettingsError
from tests import canary
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, hand_overs, once_started, run_task, snapshot_when
from tests.receivers import HANG, SECRET, Receiver
from tests.servers import NO_LISTS, Server, own_server, running
from tests.test_crashes import WorkerProcess, stopping
from workflows.contract import (
    CloseRequest,
    Config,
    ConfigureRequest,
    Notify,
    TaskOutput,
    TaskRequest,
    WaitingNotice,
    notification_id,
)
from workflows.state.session_state import SessionState
from workflows.temporal.telling import Telling
from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.notifications import Notice
from workflows.wire.validation import parsed

PAGE = (Path(__file__).resolve().parents[1] / "docs/callbacks.md").read_text()
NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)
ALL = ["task", "question", "budget", "close"]
EVENTS_A_NOTIFICATION = 9
"""Of a session, at most: two of the child's start, one of its end, and three for each of the two times it is woken."""

EVENTS_A_RUN = 60
"""The server suggests continue-as-new from here: every three tasks that are told of."""


@pytest.fixture(scope="module")
async def tiny_runs() -> AsyncIterator[Server]:
    async with running(own_server({EARLY: EVENTS_A_RUN})) as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@asynccontextmanager
async def telling(server: Server, *receivers: Receiver, secret: str = SECRET) -> AsyncIterator[Harness]:
    """A worker that may tell those receivers; afterwards all that ran on it is replayed."""
    harness = Harness(await connect(server.address))
    hosts = ",".join(receiver.host for receiver in receivers)
    async with harness.worker(notifier=NotifyActivities(hosts, secret)):
        yield harness
    await harness.replay_all()


def to(receiver: Receiver, *on: str) -> dict[str, Any]:
    return {"url": receiver.url, "on": [*on] or ALL}


def config(receiver: Receiver, *on: str, **more: Any) -> Config:
    return Config.model_validate({"default_kind": "Return", "notify": to(receiver, *on), **more})


async def told_of(session: Session, number: int) -> str | None:
    """How the notification from that number on ended: its error, if it has one."""
    try:
        await once_started(session.temporal.get_workflow_handle(notification_id(session.id, number)).result)
    except WorkflowFailureError as failure:
        return getattr(failure.cause, "type", repr(failure.cause))
    return None


# --- what a session decides -------------------------------------------------------------------------------------------


def opened(**settings: Any) -> SessionState:
    return SessionState(session_id="s", config=Config.model_validate(settings), started_at=NOW)


def started(state: SessionState, task_id: str, **options: Any) -> None:
    state.submit(TaskRequest.model_validate({"task_id": task_id, "input": 1, **options}), NOW)
    task = state.next_task(NOW)
    assert task
    state.start(task, NOW)


def taken(state: SessionState) -> list[Notice]:
    return state.outbox.batch(NOW)


NOTIFY = {"url": "https://hooks.example.com/a", "on": ALL}


def test_a_session_without_notify_carries_and_tells_nothing_more() -> None:
    state = opened()
    started(state, "a")
    state.complete(TaskOutput(output=1), NOW)
    state.close(CloseRequest(), NOW)
    state.tell_close()
    dumped = json.dumps(state.model_dump(mode="json", exclude_none=True))
    assert ([], False, False) == (taken(state), "notify" in dumped, "told" in dumped)


def test_only_what_is_asked_for_is_told_and_only_that_has_a_number() -> None:
    state = opened(notify={**NOTIFY, "on": ["close"]})
    started(state, "a")
    state.complete(TaskOutput(output=1), NOW)
    state.close(CloseRequest(reason="enough"), NOW)
    state.tell_close()
    [notice] = taken(state)
    assert (1, "close", "drain", "enough") == (notice.number, notice.type, notice.data["mode"], notice.data["reason"])
    assert 1 == notice.data["counters"]["completed"]


def test_a_tasks_own_notify_stands_for_the_sessions_and_only_for_its_own_events() -> None:
    state = opened(notify=NOTIFY, budget={"tokens": 1})
    started(state, "a", notify={"url": "https://own.example.com/", "on": ["task", "budget"]})
    question = {"id": "q", "text": "Really?"}
    state.wait(WaitingNotice.model_validate({"task_id": "a", "question": question}))
    state.complete(TaskOutput(output=1, usage={"tokens": 2}), NOW)
    told = [(notice.number, notice.type, notice.url) for notice in taken(state)]
    assert [(1, "task", "https://own.example.com/"), (2, "budget", NOTIFY["url"])] == told


def test_a_question_that_is_asked_again_is_told_once() -> None:
    state = opened(notify=NOTIFY)
    started(state, "a")
    for text in ("Really?", "Really?", "Sure?"):
        question = {"id": "q", "text": text}
        state.wait(WaitingNotice.model_validate({"task_id": "a", "question": question}))
    assert ["Really?", "Sure?"] == [notice.data["question"]["text"] for notice in taken(state)]


def test_a_budget_is_told_once_until_it_is_reached_again() -> None:
    state = opened(notify={**NOTIFY, "on": ["budget"]}, budget={"tokens": 2, "calls": 9})
    started(state, "a")
    state.complete(TaskOutput(output=1, usage={"tokens": 3}), NOW)
    for tokens in (1, 9):
        state.configure(ConfigureRequest.model_validate({"budget": {"tokens": tokens}}), NOW)
    state.resume()
    state.configure(ConfigureRequest.model_validate({"budget": {"tokens": 3}}), NOW)
    assert [{"tokens": {"used": 3, "budget": number}} for number in (2, 3)] == [n.data["reached"] for n in taken(state)]


def test_a_large_output_is_left_out_and_the_record_says_so() -> None:
    state = opened(notify=NOTIFY)
    for size in (limits.NOTICE_OUTPUT_BYTES - 2, limits.NOTICE_OUTPUT_BYTES - 1):
        started(state, f"t{size}")
        state.complete(TaskOutput(output="x" * size), NOW)
    fits, left_out = (notice.data["task"] for notice in taken(state))
    assert ("x" * (limits.NOTICE_OUTPUT_BYTES - 2), False) == (fits["output"], fits["truncated"])
    assert (None, True) == (left_out["output"], left_out["truncated"])


def test_many_events_at_once_are_told_in_shares_by_number_and_by_bytes() -> None:
    state = opened(notify=NOTIFY)
    for number in range(limits.NOTICES_AT_ONCE + 2):
        state.submit(TaskRequest(task_id=f"w{number}", input=1), NOW)
    state.close(CloseRequest(mode="discard"), NOW)
    assert (limits.NOTICES_AT_ONCE, 2, 0) == (len(taken(state)), len(taken(state)), len(taken(state)))
    assert limits.NOTICES_AT_ONCE + 2 == state.told
    for _ in range(3):
        state.outbox.add(1, "task", NOTIFY["url"], {"x": "x" * (limits.NOTICES_BYTES // 2)})  # type: ignore[arg-type]
    assert [1, 1, 1, 0] == [len(taken(state)) for _ in range(4)]


@pytest.mark.parametrize(
    ("notify", "why"),
    [
        ({"url": "https://a.example/"}, "on"),
        ({"url": "https://a.example/", "on": []}, "on"),
        ({"url": "https://a.example/", "on": ["everything"]}, "on"),
        ({"url": "https://a.example/", "on": ["task"], "secret": "x"}, "secret"),
        ({"url": "ftp://a.example/", "on": ["task"]}, "must be https://"),
        ({"url": "https://a.example/ä", "on": ["task"]}, "must be https://"),
        ({"url": "https://a.example/\r\nx: y", "on": ["task"]}, "must be https://"),
        ({"url": "https://sesame:open@a.example/", "on": ["task"]}, "no user and password"),
        ({"url": "https://a.example:99999/", "on": ["task"]}, "cannot be read"),
        ({"url": "https://:443/", "on": ["task"]}, "no host"),
        ({"url": "https://a.example/#here", "on": ["task"]}, "behind a #"),
        ({"url": "https://a.example/" + "x" * 512, "on": ["task"]}, "512 bytes"),
    ],
)
def test_a_notify_that_does_not_fit_is_refused_without_its_url(notify: Any, why: str) -> None:
    for model, body in ((Config, {}), (TaskRequest, {"task_id": "a", "input": 1})):
        with pytest.raises(SessionError, match=r"^InvalidRequest: notify\.") as refusal:
            parsed(model, {**body, "notify": notify})
        assert why in str(refusal.value)
        assert "sesame" not in str(refusal.value)


# --- what a worker lets out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)
def test_an_address_inside_the_network_is_not_public(address: str) -> None:
    assert not public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert public(ipaddress.ip_address(address))


async def attempt(hosts: str, url: str, secrets: str = SECRET) -> str | None:
    """The error of one attempt; none where it was delivered."""
    delivery = Delivery(id="msg_1", url=url, body={"type": "task"})
    try:
        await ActivityEnvironment().run(NotifyActivities(hosts, secrets).deliver, delivery)
    except ApplicationError as error:
        told = "told the URL" if "sesame" in str(error) else error.type
        return f"{told} {'final' if error.non_retryable else 'again'}"
    return None


@pytest.mark.parametrize(
    ("hosts", "url", "error"),
    [
        ("", "https://hooks.example.com/sesame", "NotifyHostNotAllowed final"),
        ("example.com", "https://hooks.example.com/sesame", "NotifyHostNotAllowed final"),
        ("hooks.example.com", "http://hooks.example.com/sesame", "NotifyHostNotAllowed final"),
        ("hooks.example.com:80", "http://hooks.example.com/sesame", "NotifyHostNotAllowed final"),
        ("hooks.example.com", "https://hooks.example.com:8443/", "NotifyHostNotAllowed final"),
        ("127.0.0.1:9", "http://localhost:9/", "NotifyHostNotAllowed final"),
        ("127.0.0.1:9", "http://127.0.0.2:9/", "NotifyHostNotAllowed final"),
        ("localhost", "https://localhost/sesame", "NotifyAddressNotAllowed final"),
        ("127.0.0.1:9", "http://127.0.0.1:9/sesame", "NotifyUnreachable again"),
    ],
)
async def test_an_attempt_at_what_is_not_allowed_ends_by_name(hosts: str, url: str, error: str) -> None:
    assert error == await attempt(hosts, url)


async def test_a_name_with_one_private_address_among_its_addresses_is_refused() -> None:
    assert "93.184.216.34" == notify.checked_address("a", ["93.184.216.34", "2606:4700::1111"])
    with pytest.raises(ApplicationError, match="not public"):
        notify.checked_address("a", ["93.184.216.34", "10.0.0.1"])


async def test_a_connection_goes_to_the_address_that_was_looked_at_in_the_name_of_its_host(receiver: Receiver) -> None:
    plain = urlsplit(f"http://hooks.example.com:{receiver.port}/told?by=sessions")
    head = NotifyActivities(receiver.host, SECRET)._headers("msg_1", "{}")
    assert 200 == await notify._post(plain, "127.0.0.1", receiver.port, head, "{}")
    [(path, headers)] = receiver.requests
    assert ("/told?by=sessions", f"hooks.example.com:{receiver.port}") == (path, headers["host"])


async def test_a_receiver_has_to_show_a_certificate_of_its_name(tmp_path: Path) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_of("hooks.example.com", tmp_path))
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with Receiver(tls=context) as receiver:
        secure = urlsplit(f"https://hooks.example.com:{receiver.port}/")
        with pytest.raises(ApplicationError, match=r"^NotifyUnreachable: hooks.example.com: ConnectError"):
            await notify._post(secure, "127.0.0.1", receiver.port, {}, "{}")
        assert (["hooks.example.com"], []) == (asked, receiver.requests)


def certificate_of(name: str, folder: Path) -> Path:
    """A certificate that its owner has signed, which nobody trusts, and its key."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begun = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, begun, begun + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    as_is = serialization.NoEncryption()
    written = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, as_is)
    place = folder / "certificate.pem"
    place.write_bytes(written + certificate.public_bytes(serialization.Encoding.PEM))
    return place


async def test_all_secrets_sign_the_newest_first_and_without_one_nothing_leaves(receiver: Receiver) -> None:
    newer = "whsec_" + "A" * 32
    assert await attempt(receiver.host, receiver.url, f"{newer}, {SECRET}") is None
    [(path, headers)] = receiver.requests
    assert ("/told?by=sessions", "msg_1", receiver.host) == (path, headers["webhook-id"], headers["host"])
    assert 2 == len(set(headers["webhook-signature"].split(" ")))
    assert "NotifySecretMissing again" == await attempt(receiver.host, receiver.url, "")
    assert 1 == len(receiver.requests)


@pytest.mark.parametrize("package", ["httpx", "standardwebhooks"])
async def test_a_worker_without_the_extra_says_how_to_install_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert "NotifyExtraMissing again" == await attempt(receiver.host, receiver.url)
    assert "pip install 'durable-sessions[notify]'" in notify._extra_missing().message


async def test_a_receiver_that_is_gone_is_not_asked_again_and_any_other_answer_is(receiver: Receiver) -> None:
    receiver.statuses.extend((410, 301, 500, 404, 204))
    ends = [await attempt(receiver.host, receiver.url) for _ in range(5)]
    again = "NotifyRefused again"
    assert ["NotifyGone final", again, again, again, None] == ends
    assert {"/told?by=sessions"} == {path for path, _ in receiver.requests}


async def test_a_receiver_that_hangs_holds_a_few_attempts_and_no_more(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "NOTIFY_ATTEMPTS_AT_ONCE", 2)
    receiver.always = HANG
    worker = NotifyActivities(receiver.host, SECRET)
    delivery = Delivery(id="msg_1", url=receiver.url, body={})
    hanging = [asyncio.create_task(ActivityEnvironment().run(worker.deliver, delivery)) for _ in range(2)]
    await receiver.until(lambda: len(receiver.requests) == 2)
    with pytest.raises(ApplicationError, match="are under way") as busy:
        await ActivityEnvironment().run(worker.deliver, delivery)
    assert busy.value.next_retry_delay
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    receiver.always = 200
    assert 200 == await ActivityEnvironment().run(worker.deliver, delivery)


def test_settings_of_notifications_are_checked_and_the_secret_is_shown_by_nothing() -> None:
    assert "whsec_" not in repr(Settings(notify_secret=SECRET))
    assert [SECRET] == signing_secrets(SECRET)
    assert ["a.example", "127.0.0.1", "::1"] == [one.host for one in allowed_hosts("A.example, 127.0.0.1:80,[::1]:80")]
    for name, text in (
        ("HOSTS", "https://a.example/"),
        ("HOSTS", "a,,b"),
        ("SECRET", "sesame"),
        ("SECRET", "whsec_c2Vz"),
    ):
        with pytest.raises(SettingsError, match=f"^SESSIONS_NOTIFY_{name} is .*; it must") as refusal:
            Settings.from_environment({f"SESSIONS_NOTIFY_{name}": text})
        assert (name == "HOSTS") == (text in str(refusal.value))


async def test_the_receiver_of_the_page_takes_what_is_signed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 (our own page)
    monkeypatch.setenv("SESSIONS_NOTIFY_SECRET", SECRET)
    body = '{"type": "task", "data": {"number": 7}}'
    async with httpx.AsyncClient(transport=httpx.ASGITransport(names["app"]), base_url="http://r.example") as client:
        signed = NotifyActivities("", SECRET)._headers("msg_1", body)
        assert 204 == (await client.post("/sessions", content=body, headers=signed)).status_code
        with pytest.raises(WebhookVerificationError):
            await client.post("/sessions", content=body + " ", headers=signed)
    assert "7 task\n" == capsys.readouterr().out


def test_the_page_names_every_error() -> None:
    errors = {value for value in vars(notify).values() if isinstance(value, str) and value.startswith("Notify")}
    assert errors == set(re.findall(r"^\| `(Notify\w+)` \|", PAGE, re.MULTILINE))


# --- on a server ------------------------------------------------------------------------------------------------------


async def test_each_event_is_told_signed_and_in_a_row_of_numbers_over_hand_overs(
    tiny_runs: Server, receiver: Receiver
) -> None:
    async with telling(tiny_runs, receiver) as harness:
        session = await harness.open(config(receiver, budget={"tokens": 5}))
        for number in range(6):
            await run_task(session, {"output": number}, task_id=f"t{number}")
        asks = await session.submit("deploy", kind="Approve", task_id="asks")
        await snapshot_when(session, lambda s: s.status == "waiting")
        await session.respond(asks, "no")
        await session.result(asks, WAIT)
        await run_task(session, {"output": 1, "usage": {"tokens": 6}}, task_id="dear")
        await session.close(reason="enough")
        final = await session.finished(WAIT)
        await receiver.until(lambda: len(receiver.numbers()) == 11)
        assert await hand_overs(session) >= 1
    assert list(range(1, 12)) == receiver.numbers()
    assert {session.id} == {body["data"]["session_id"] for body in receiver.taken}
    in_order = sorted(receiver.of("task"), key=lambda data: data["number"])  # requests may overtake each other
    records = {data["task"]["task_id"]: data["task"] for data in in_order}
    assert [*(f"t{number}" for number in range(6)), "asks", "dear"] == list(records)
    assert [("completed", number) for number in range(6)] == [
        (records[f"t{number}"]["status"], records[f"t{number}"]["output"]) for number in range(6)
    ]
    [question], [budget], [close] = receiver.of("question"), receiver.of("budget"), receiver.of("close")
    assert ("asks", "deploy?", ["yes", "no"]) == (
        question["task_id"],
        question["question"]["text"],
        question["question"]["choices"],
    )
    assert {"tokens": {"used": 6, "budget": 5}} == budget["reached"]
    assert ("drain", "enough", 8) == (close["mode"], close["reason"], close["counters"]["completed"])
    assert ("closed", 11) == (final.status, close["number"])


async def test_a_notification_is_tried_until_it_is_taken_under_the_same_id(
    tiny_runs: Server, receiver: Receiver
) -> None:
    receiver.statuses.extend((500, 301))
    async with telling(tiny_runs, receiver) as harness:
        session = await harness.open(config(receiver))
        await run_task(session, {"output": 1})
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert await told_of(session, 1) is None
    assert 3 == len(receiver.requests)
    assert {"/told?by=sessions"} == {path for path, _ in receiver.requests}
    assert 1 == len({headers["webhook-id"] for _, headers in receiver.requests})
    assert 1 == len({json.dumps(body) for body in receiver.bodies})


async def test_a_notification_that_nobody_may_send_ends_by_name_and_its_task_is_whole(
    tiny_runs: Server, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    async with telling(tiny_runs) as harness:
        session = await harness.open(config(receiver))
        with caplog.at_level(logging.ERROR):
            record = await run_task(session, {"output": 1})
            assert "NotifyHostNotAllowed" == await told_of(session, 1)
            assert "a notification is given up: NotifyHostNotAllowed" in caplog.text
        assert ("completed", 1) == (record.status, record.output)
        assert 2 == (await run_task(session, {"output": 2})).output
        assert "NotifyHostNotAllowed" == await told_of(session, 2)
    assert [] == receiver.requests


async def test_a_receiver_that_hangs_delays_no_task_and_no_close(tiny_runs: Server, receiver: Receiver) -> None:
    receiver.always = HANG
    async with telling(tiny_runs, receiver) as harness:
        session = await harness.open(config(receiver))
        for number in range(4):
            assert number == (await run_task(session, {"output": number})).output
        await session.close()
        assert "closed" == (await session.finished(WAIT)).status
        await receiver.until(lambda: len(receiver.requests) >= 5)
        assert [] == receiver.taken
        await receiver.stop()  # a worker that ends lets go on what hangs
        for number in range(1, 6):
            await session.temporal.get_workflow_handle(notification_id(session.id, number)).terminate()


async def test_what_comes_while_the_close_is_told_is_answered(
    tiny_runs: Server, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Telling._start

    async def slowly(telling: Telling, notices: list[Notice]) -> None:
        await asyncio.sleep(2.0 * SLOWNESS)
        await start(telling, notices)

    monkeypatch.setattr(Telling, "_start", slowly)
    monkeypatch.setattr(limits, "MESSAGES_AT_ONCE", 1)
    monkeypatch.setattr(limits, "BACKLOG_PAUSE_SECONDS", 0.1)
    async with telling(tiny_runs, receiver) as harness:
        session = await harness.open(config(receiver, "close"))
        await run_task(session, {"output": 1})  # what a session does first would take them before its end
        await session.close("now")
        await snapshot_when(session, lambda s: s.status == "closed")
        handle = session.temporal.get_workflow_handle(session.id)
        for number in range(5):
            await handle.signal("submit", {"task_id": f"late-{number}", "input": 1})
        assert "ada" == (await session.configure(owner="ada")).owner
        final = await session.finished(WAIT)
    assert ("closed", 5) == (final.status, final.counters.rejected)


@pytest.mark.not_on_test_server("it cannot list workflows (UNIMPLEMENTED)")
async def test_a_notification_under_way_is_no_task_to_who_watches_all_sessions(
    server: Server, receiver: Receiver
) -> None:
    receiver.always = HANG
    async with telling(server, receiver) as harness:
        session = await harness.open(config(receiver, "task"))
        await run_task(session, {"output": 1})
        await receiver.until(lambda: len(receiver.requests) == 1)
        telling_id = notification_id(session.id, 1)
        async with asyncio.timeout(WAIT):
            while not [e async for e in harness.temporal.list_workflows(f"WorkflowId = '{telling_id}'")]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        overview = Overview(harness.client)
        await anext(overview.rounds())
        assert ("idle", None) == (overview.rows[session.id].status, overview.rows[session.id].task)
        await session.close()
        await receiver.stop()
        await session.temporal.get_workflow_handle(telling_id).terminate()


async def test_a_notification_outlives_its_worker_its_receiver_and_its_session(
    tiny_runs: Server, receiver: Receiver
) -> None:
    receiver.always = HANG
    harness = Harness(await connect(tiny_runs.address))
    notifier = NotifyActivities(receiver.host, SECRET)
    async with harness.worker(notifier=notifier):
        session = await harness.open(config(receiver, "close"))
        await session.close()
        await session.finished(WAIT)
        await receiver.until(lambda: len(receiver.requests) == 1)
        await receiver.stop()
    receiver.always = 200
    async with harness.worker(notifier=notifier):
        await receiver.start(receiver.port)
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert await told_of(session, 1) is None
    await harness.replay_all()
    assert [1] == [body["data"]["number"] for body in receiver.taken]
    assert 1 == len({headers["webhook-id"] for _, headers in receiver.requests})


@pytest.mark.rare
async def test_a_worker_that_is_killed_while_it_tells_loses_no_notification(
    tiny_runs: Server, receiver: Receiver
) -> None:
    receiver.always = HANG
    harness = Harness(await connect(tiny_runs.address))
    settings = {"SESSIONS_NOTIFY_HOSTS": receiver.host, "SESSIONS_NOTIFY_SECRET": SECRET}
    worker = WorkerProcess(tiny_runs.address, harness.queue, settings)
    with stopping(worker):
        worker.start()
        session = await harness.open(config(receiver, default_kind="Answer"))
        await run_task(session, "What colour is a banana?", task_id="banana")
        await receiver.until(lambda: len(receiver.requests) == 1)
        worker.kill()
        receiver.always = 200
        worker.start()
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert await told_of(session, 1) is None
    assert ["banana"] == [data["task"]["task_id"] for data in receiver.of("task")]
    assert 1 == len({headers["webhook-id"] for _, headers in receiver.requests})
    await harness.replay_all()


@pytest.mark.rare
async def test_a_cancelled_session_tells_of_its_end_and_of_its_tasks(tiny_runs: Server, receiver: Receiver) -> None:
    async with telling(tiny_runs, receiver) as harness:
        session = await harness.open(config(receiver))
        await session.submit(0, kind="Hang", task_id="a")
        await session.submit(0, kind="Hang", task_id="b")
        await snapshot_when(session, lambda s: s.running is not None)
        await session.temporal.get_workflow_handle(session.id).cancel()
        await receiver.until(lambda: len(receiver.taken) == 3)
    assert {"a", "b"} == {data["task"]["task_id"] for data in receiver.of("task")}
    assert ["now"] == [data["mode"] for data in receiver.of("close")]


@pytest.mark.rare
@pytest.mark.not_on_test_server(NO_LISTS)
async def test_an_erasure_ends_and_removes_what_is_not_delivered(
    server: Server, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.erasure.LAG_SECONDS", 0.3 * SLOWNESS)
    monkeypatch.setattr("starter.client.erasure.LOOK_SECONDS", 0.1 * SLOWNESS)
    receiver.always = 500
    async with telling(server, receiver) as harness:
        session = await harness.open(config(receiver))
        await run_task(session, {"output": 1})
        await receiver.until(lambda: len(receiver.requests) == 1)
        erased = await Erasure(session.temporal, session.id).run()
        assert {"Notification": 1, "Return": 1, "Session": 1} == erased.removed
        with pytest.raises(RPCError):
            await session.temporal.get_workflow_handle(notification_id(session.id, 1)).describe()


@pytest.mark.rare
async def test_what_a_notification_costs_does_not_grow_with_age(server: Server, receiver: Receiver) -> None:
    async with telling(server, receiver) as harness:
        plain, told = await harness.open(Config(default_kind="Return")), await harness.open(config(receiver))
        lengths = []
        for share in range(3):
            for number in range(2):
                for session in (plain, told):
                    await run_task(session, {"output": number})
                await receiver.until(lambda: len(receiver.taken) == 2 * share + number + 1)  # noqa: B023
                assert await told_of(told, 2 * share + number + 1) is None
            lengths.append([await _settled_length(session) for session in (plain, told)])
    grown = [[after - before for before, after in zip(*two, strict=True)] for two in itertools.pairwise(lengths)]
    assert [] == [(plain, told) for plain, told in grown if not 0 < told - plain <= 2 * EVENTS_A_NOTIFICATION]


async def _settled_length(session: Session) -> int:
    """Events of the session's run once it has taken note of the ends of its children."""
    while True:
        found = await session.temporal.get_workflow_handle(session.id).describe()
        raw = found.raw_description
        if not raw.pending_children and not raw.HasField("pending_workflow_task"):
            return found.history_length
        await asyncio.sleep(0.05)


async def test_the_secret_is_in_no_history_and_no_log(
    tiny_runs: Server, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses.extend((500,))
    with caplog.at_level(logging.DEBUG):
        async with telling(tiny_runs, receiver) as harness:
            session = await harness.open(config(receiver))
            await run_task(session, {"output": 1})
            await receiver.until(lambda: len(receiver.taken) == 1)
            assert await told_of(session, 1) is None
            kept = [
                (await session.temporal.get_workflow_handle(name).fetch_history()).to_json()
                for name in (session.id, notification_id(session.id, 1))
            ]
    assert set() == canary.told(SECRET.removeprefix("whsec_"), "\n".join([*kept, caplog.text]))


async def test_notify_is_set_and_cleared_by_configure(tiny_runs: Server, receiver: Receiver) -> None:
    async with telling(tiny_runs, receiver) as harness:
        session = await harness.open(Config(default_kind="Return"))
        await run_task(session, {"output": 1}, task_id="before")
        changed = await session.configure(notify=to(receiver, "task"))
        assert Notify.model_validate(to(receiver, "task")) == changed.notify
        await run_task(session, {"output": 1}, task_id="between")
        assert (await session.configure(notify=None)).notify is None
        await run_task(session, {"output": 1}, task_id="after")
        await run_task(session, {"output": 1}, task_id="own", notify=to(receiver, "task"))
        await receiver.until(lambda: len(receiver.taken) == 2)
    assert {(1, "between"), (2, "own")} == {(data["number"], data["task"]["task_id"]) for data in receiver.of("task")}
