"""2,000 sessions, listed in pages: how long it takes, and that each is there once."""

import asyncio
import sys
import time

from benchmarks import command, figures
from benchmarks.figures import Figure
from starter.client import SessionClient
from starter.client.connection import connect
from starter.dev_server import DevServer

SESSIONS, QUICK_SESSIONS = 2_000, 400
PAGE_SIZE = 100

AT_ONCE = 16
"""Starts under way at the same time: more wait for the server's database anyway."""

NOTED_SECONDS = 60.0
"""How long the visibility store may take to note the last start; it is a fraction of a second."""


async def measured(client: SessionClient, number: int) -> list[Figure]:
    """Start that many sessions and list them. Raises RuntimeError if one is missing or listed twice."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def opened(name: str) -> None:
        async with gate:
            await client.open(name)

    begun = time.perf_counter()
    everyone = [f"session-{n:05}" for n in range(number)]
    await asyncio.gather(*map(opened, everyone))
    started = time.perf_counter() - begun
    command.progress("listing them")
    async with asyncio.timeout(NOTED_SECONDS):
        while (await client.count())["open"] < number:  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.1)
    listed: list[str] = []
    times: list[float] = []
    page: str | None = None
    while page is not None or not times:
        begun = time.perf_counter()
        found = await client.page(PAGE_SIZE, page=page)
        times.append(time.perf_counter() - begun)
        listed += [session.session_id for session in found.sessions]
        page = found.next_page
    if everyone != sorted(listed):
        raise RuntimeError(
            f"{number} sessions were started, {len(listed)} listed, {len(set(listed))} of them different"
        )
    begun = time.perf_counter()
    await client.count()
    counted = time.perf_counter() - begun
    return [
        Figure("sessions", number),
        Figure("start of all s", started),
        Figure(f"list of all in pages of {PAGE_SIZE} s", sum(times)),
        Figure("page p50 ms", 1_000 * figures.percentile(times, 0.5)),
        Figure("page p99 ms", 1_000 * figures.percentile(times, 0.99)),
        Figure("count by status ms", 1_000 * counted),
    ]


async def main() -> int:
    """Measure on a server of its own, in memory; the exit code."""
    options = command.options("benchmarks.listing", __doc__).parse_args()
    server = DevServer(database=None, port=0, ui_port=0, http_port=0)
    try:
        await server.start()
        number = QUICK_SESSIONS if options.quick else SESSIONS
        command.progress(f"starting {number} sessions, without a worker")
        # No worker polls this queue: it is the list that is measured.
        found = await measured(SessionClient(await connect(server.address), "listing"), number)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        server.stop()
    figures.show("Sessions in a list", found, as_json=options.json)
    return 0


if __name__ == "__main__":
    command.run(main())
