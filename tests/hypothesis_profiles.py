"""How hard hypothesis tries: an everyday profile, and `SESSIONS_FUZZ=1` for a long search. Imported for its effect."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("SESSIONS_FUZZ_EXAMPLES") or 10_000)
"""How many examples of each property the long search tries."""

# Other work on the machine must not fail a test, so nothing here depends on the clock.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# The same examples each time: a change is judged by itself, and what is new is for the long search to find.
settings.register_profile("default", _UNTIMED, max_examples=50, stateful_step_count=30, derandomize=True)
settings.register_profile("fuzz", _UNTIMED, max_examples=EXAMPLES, stateful_step_count=60, print_blob=True)
settings.load_profile("fuzz" if os.environ.get("SESSIONS_FUZZ") == "1" else "default")
