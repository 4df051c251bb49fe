"""Kills workers and the server at random moments, as a crash would, and starts them again."""

import asyncio
import time
from random import Random

from benchmarks.chaos.log import KILLED, RESTARTED, Log
from benchmarks.command import progress
from benchmarks.processes import WorkerProcess
from starter.dev_server import DevServer

VICTIMS = ("first worker", "second worker", "both workers", "server", "server", "everything")
"""Who is killed: all of these in a random order, then all again."""

AWAY_SECONDS = 2.0
"""The longest that a victim stays away."""


class Killer:
    """Owns the processes of a run."""

    def __init__(self, server: DevServer, workers: list[WorkerProcess], log: Log, chance: Random) -> None:
        self._server = server
        self._workers = workers
        self._log = log
        self._chance = chance
        self._deck: list[str] = []

    async def start(self) -> None:
        """Start everything."""
        await self._server.start()
        for worker in self._workers:
            await worker.start()

    async def stop(self) -> None:
        """End everything."""
        for worker in self._workers:
            await worker.kill()
        self._server.stop()

    async def rage(self, pause: float, span: float) -> None:
        """Kill about every `pause` seconds for `span` seconds; everything is up again afterwards.

        Raises RuntimeError where a worker ended that nobody killed.
        """
        end = time.monotonic() + span
        while time.monotonic() < end:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * pause)
            await self._strike()
        self._check()

    async def _strike(self) -> None:
        self._check()
        if not self._deck:
            self._deck = self._chance.sample(VICTIMS, len(VICTIMS))
        name = self._deck.pop()
        progress(f"kills {name}")
        chosen = {"first worker": self._workers[:1], "second worker": self._workers[1:], "server": []}
        workers = chosen.get(name, self._workers)
        hits_server = name in {"server", "everything"}
        if hits_server:
            self._server.kill()
            self._log.note(KILLED)
        for worker in workers:
            await worker.kill()
            self._log.note(KILLED)
        await asyncio.sleep(self._chance.uniform(0, AWAY_SECONDS))
        if hits_server:
            await self._server.start()
        for worker in workers:
            await worker.start()
        self._log.note(RESTARTED)

    def _check(self) -> None:
        """Raise RuntimeError where a worker ended that nobody killed."""
        if not all(worker.running for worker in self._workers):
            raise RuntimeError("a worker ended by itself")
