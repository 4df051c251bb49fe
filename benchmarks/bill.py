"""What sessions cost on Temporal Cloud: billable actions, bytes, and a month's bill. Arithmetic, and the tables of it.

    python -m benchmarks.crowd --idle --json > docs/figures/idle.jsonl
    python -m benchmarks.bill

The second writes the tables of `docs/scale.md` anew from what the first has measured.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.processes import ROOT

FIGURES, PAGE = ROOT / "docs/figures/idle.jsonl", ROOT / "docs/scale.md"

# --- what Temporal Cloud counts and asks ----------------------------------------------------------------------------

SOURCE = (
    "Temporal's documentation, github.com/temporalio/documentation: docs/evaluate/cloud/actions.mdx at commit 24afc58a "
    "and pricing.mdx at commit 0217b718; as docs.temporal.io/cloud/actions and /cloud/pricing; read 2026-11-29"
)
"""Where the counting and the prices are from: list prices in US dollars, pay as you go, of the plan Business."""

MILLION = 1_000_000
TIERS = ((5, 50.0), (5, 45.0), (10, 40.0), (30, 35.0), (50, 30.0), (100, 25.0))
"""So many millions of actions, at so much a million, one tier after the other."""
BEYOND = 25.0
"""A million actions over the 200 millions of the tiers. Temporal names no price for these ("Contact Sales", who give
more discount): the last tier's is the most that they can cost."""
ACTIVE_GBH, RETAINED_GBH = 0.042, 0.00105
"""A gigabyte and hour of the histories of open workflows, and of closed ones."""
INCLUDED_ACTIONS, INCLUDED_ACTIVE_GB, INCLUDED_RETAINED_GB = 2.5 * MILLION, 2.5, 100.0
"""What the plan has in it."""
PLAN_LEAST, PLAN_SHARE = 500.0, 0.10
"""A month of the plan: this, or that share of what is used where it is more."""
MONTH_HOURS = 744.0
"""By the price list a gigabyte is 744 gigabyte-hours, a month of 31 days."""
MONTH_DAYS, DAY_SECONDS = MONTH_HOURS / 24, 86_400
GB = 1e9

# --- what a session does --------------------------------------------------------------------------------------------

OPENING = {"start_workflow": 1, "schedule_activity": 1, "upsert_workflow_search_attributes": 1}
"""The start; the question whether search attributes may be written; the status. By the names of Cloud's own metric."""
TASK = {"signal_workflow": 1, "start_child_workflow": 2, "schedule_activity": 1}
"""The submission; the child, which counts once as a wish and once as a start; one call of a model."""
ASKING = {"query_workflow": 2}
"""The record, for who waits for it (`Session.ask`): once as soon as the task's workflow has ended, and once more where
the session had not recorded that yet, which is usual with many at once. Alone it is one."""
HAND_OVER = {"continue_as_new_workflow": 1, "schedule_activity": 1}
"""The next run, and its question about search attributes."""
REST = {"record_activity_markers": 1, "start_timer": 2}
"""What a hand-over at rest has before it: the mark of its guard, and two looks at whether the session rests."""
REST_TASKS = 15
"""Tasks of a run after which a session that rests is handed over: REST_EVENTS by 13 events a task."""

BEAT = 10.0 / 3
"""Seconds of a model call until its first heartbeat, and between two: the worker says one each third of
MODEL_HEARTBEAT_SECONDS (`starter/serving/heartbeats.py`), and has the SDK hold none of them back. A call whose text is
streamed has more."""


def beats(seconds: float) -> int:
    """Heartbeats that a model call of so many seconds brings to the server; each is an action."""
    return int(seconds // BEAT)


@dataclass(frozen=True)
class Profile:
    """A day of one session: tasks (0.1: one in ten days), each a question whose answer is waited for.

    `seconds`: of each model call. `days`: how long the server keeps what has ended.
    """

    tasks: float
    seconds: float = 3.0
    days: float = 30.0

    @property
    def runs(self) -> float:
        """Runs that end a day: after a day of age with the next message, or after 15 tasks and a rest."""
        return max(min(1.0, self.tasks), self.tasks / REST_TASKS)


@dataclass(frozen=True)
class Sizes:
    """Measured bytes of histories: `opened` of a session without tasks; `carried` of a run that has just taken over.

    `session`, `child`: what the first, second, ... task adds to its session's run, and has as its own. Later ones are
    like the last, whose window has fifteen turns of twenty.
    """

    opened: float
    carried: float
    session: Sequence[float]
    child: Sequence[float]

    def of_tasks(self, count: int) -> float:
        """Bytes of a session that has had so many tasks in its first run, and of these tasks."""
        return self.opened + sum(_nth(self.session, n) + _nth(self.child, n) for n in range(count))


def _nth(values: Sequence[float], number: int) -> float:
    return values[min(number, len(values) - 1)]


def crowd_actions(sessions: int, tasks: int) -> Counter[str]:
    """What so many new sessions, and so many tasks of theirs in all, are predicted to cost in actions."""
    return Counter(_times(OPENING, sessions) + _times(TASK, tasks) + _times(ASKING, tasks))


def followed_actions(tasks: int) -> Counter[str]:
    """What the histories of a new session are predicted to tell: so many tasks, a rest, and one hand-over."""
    return Counter(OPENING) + _times(TASK, tasks) + Counter(HAND_OVER) + Counter(REST)


def day_actions(profile: Profile) -> dict[str, float]:
    """Predicted actions of one session and day; none for one that is idle."""
    found: dict[str, float] = {}
    rests = profile.runs if profile.tasks >= REST_TASKS else 0.0
    parts = ((TASK, profile.tasks), (ASKING, profile.tasks), (HAND_OVER, profile.runs), (REST, rests))
    for actions, times in parts:
        for name, count in actions.items():
            found[name] = found.get(name, 0.0) + count * times
    found["record_activity_heartbeat"] = profile.tasks * beats(profile.seconds)
    return {name: count for name, count in found.items() if count}


def open_bytes(profile: Profile, sizes: Sizes) -> float:
    """Bytes of one open session at the end of a run, which is the most: what it took over, and its tasks since."""
    if not profile.tasks:
        return sizes.opened
    return sizes.carried + max(1.0, min(profile.tasks, REST_TASKS)) * _nth(sizes.session, REST_TASKS)


def closed_bytes_a_day(profile: Profile, sizes: Sizes) -> float:
    """Bytes of the tasks and runs of one session that end in a day, and are kept from then on."""
    return profile.tasks * _nth(sizes.child, REST_TASKS) + profile.runs * open_bytes(profile, sizes)


def _times(actions: Mapping[str, int], times: int) -> Counter[str]:
    return Counter({name: count * times for name, count in actions.items()})


# --- what histories say ---------------------------------------------------------------------------------------------

_ONE_EACH = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signal_workflow",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "accept_workflow_update",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED: "update_workflow_options",
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: "start_child_workflow",
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "schedule_activity",
    EventType.EVENT_TYPE_TIMER_STARTED: "start_timer",
}


def counted(events: Iterable[HistoryEvent]) -> Counter[str]:
    """The actions that a history tells of. Queries, heartbeats and refused updates leave no event."""
    found: Counter[str] = Counter()
    marked: set[int] = set()
    for event in events:
        if name := _ONE_EACH.get(event.event_type):
            found[name] += 1
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            started = event.workflow_execution_started_event_attributes
            found[_start(bool(started.continued_execution_run_id), started.HasField("parent_workflow_execution"))] += 1
        elif event.event_type == EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
            written = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
            found["upsert_workflow_search_attributes"] += set(written) != {"TemporalChangeVersion"}
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            found["retry_activity"] += event.activity_task_started_event_attributes.attempt - 1
        elif event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            marked.add(event.marker_recorded_event_attributes.workflow_task_completed_event_id)  # those of one are one
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            cause = event.workflow_task_failed_event_attributes.cause
            found["reset_workflow"] += cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    found["record_activity_markers"] = len(marked)
    return +found


def _start(continued: bool, child: bool) -> str:  # noqa: FBT001 (two facts of an event)
    if continued:
        return "continue_as_new_workflow"
    return "start_child_workflow" if child else "start_workflow"


# --- the bill -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bill:
    """A month, in US dollars."""

    actions: float
    active: float
    retained: float

    @property
    def plan(self) -> float:
        """What the plan itself costs."""
        return max(PLAN_LEAST, PLAN_SHARE * (self.actions + self.active + self.retained))

    @property
    def total(self) -> float:
        """All of it."""
        return self.actions + self.active + self.retained + self.plan


def action_price(actions: float) -> float:
    """What so many actions cost that no plan includes."""
    price, left = 0.0, actions / MILLION
    for millions, dollars in TIERS:
        price += min(left, millions) * dollars
        left = max(0.0, left - millions)
    return price + left * BEYOND


def bill(actions: float, active_gb: float, retained_gb: float) -> Bill:
    """A month with so many actions and, at every hour of it, so many gigabytes."""
    return Bill(
        action_price(max(0.0, actions - INCLUDED_ACTIONS)),
        max(0.0, active_gb - INCLUDED_ACTIVE_GB) * MONTH_HOURS * ACTIVE_GBH,
        max(0.0, retained_gb - INCLUDED_RETAINED_GB) * MONTH_HOURS * RETAINED_GBH,
    )


# --- the tables of the page -----------------------------------------------------------------------------------------

PROFILES = (0.0, 0.1, 1.0, 10.0, 50.0)
"""Tasks a day and session."""


def sizes_of(figures: Mapping[str, float]) -> Sizes:
    """What a run has measured."""

    def series(name: str) -> list[float]:
        return [figures[f"{name}_{n}"] for n in range(1, 10_000) if f"{name}_{n}" in figures]

    return Sizes(
        figures["opened_bytes"],
        figures["carried_bytes"],
        series("session_bytes_of_task"),
        series("child_bytes_of_task"),
    )


def measured_table(figures: Mapping[str, float]) -> list[str]:
    """Prediction against measurement of the run's sessions."""
    rows = []
    for name in sorted(name.removesuffix("_predicted") for name in figures if name.endswith("_predicted")):
        predicted, measured = figures[f"{name}_predicted"], figures[f"{name}_measured"]
        ratio = f"{measured / predicted:.3f}" if predicted else ""
        rows.append((f"`{name}`", f"{predicted:,.0f}", f"{measured:,.0f}", ratio))
    return _table(("of all sessions", "predicted", "measured", "ratio"), rows)


def run_table(figures: Mapping[str, float]) -> list[str]:
    """What else the run measured."""
    rest = [name for name in figures if not re.search(r"(_predicted|_measured|_of_task_\d+)$", name)]
    return _table(("figure", "value"), [(f"`{name}`", _written(figures[name])) for name in rest])


def million_table(sizes: Sizes, sessions: int = MILLION) -> list[str]:
    """A million sessions, by tasks a day, on paper."""
    rows = []
    for tasks in PROFILES:
        profile = Profile(tasks)
        actions = sum(day_actions(profile).values())
        a_month = sessions * actions * MONTH_DAYS
        active = sessions * open_bytes(profile, sizes) / GB
        retained = sessions * closed_bytes_a_day(profile, sizes) * profile.days / GB
        month = bill(a_month, active, retained)
        rows.append(
            (
                f"{tasks:g}",
                f"{actions:.2f}",
                f"{a_month / MILLION:,.0f}",
                f"{sessions * actions / DAY_SECONDS:,.0f}",
                f"{active:,.0f}",
                f"{retained:,.0f}",
                *(f"{dollars:,.0f}" for dollars in (month.actions, month.active, month.retained, month.plan)),
                f"{month.total:,.0f}",
            )
        )
    header = (
        *("tasks a day", "actions a day", "millions a month", "a second", "GB open", "GB kept"),
        *("$ actions", "$ open", "$ kept", "$ plan", "$ a month"),
    )
    return _table(header, rows)


def page(text: str, figures: Mapping[str, float]) -> str:
    """The page with its tables as these figures have them: each between a mark of its name and the next empty line."""
    tables = {
        "measured": measured_table(figures),
        "run": run_table(figures),
        "million": million_table(sizes_of(figures)),
    }
    for name, lines in tables.items():
        mark = f"<!-- table: {name} -->\n"
        before, found, after = text.partition(mark)
        if not found:
            raise ValueError(f"the page has no mark {mark.strip()}")
        text = before + mark + "\n".join(lines) + "\n" + after[after.index("\n\n") + 1 :]
    return text


def read(path: Path) -> dict[str, float]:
    """The figures that a run has left as lines of JSON."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["figure"]: float(line["ours"]) for line in lines}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def _written(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 (three digits say enough)


def main() -> int:
    """The command: figures to tables."""
    found = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    PAGE.write_text(page(PAGE.read_text(), read(found)))
    print(f"{PAGE.relative_to(ROOT)} has the figures of {found.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
