"""`make chaos`: kills workers and server under fifty sessions, and says what became of every acknowledged task."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from benchmarks.chaos.checker import Verdict
from benchmarks.chaos.course import Course, verdict_on
from benchmarks.command import options, progress, run
from benchmarks.figures import Figure, show

QUICK = Course(sessions=12, tasks=6, span=10.0, pause=2.5)


async def main(course: Course, *, as_json: bool) -> int:
    """Run and report; 0 if everything is as promised. Otherwise database and logs are kept, and named."""
    folder = Path(mkdtemp(prefix="sessions-chaos-"))
    faults = True
    try:
        verdict = await verdict_on(course, folder)
        report(verdict, course, as_json=as_json)
        faults = bool(verdict.faults)
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
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "reordered": len(verdict.reordered),
        "overlapping": len(verdict.overlapping),
        "misapplied": len(verdict.misapplied),
        "unexpected": len(verdict.unexpected),
        "longest_stall_s": verdict.longest_stall,
        "unreplayable": len(verdict.unreplayable),
        "histories_replayed": verdict.replayed,
    }
    title = f"{course.sessions} sessions x {course.tasks} tasks, seed {course.seed}"
    show(title, [Figure(name, count) for name, count in counts.items()], as_json=as_json)
    for fault in verdict.faults:
        print(json.dumps({"fault": fault}) if as_json else f"✗ {fault}")
    if not verdict.faults and not as_json:
        print("✓ every acknowledged task has one final record, in order, and left its patch once or not at all")


if __name__ == "__main__":
    parser = options("benchmarks.chaos", __doc__)
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default 1)")
    given = parser.parse_args()
    chosen = replace(QUICK if given.quick else Course(), seed=given.seed)
    run(main(chosen, as_json=given.json))
