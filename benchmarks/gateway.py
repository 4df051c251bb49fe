"""What the gateway adds to the direct client, and a hundred open streams on one process of it."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from benchmarks.command import options, progress, run
from benchmarks.completions import ANSWER_SECONDS
from benchmarks.contest import QUESTION
from benchmarks.figures import Figure, percentile, show
from benchmarks.processes import WorkerProcess, cpu_seconds, database_server, resident_mib, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from starter.dev_server import LOOPBACK, free_port
from starter.gateway.openai.ids import RESPONSE, Ref

QUEUE = "gateway"


@dataclass(frozen=True)
class Size:
    """Questions in a row, each way; streams that are open at once, and the seconds they are."""

    questions: int = 100
    streams: int = 100
    seconds: int = 20


WHOLE, QUICK = Size(), Size(questions=25, seconds=8)


async def main(size: Size, *, as_json: bool) -> int:
    """Measure and report."""
    async with database_server() as server:
        port = free_port()
        worker = WorkerProcess(server.address, QUEUE)
        gateway = WorkerProcess(
            server.address,
            QUEUE,
            "starter",
            settings={"SESSIONS_GATEWAY_RATE": "10000", "SESSIONS_GATEWAY_BURST": "10000"},
            arguments=("gateway", "--port", str(port)),
        )
        async with serving(worker, gateway), _client(port) as client:
            sessions = SessionClient(await connect(server.address), QUEUE)
            found = await first_text(sessions, client, size)
            found += await open_streams(sessions, client, size, gateway.pid)
    show(f"{size.questions} questions, {size.streams} streams", found, as_json=as_json)
    return 0


@asynccontextmanager
async def _client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, which listens by then."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", timeout=ANSWER_SECONDS, limits=limits) as client:
        async with asyncio.timeout(ANSWER_SECONDS):
            while not await _listens(client):  # noqa: ASYNC110 (another process has no event)
                await asyncio.sleep(0.05)
        yield client


async def _listens(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).is_success
    except httpx.HTTPError:
        return False


async def first_text(sessions: SessionClient, client: httpx.AsyncClient, size: Size) -> list[Figure]:
    """The same question in the same session, by the direct client and through the gateway, in alternation."""
    session = await sessions.open(f"asked-{uuid.uuid4().hex[:12]}")
    for _ in range(5):
        await _direct(session)
        await _streamed(client, session)
    progress("questions")
    direct: list[float] = []
    first: list[float] = []
    text: list[float] = []
    whole: list[float] = []
    for _ in range(size.questions):
        direct.append(await _direct(session))
        seen = await _streamed(client, session)
        first.append(seen[0])
        text.append(seen[1])
        whole.append(await _answered(client, session))
    return [
        *_milliseconds("direct_answer", direct),
        *_milliseconds("gateway_first_byte", first),
        *_milliseconds("gateway_first_text", text),
        *_milliseconds("gateway_answer", whole),
        Figure("first_text_over_direct_p50_ms", 1_000 * (percentile(text, 0.5) - percentile(direct, 0.5))),
        Figure("answer_over_direct_p50_ms", 1_000 * (percentile(whole, 0.5) - percentile(direct, 0.5))),
    ]


async def _direct(session: Session) -> float:
    started = time.perf_counter()
    await session.ask(QUESTION, wait=ANSWER_SECONDS)
    return time.perf_counter() - started


async def _streamed(client: httpx.AsyncClient, session: Session) -> tuple[float, float]:
    """Seconds until the first byte of a stream, and until the first text of it."""
    started, first, text = time.perf_counter(), 0.0, 0.0
    body = {"input": QUESTION, "conversation": session.id, "stream": True}
    async with client.stream("POST", "/v1/responses", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            first = first or time.perf_counter() - started
            if "output_text.delta" in line:
                text = text or time.perf_counter() - started
    return first, text


async def _answered(client: httpx.AsyncClient, session: Session) -> float:
    started = time.perf_counter()
    answer = await client.post("/v1/responses", json={"input": QUESTION, "conversation": session.id})
    answer.raise_for_status()
    return time.perf_counter() - started


async def open_streams(sessions: SessionClient, client: httpx.AsyncClient, size: Size, gateway: int) -> list[Figure]:
    """Streams that are open at once on one process, and what another request then takes."""
    progress(f"{size.streams} streams")
    paths = []
    for number in range(size.streams):
        session = await sessions.open(f"stream-{number}-{uuid.uuid4().hex[:12]}")
        task_id = await session.submit(size.seconds, kind="Countdown")
        paths.append(f"/v1/responses/{Ref(session.id, task_id).id(RESPONSE)}?stream=true")
    memory, used, began = resident_mib(gateway), cpu_seconds(gateway), time.perf_counter()
    streams = [asyncio.create_task(_to_its_end(client, path)) for path in paths]
    others: list[float] = []
    while not all(stream.done() for stream in streams):
        started = time.perf_counter()
        (await client.get("/v1/models")).raise_for_status()
        others.append(time.perf_counter() - started)
        await asyncio.sleep(0.1)
    lasted = time.perf_counter() - began
    return [
        Figure("streams_completed", sum(stream.result() for stream in streams)),
        Figure("streams_cpu_share", (cpu_seconds(gateway) - used) / lasted),
        Figure("streams_mib_more", resident_mib(gateway) - memory),
        *_milliseconds("another_request", others),
    ]


async def _to_its_end(client: httpx.AsyncClient, path: str) -> bool:
    """Whether a stream came to the end of its response."""
    last = ""
    async with client.stream("GET", path) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            last = line if line.startswith("data: ") else last
    return bool(json.loads(last.removeprefix("data: "))["type"] == "response.completed")


def _milliseconds(name: str, seconds: Sequence[float]) -> list[Figure]:
    return [
        Figure(f"{name}_p50_ms", 1_000 * percentile(seconds, 0.5)),
        Figure(f"{name}_p95_ms", 1_000 * percentile(seconds, 0.95)),
    ]


if __name__ == "__main__":
    given = options("benchmarks.gateway", __doc__).parse_args()
    run(main(QUICK if given.quick else WHOLE, as_json=given.json))
