"""What a turn costs in a conversation of a thousand turns, and whether its first one is known at the end.

One session with `compact` by `Summarise`, the offline model and a worker as users run it; turns one after the other. At
each mark: events and bytes a turn since the mark before, of the session's history and of all tasks, with compactions.
The exit code is 1 where the fact that the first turn told is not known at the end, or events or bytes grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, show
from benchmarks.growth import TOLERANCE
from benchmarks.processes import WorkerProcess, database_server, serving
from starter.client import Session, SessionClient
from starter.client.connection import connect
from workflows.contract import Compact, Config, ContextPolicy, task_workflow_id

MARKS, QUICK_MARKS = (100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000), (50, 100, 150)
"""Turns of the conversation at which it is measured."""

TEXT = 200
"""Letters of a question; an answer has as many."""

QUEUE = "compaction"
FACT, ASKED, KNOWN = "The code of the door is 4711", "What is the code of the door?", "4711"


@dataclass(frozen=True)
class Sums:
    """What a session and its tasks have taken up to a turn; `compactions`: how many tasks were the session's own."""

    turns: int
    session_events: int
    session_bytes: int
    task_events: int
    task_bytes: int
    compactions: int


class Talk:
    """A conversation that begins with the fact."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counted: set[str] = set()
        self._task_events = self._task_bytes = 0
        self.turns = 0

    async def reach(self, turn: int) -> Sums:
        """Talk up to this turn, and say what it has taken so far."""
        while self.turns < turn:
            self.turns += 1
            words = FACT if self.turns == 1 else f"How many legs has spider number {self.turns}?"
            await self._session.ask(words if self.turns == 1 else words.ljust(TEXT), task_id=f"turn-{self.turns:04}")
            if self.turns % 100 == 0:  # records of the newest 200 tasks are kept
                await self._count()
        return await self._count()

    async def _count(self) -> Sums:
        temporal, snapshot = self._session.temporal, await self._session.snapshot()
        for record in snapshot.recent:
            if record.task_id not in self._counted:
                found = await temporal.get_workflow_handle(
                    task_workflow_id(self._session.id, record.task_id)
                ).describe()
                self._counted.add(record.task_id)
                self._task_events += found.history_length
                self._task_bytes += found.raw_description.workflow_execution_info.history_size_bytes
        listed = [found.run_id async for found in temporal.list_workflows(f"WorkflowId = '{self._session.id}'")]
        runs = [await temporal.get_workflow_handle(self._session.id, run_id=run_id).describe() for run_id in listed]
        return Sums(
            self.turns,
            sum(run.history_length for run in runs),
            sum(run.raw_description.workflow_execution_info.history_size_bytes for run in runs),
            self._task_events,
            self._task_bytes,
            snapshot.counters.submitted - self.turns,
        )


def figures(found: Sequence[Sums]) -> list[Figure]:
    """Events and bytes a turn up to each mark since the one before, and those of the later half by the earlier one's.

    By the medians of both: a hand-over to the next run, each few hundred turns, writes the whole state once more.
    """
    rows: dict[str, list[tuple[int, float]]] = {
        name: [(b.turns, (getattr(b, name) - getattr(a, name)) / (b.turns - a.turns)) for a, b in pairwise(found)]
        for name in ("session_events", "session_bytes", "task_events", "task_bytes", "compactions")
    }
    shown = [Figure(f"{name}_at_{turn}", value) for name, points in rows.items() for turn, value in points]
    for name in ("session_events", "session_bytes", "task_events", "task_bytes"):
        values = [value for _, value in rows[name]]
        middle = len(values) // 2
        shown.append(Figure(f"{name}_growth", median(values[middle:]) / median(values[:middle])))
    return shown


async def measure(marks: Sequence[int], compact: Compact | None) -> tuple[list[Figure], bool]:
    """The figures, and whether the first turn's fact is known at the end."""
    progress("starting a server and a worker")
    async with database_server() as server, serving(WorkerProcess(server.address, QUEUE)):
        client = SessionClient(await connect(server.address), QUEUE)
        session = await client.open("talk", Config(compact=compact))
        talk = Talk(session)
        found = [await talk.reach(marks[0] // 2)]  # until then the transcript fills
        for mark in marks:
            found.append(await talk.reach(mark))
            progress(f"turn {mark}")
        answer = await session.ask(ASKED, context=ContextPolicy(write=False))
        progress(f"{ASKED} {answer}")
        summary = (await session.context()).values.get("summary", "")
        return [*figures(found), Figure("summary_bytes", len(str(summary)))], KNOWN in str(answer)


async def main() -> int:
    """The command."""
    parser = options("benchmarks.compaction", __doc__)
    parser.add_argument("--without", action="store_true", help="the same conversation without compaction")
    chosen = parser.parse_args()
    compact = None if chosen.without else Compact(kind="Summarise")
    found, known = await measure(QUICK_MARKS if chosen.quick else MARKS, compact)
    show("What a turn costs", [*found, Figure("first_fact_known", int(known))], as_json=chosen.json)
    grown = any(figure.figure.endswith("_growth") and figure.ours > TOLERANCE for figure in found)
    return 0 if chosen.without else int(grown or not known)


if __name__ == "__main__":
    run(main())
