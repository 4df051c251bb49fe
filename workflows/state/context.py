"""The session's memory: values, transcript and versions. Pure state, apart from any execution."""

from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, PrivateAttr

from workflows.contract import Compact, ContextPatch, ContextView, InjectedContext, LogEntry, Turn
from workflows.state.compaction import divided, fault
from workflows.state.pending import PendingTask
from workflows.state.versions import Change, Undo, add_change
from workflows.wire import limits
from workflows.wire.encoding import alike, canonical, clip, json_bytes, model_bytes, preview, short_hash
from workflows.wire.errors import ErrorType, SessionError

EXTERNAL = "external"
ROLLBACK = "rollback"
_EVERYTHING = "*"  # touched beyond counting; no hash looks like it
_TURNS = "turns"  # those in the transcript were touched; no hash is as short
_HASH_CHARACTERS = 8  # 48 bits, as for task ids


class _Applied(NamedTuple):
    """The values after a change, their sizes, and what undoes it; the turns that stay."""

    values: dict[str, Any]
    sizes: dict[str, int]
    undo: Undo
    turns: list[Turn]


class SessionContext(BaseModel):
    """Values, transcript and version log.

    `touched`: hashes of the keys changed from outside since the last task started, and `turns` where the transcript
    was; null once a patch of it is applied.
    """

    version: int = 0
    values: dict[str, Any] = Field(default_factory=dict)
    transcript: list[Turn] = Field(default_factory=list)
    log: list[Change] = Field(default_factory=list)
    touched: list[str] | None = None
    truncated: bool = False
    # Measured once each, so that a task costs what it changes and not what the session holds.
    _value_bytes: dict[str, int] = PrivateAttr(default_factory=dict)
    _turn_bytes: dict[int, int] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _context: Any, /) -> None:
        """Measure what an earlier run handed over."""
        self._value_bytes = {key: _value_bytes(key, value) for key, value in self.values.items()}
        self._turn_bytes = {turn.version: model_bytes(turn) for turn in self.transcript}

    @classmethod
    def initial(cls, values: dict[str, Any]) -> "SessionContext":
        """A new session's context, at version 0. Raises SessionError (ContextTooLarge, InvalidRequest)."""
        new = cls()
        new.values, new._value_bytes, *_ = new._applied(ContextPatch(set=values), ErrorType.INVALID_REQUEST)
        return new

    def take(self, view: ContextView) -> None:
        """Begin with another session's context: its values under our own, its transcript, its version number."""
        values = view.values | self.values
        self.values, self._value_bytes, *_ = SessionContext()._applied(  # noqa: SLF001 (an empty one of our own kind)
            ContextPatch(set=values), ErrorType.INVALID_REQUEST
        )
        self.version, self.log = max(view.version, self.version), []
        self.truncated = self.truncated or view.truncated
        self._fill_window(view.transcript)

    def inject(self, task: PendingTask) -> InjectedContext:
        """What `task` sees, as of now. From here on changes from outside are watched for conflicts with its patch."""
        self.touched = []
        keys = self.values if task.read == "all" else [] if task.read == "none" else task.read
        values = {key: self.values[key] for key in keys if key in self.values}
        turns = self.transcript[-task.transcript :] if task.transcript else []
        return InjectedContext(version=self.version, write=task.write, values=values, transcript=turns)

    def complete(
        self,
        patch: ContextPatch,
        task: PendingTask,
        output: Any,
        now: datetime,
        finish_reason: str | None = None,
        *,
        seen: int | None = None,
    ) -> int:
        """Apply a completed task's patch and add its Turn: one new version. Returns it.

        `seen`: the version it saw, if not the present one.
        Raises SessionError and changes nothing: ContextConflict when a key of the patch, or the transcript that it
        compacts, was changed from outside meanwhile; ContextTooLarge; InvalidOutput when the patch cannot be applied.
        """
        new = self._completed(patch, seen)
        turn = Turn(
            task_id=task.task_id,
            version=self.version + 1,
            input=task.input,
            output=output,
            finished_at=now,
            finish_reason=finish_reason,
        )
        new.undo.turns_added = [turn.version]
        self.touched = None
        return self._commit(task.task_id, new, [*new.turns, turn], now)

    def compacted(self, patch: ContextPatch, task: PendingTask, seen: int, bound: Compact | None, now: datetime) -> int:
        """Apply the patch of the session's own task, which adds no Turn: one new version. Returns it.

        Raises what `complete` raises; InvalidOutput also where it leaves more than there was, or takes too few turns.
        """
        new = self._completed(patch, seen)
        wrong = fault(
            took=sum(self._turn_bytes[turn.version] for turn in new.undo.turns_removed),
            grew=sum(new.sizes.values()) - sum(self._value_bytes.values()),
            asked=not new.turns or new.turns[0].version > (task.compacts or 0),
            bound=bound,
            stay=[self._turn_bytes[turn.version] for turn in new.turns],
        )
        if wrong:
            raise SessionError(ErrorType.INVALID_OUTPUT, wrong)
        self.touched = None
        return self._commit(task.task_id, new, new.turns, now)

    def drop(self, count: int, by: str, now: datetime) -> int:
        """Take the oldest turns out of the transcript with nothing in their place: a new version. Returns it."""
        undo = Undo(turns_removed=self.transcript[:count])
        new = _Applied(self.values, self._value_bytes, undo, self.transcript[count:])
        return self._commit(by, new, new.turns, now)

    @property
    def turn_sizes(self) -> list[int]:
        """What each turn of the transcript weighs, oldest first."""
        return [self._turn_bytes[turn.version] for turn in self.transcript]

    def patch(self, patch: ContextPatch, expected_version: int | None, now: datetime) -> int:
        """Apply a change from outside and return the new version.

        Raises SessionError and changes nothing: ContextConflict at another version than expected, ContextTooLarge,
        InvalidRequest when the patch cannot be applied.
        """
        self.check(patch, expected_version)
        new = self._applied(patch, ErrorType.INVALID_REQUEST)
        self._touch(new.undo)
        return self._commit(EXTERNAL, new, new.turns, now)

    def check(self, patch: ContextPatch, expected_version: int | None) -> None:
        """Raise what `patch` would raise, changing nothing."""
        if expected_version is not None and expected_version != self.version:
            raise SessionError(
                ErrorType.CONTEXT_CONFLICT, f"the context is at version {self.version}, not {expected_version}"
            )
        self._applied(patch, ErrorType.INVALID_REQUEST)

    def rollback(self, version: int, now: datetime) -> int:
        """Make a new version with the values and the transcript as of an old one, and return it.

        Raises SessionError (UnknownVersion) for a version that never was or can no longer be read.
        """
        values, transcript = self.as_of(version)
        old = {turn.version for turn in self.transcript}
        new = {turn.version for turn in transcript}
        changed = self.values.keys() ^ values.keys()
        changed |= {k for k in self.values.keys() & values.keys() if not alike(self.values[k], values[k])}
        undo = Undo.of(sorted(changed), self.values, values)
        undo.turns_removed = [turn for turn in self.transcript if turn.version not in new]
        undo.turns_added = [turn.version for turn in transcript if turn.version not in old]
        self._touch(undo)
        sizes = {key: _value_bytes(key, value) for key, value in values.items()}
        return self._commit(ROLLBACK, _Applied(values, sizes, undo, transcript), transcript, now)

    def view(self, version: int | None = None) -> ContextView:
        """The context as of a version (default: now) and the log.

        Raises SessionError (UnknownVersion) for a version that never was or can no longer be read.
        """
        values, transcript = self.as_of(self.version if version is None else version)
        return ContextView(
            version=self.version if version is None else version,
            values=values,
            transcript=transcript,
            log=[LogEntry.model_validate(change.model_dump(exclude={"undo"})) for change in self.log],
            truncated=self.truncated,
        )

    def _touch(self, undo: Undo) -> None:
        """Note what changes from outside, if a task runs that might change it too."""
        if self.touched is not None:
            turns = {_TURNS} if undo.turns_added or undo.turns_removed else set[str]()
            self.touched = sorted({*self.touched, *turns, *(short_hash(key, _HASH_CHARACTERS) for key in undo.keys)})
            if len(self.touched) > limits.TOUCHED_KEYS:
                self.touched = [_EVERYTHING]

    def _is_touched(self, key: str) -> bool:
        touched = self.touched or []
        return _EVERYTHING in touched or short_hash(key, _HASH_CHARACTERS) in touched

    def as_of(self, version: int) -> tuple[dict[str, Any], list[Turn]]:
        """Values and transcript of a version. Raises SessionError (UnknownVersion)."""
        values = dict(self.values)
        turns = {turn.version: turn for turn in self.transcript}
        reached = self.version
        for change in reversed(self.log):
            if change.version <= version or change.undo is None:
                break
            change.undo.apply(values, turns)
            reached = change.version - 1
        if reached != version:
            raise SessionError(
                ErrorType.UNKNOWN_VERSION,
                f"version {version} cannot be read; the newest is {self.version}"
                + (f", the oldest that can be {reached}" if version < reached else ""),
            )
        return values, [turns[number] for number in sorted(turns)]

    def _completed(self, patch: ContextPatch, seen: int | None) -> _Applied:
        """What the patch of a completed task makes of the context. Raises what `complete` raises."""
        conflicts = sorted(key for key in _keys(patch) if self._is_touched(key))
        if patch.compact and {_TURNS, _EVERYTHING} & {*(self.touched or ())}:
            conflicts.append("the transcript")
        if conflicts:
            names = preview(", ".join(conflicts), limits.PREVIEW_BYTES)
            raise SessionError(ErrorType.CONTEXT_CONFLICT, f"changed from outside while the task ran: {names}")
        return self._applied(patch, ErrorType.INVALID_OUTPUT, seen)

    def _applied(self, patch: ContextPatch, inapplicable: ErrorType, seen: int | None = None) -> _Applied:
        """What `patch` makes of values and transcript. Never mutates what an older version may share.

        `seen`: the version that whoever made it saw, unless it is the present one.
        """
        keys = sorted(_keys(patch))
        new, sizes = dict(self.values), dict(self._value_bytes)
        for key in patch.unset:
            new.pop(key, None)
        new.update(patch.set)
        for key, items in patch.append.items():
            if not isinstance(new.setdefault(key, []), list):
                raise SessionError(inapplicable, f"cannot append to {key!r}: it is not a list")
            new[key] = [*new[key], *items]
        for key in keys:
            sizes.pop(key, None)
            try:
                sizes |= {key: _value_bytes(key, new[key])} if key in new else {}
            except ValueError as error:
                raise SessionError(
                    inapplicable, f"the value of {preview(key, limits.PREVIEW_BYTES)!r} is {error}"
                ) from None
        size = sum(sizes.values())
        if size > limits.CONTEXT_BYTES:
            raise SessionError(
                ErrorType.CONTEXT_TOO_LARGE, f"context values would weigh {size} bytes, over {limits.CONTEXT_BYTES}"
            )
        undo = Undo.of(keys, self.values, new)
        turns, seen = self.transcript, self.version if seen is None else seen
        if patch.compact:
            if patch.compact.through > seen:
                message = f"compact.through is {patch.compact.through}, beyond version {seen}, which was seen"
                raise SessionError(inapplicable, message)
            undo.turns_removed, turns = divided(turns, patch.compact.through)
        return _Applied(new, sizes, undo, turns)

    def _commit(self, by: str, new: _Applied, transcript: list[Turn], now: datetime) -> int:
        self.version += 1
        self.values, self._value_bytes = new.values, new.sizes
        self._fill_window(transcript)
        add_change(self.log, self.version, by, now, new.undo)
        return self.version

    def _fill_window(self, transcript: list[Turn]) -> None:
        """Keep the newest turns that fit; the newest one always stays, shortened if it alone does not fit."""
        kept, known = dict[int, int](), self._turn_bytes
        newest = transcript[-1] if transcript else None
        if newest and newest.version not in known and model_bytes(newest) > limits.TRANSCRIPT_BYTES:
            transcript, self.truncated = [*transcript[:-1], _shortened(newest)], True
        room = limits.TRANSCRIPT_BYTES
        for turn in reversed(transcript[-limits.TRANSCRIPT_TURNS :]):
            size = known.get(turn.version) or model_bytes(turn)
            room -= size
            if kept and room < 0:
                break
            kept[turn.version] = size
        self.truncated = self.truncated or len(kept) < len(transcript)
        self.transcript, self._turn_bytes = transcript[len(transcript) - len(kept) :], kept


def _keys(patch: ContextPatch) -> set[str]:
    return {*patch.set, *patch.unset, *patch.append}


def _shortened(turn: Turn) -> Turn:
    """The turn with texts that fit the window in place of its input and output; a quarter of it each leaves room."""
    share = limits.TRANSCRIPT_BYTES // 4
    fields = {"input": turn.input, "output": turn.output}
    cut = {name: _text(value, share) for name, value in fields.items() if json_bytes(value) > share}
    return turn.model_copy(update={**cut, "truncated": True})


def _text(value: Any, limit: int) -> str:
    return clip(value if isinstance(value, str) else canonical(value), limit)


def _value_bytes(key: str, value: Any) -> int:
    return json_bytes(key) + json_bytes(value) + 2
