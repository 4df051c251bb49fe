"""What the contract says of a patch, as plain code, and patches to try it on."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from workflows.contract import ContextPatch
from workflows.wire.encoding import canonical

KEYS = st.sampled_from("abn")  # "n" must not be read under `read: none`
VALUES = st.sampled_from([None, False, True, 0, 1, 1.0, "", "x" * 20, [], [1], [None, [2]], {"k": None}, {"k": [1]}])
PATCHES = st.builds(
    ContextPatch,
    set=st.dictionaries(KEYS, VALUES, max_size=2),
    unset=st.lists(KEYS, max_size=1),
    append=st.dictionaries(KEYS, st.lists(VALUES, max_size=2), max_size=1),
)


def patched(values: dict[str, Any], patch: ContextPatch) -> dict[str, Any] | None:
    """The contract: unset, set, append; a missing key makes a list, something else than a list fails (null)."""
    new = {key: value for key, value in values.items() if key not in patch.unset} | patch.set
    if any(not isinstance(new.get(key, []), list) for key in patch.append):
        return None
    return deepcopy(new | {key: new.get(key, []) + items for key, items in patch.append.items()})


def changed(before: dict[str, Any], patch: ContextPatch) -> set[str]:
    """Keys that a patch changes: setting a key changes it, unsetting one that is not there does not."""
    return {*patch.set, *patch.append, *(key for key in patch.unset if key in before)}


def weight(values: dict[str, Any]) -> int:
    return sum(len(canonical(key).encode()) + len(canonical(value).encode()) + 2 for key, value in values.items())
