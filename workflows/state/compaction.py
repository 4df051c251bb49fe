"""When a session's oldest turns are to leave its transcript, and how many. Pure."""

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from workflows.contract import Compact, Config, ContextPolicy, TaskRequest, Turn
from workflows.state.pending import PendingTask
from workflows.wire import limits


def leaving(sizes: Sequence[int], bound: Compact) -> int:
    """How many of the oldest turns are to leave a transcript of turns of these weights; 0 where it is within `bound`.

    What stays fills half of the bound at most, so that this comes seldom; the newest turn stays in any case.
    """
    if not _over(sizes, bound, 1):
        return 0
    room, kept = bound.bytes // 2, 0
    for size in reversed(sizes[-max(bound.turns // 2, 1) :]):
        room -= size
        if kept and room < 0:
            break
        kept += 1
    return len(sizes) - kept


def due(sizes: Sequence[int], bound: Compact, *, waits: bool, closing: bool) -> int:
    """How many turns a compaction is to take out now: `leaving`, or 0 where it had better not be now.

    While another task waits it holds it up only once the bound is passed by half. A session that closes does it for
    the sake of tasks that wait, or not at all.
    """
    wanted = _over(sizes, bound, 1.5) if waits else not closing
    return leaving(sizes, bound) if wanted else 0


def task_of(bound: Compact, through: int, version: int, config: Config, now: datetime) -> PendingTask:
    """The task that is to take out the turns up to version `through`, in a session whose context is at `version`."""
    request = TaskRequest(
        task_id=f"compact-{version}",
        input={"through": through},
        kind=bound.kind,
        context=ContextPolicy(read="all", transcript=limits.TRANSCRIPT_TURNS, write=True),
        timeout=min(config.task_timeout, limits.COMPACT_TIMEOUT_SECONDS),
        stream=False,
    )
    return PendingTask.accepted(request, config, now).model_copy(update={"compacts": through})


def divided(turns: Sequence[Turn], through: int) -> tuple[list[Turn], list[Turn]]:
    """The turns up to version `through`, and those after it."""
    left = list(takewhile(lambda turn: turn.version <= through, turns))
    return left, list(turns[len(left) :])


def fault(*, took: int, grew: int, asked: bool, bound: Compact | None, stay: Sequence[int]) -> str | None:
    """What is wrong with a compaction that took out turns of `took` bytes and let the values grow by `grew`.

    `asked`: whether all turns left that were to leave; those of the weights `stay` are left. Null: nothing is wrong.
    """
    if took == 0:
        return "no turn leaves the transcript"
    if grew > max(took, limits.COMPACT_GROWTH_BYTES):
        return f"the values would grow by {grew} bytes, in place of turns of {took}"
    if not asked and bound is not None and _over(stay, bound, 1):
        return f"{len(stay)} turns of {sum(stay)} bytes stay, over the bound of {bound.turns} and {bound.bytes}"
    return None


def _over(sizes: Sequence[int], bound: Compact, share: float) -> bool:
    return len(sizes) > share * bound.turns or sum(sizes) > share * bound.bytes
