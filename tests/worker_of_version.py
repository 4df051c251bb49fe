"""`worker.py` with another version of the session: `python -m tests.worker_of_version OneCommandMore`.

The name is that of a class of `tests/changed_sessions.py`, or `SessionWorkflow` for the code as it is. All else is
`worker.py` as its users run it, with the kinds of the tests beside its own.
"""

import functools
import os
import sys
from unittest.mock import patch

import worker
from tests import changed_sessions
from tests.harness import be_patient
from tests.kinds import TEST_KINDS

if __name__ == "__main__":
    be_patient()
    session = getattr(changed_sessions, sys.argv.pop())
    build_worker = functools.partial(worker.build_worker, kinds=[*worker.KINDS, *TEST_KINDS])
    with patch.multiple(worker, SessionWorkflow=session, build_worker=build_worker):
        code = worker.main()
    sys.stdout.flush()
    os._exit(code)  # as worker.py does
