"""`make chaos`: kills workers and server under fifty sessions, and says what became of every acknowledged task."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.chaos.checker import FAULTS, Verdict, check
from benchmarks.chaos.course import Course, carried_out
from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, show
from workflows.wire.limits import RECORDS

QUICK = Course(sessions=12, tasks=6, span=10.0, pause=2.5)


async def main(course: Course, *, as_json: bool) -> int:
    """Run and report; 0 if everything is as promised. Otherwise database and logs are kept, and named."""
    folder = Path(mkdtemp(prefix="sessions-chaos-"))
    faults = True
    try:
        verdict = check(course.planned(), await carried_out(course, folder))
        report(verdict, course, as_json=as_json)
        faults = bool(verdict.findings)
    finally:
        if faults:
            progress(f"database and logs: {folder}")
        else:
            shutil.rmtree(folder)
    return int(faults)


def report(verdict: Verdict, course: Course, *, as_json: bool) -> None:
    """Print the counts, and every fault by name."""
    counts = {
        "kills": verdict.kills,
        "calls_cut_off": verdict.cut_off,
        "acknowledged": verdict.acknowledged,
        "effects": verdict.performed,
        "effects_begun_again": verdict.retried,
        **{fault: len(verdict.of(fault)) for fault in FAULTS},
        "longest_stall_s": verdict.longest_stall,
        "histories_replayed": verdict.replayed,
    }
    title = f"{course.sessions} sessions x {course.tasks} tasks, seed {course.seed}"
    show(title, [Figure(name, count) for name, count in counts.items()], as_json=as_json)
    for fault in verdict.faults:
        print(json.dumps({"fault": fault}) if as_json else f"✗ {fault}")
    if not verdict.findings and not as_json:
        print(
            "✓ every acknowledged task ran in its turn, on what it was to be given, ended once, and left what it must"
        )


if __name__ == "__main__":
    parser = options("benchmarks.chaos", __doc__)
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default 1)")
    parser.add_argument("--sessions", type=int, help="how many (default 50)")
    parser.add_argument("--tasks", type=int, help="of each session, 200 at most: it keeps as many records (default 20)")
    parser.add_argument("--seconds", type=float, help="for which tasks are submitted and killing goes on (default 110)")
    given = parser.parse_args()
    if given.tasks and given.tasks > RECORDS:
        parser.error(f"--tasks is {RECORDS} at most")
    chosen = {"seed": given.seed, "sessions": given.sessions, "tasks": given.tasks, "span": given.seconds}
    course = replace(
        QUICK if given.quick else Course(), **{name: value for name, value in chosen.items() if value is not None}
    )
    run(main(course, as_json=given.json))
