"""Every number of the system, with its reason. Sizes are bytes of compact UTF-8 JSON, durations are seconds."""

KIB = 1024
MIB = 1024 * KIB

# --- contract, section "limits" -------------------------------------------------------------------------------------

INPUT_BYTES = 64 * KIB
"""One task's input; a longer text belongs behind a reference."""

OUTPUT_BYTES = 128 * KIB
"""One task's output; with its input it still fits into the transcript window."""

CONTEXT_BYTES = 256 * KIB
"""All context values together: they are injected into every task that reads them."""

TRANSCRIPT_TURNS = 200
"""Turns kept in the transcript; the oldest leave first."""

TRANSCRIPT_BYTES = 256 * KIB
"""Bytes kept in the transcript; the oldest turns leave first."""

LOG_ENTRIES = 50
"""Context versions that can still be listed."""

LOG_BYTES = 128 * KIB
"""What the version log may weigh, undo data included; beyond it old versions are listed but no longer readable."""

PENDING_TASKS = 1_000
"""The highest `max_pending` a session may be given, and its default."""

PENDING_BYTES = 384 * KIB
"""What waits, all requests together."""

RECORDS = 200
"""Final task records kept; older tasks are answered from their child workflow."""

RECORD_OUTPUT_BYTES = 128 * KIB
"""Outputs kept inside the records, newest first, less what the running task asks; the child workflow has them all."""

REJECTED = 100
"""Refused messages kept, newest last."""

SEEN_IDS = 5_000
"""Task ids that a repeated submission is still recognised by."""

# --- bounds the contract leaves open; they keep the carried state under STATE_BYTES ---------------------------------

STATE_BYTES = 1_433 * KIB
"""The whole carried state (1.4 MiB). A payload over 2 MiB wedges continue-as-new for good."""

RECORDS_BYTES = 86 * KIB
"""Records without outputs. 200 ordinary ones take 85 KiB; beyond it the oldest lose labels, preview and error text."""

REJECTED_BYTES = 21 * KIB
"""Rejected entries, 100 of some 200 bytes; beyond it the oldest leave early."""

PREVIEW_BYTES = 200
"""`input_preview`: one line of a table."""

DETAILS_CHARS = 4_000
"""A question or an answer on a task's own page, which travels to its renderer in a URL."""

ERROR_MESSAGE_BYTES = 500
"""An error text in a record: the child's history has the whole failure."""

REJECTED_MESSAGE_BYTES = 200
"""An error text in a rejected entry, of which there are up to a hundred, and of what the server refuses of a task."""

LABELS_BYTES = 1 * KIB
"""Labels of a task or a session: they are for finding things, not for carrying data."""

QUEUES_BYTES = 4 * KIB
"""Task queues by kind: some fifty of ordinary length."""

NAME_CHARS = 255
"""Kinds, task queues, owners, titles. Search attributes over 2 KiB terminate a workflow, ids over 1,000 wedge it."""

FAIRNESS_KEY_DIGEST_CHARS = 16
"""Of a digest, 96 bits: no two owners meet. A fairness key may have 64 bytes; a longer one wedges its session."""

SERVER_NAME_BYTES = 1_000
"""Kinds and task queues, as JSON: the server takes no longer names, and a command that has one wedges its session."""

READ_BYTES = 2 * KIB
"""The keys that a context policy names: some dozens; who needs more reads all."""

TOUCHED_KEYS = 300
"""Keys remembered as changed from outside during one task; beyond it every patch of that task conflicts."""

LOG_KEYS_BYTES = 8 * KIB
"""Keys that one log entry names; a patch may touch tens of thousands."""

ID_CHARS = 128
"""A session or task id, as its pattern has it."""

SCHEDULE_NAME_CHARS = ID_CHARS - len("-20260131T090000Z")
"""The name of a schedule: the nominal time behind it makes a task id."""

QUESTION_BYTES = 2 * KIB
"""A question to a person, and its choices: what people read before they answer."""

QUESTION_DATA_BYTES = 16 * KIB
"""What a question carries besides its words, say a tool and its arguments: what a person can still look through."""

KIND_LABELS = 100
"""Kinds that metrics tell apart; the names come from those who submit tasks, and each makes some forty time series."""

USAGE_BYTES = 512
"""What a task says it cost: a handful of numbers."""

USAGE_SUM_BYTES = KIB
"""What a session sums up of it: some thirty names, so that tasks which make up names cannot fill its state."""

BUDGET_BYTES = 512
"""A budget: as many names as one task may report (`USAGE_BYTES`)."""

FINISH_REASON_BYTES = 64
"""Why an answer ended: a word, of some thirty letters in the longest of them (`MALFORMED_FUNCTION_CALL`)."""

REFUSED_STARTS = 5
"""Tasks remembered that the server refused to start before the session had taken them: one at a time is started."""

NOTIFY_URL_BYTES = 512
"""Where notifications go: twice the length of what services give out for it."""

REASON_CHARS = 500
"""A reason given with a cancel or a close."""

REQUEST_IDS = 100
"""`request_id`s of updates remembered with their result: a retry comes within seconds."""

JSON_DEPTH = 100
"""Nesting of any value that users send. The JSON parser stops at 200 levels and the carried state adds a few of its
own: without this bound a value accepted today could make tomorrow's continue-as-new unreadable."""

DURATION_SECONDS = 10 * 365 * 86_400.0
"""The longest duration anyone may ask for (ten years): Temporal's timers overflow beyond some centuries."""

SHORTEST_SECONDS = 0.001
"""The shortest. What rounds to no microseconds at all would mean no timeout at all."""

# --- compaction -------------------------------------------------------------------------------------------------------

COMPACT_TURNS = 12
"""Turns beyond which a session is compacted, unless its `compact` says otherwise. Passed by half they are 18, and a
task is given 20: no turn leaves its sight before the summary has it."""

COMPACT_BYTES = 64 * KIB
"""The same by weight, a quarter of the transcript: half of it leaves, which fits into the version log beside others."""

COMPACT_TURNS_MOST = TRANSCRIPT_TURNS * 2 // 3
"""The highest `turns` of a `compact`: passed by half the transcript is full, and turns leave it by themselves."""

COMPACT_BYTES_LEAST = 1 * KIB
"""The lowest `bytes` of a `compact`: some five short turns. Below it, each turn would be over the bound."""

COMPACT_BYTES_MOST = TRANSCRIPT_BYTES * 2 // 3
"""The highest `bytes` of a `compact`, as with its `turns`."""

COMPACT_TIMEOUT_SECONDS = 60.0
"""What a compaction may take, where the session's `task_timeout` is not shorter: the longest that people wait for an
answer, for they may wait for its end."""

COMPACT_GROWTH_BYTES = 2 * KIB
"""What the values may grow by beyond the turns that leave for it: a summary of short turns may be longer than they."""

SUMMARY_BYTES = 8 * KIB
"""A summary that `Summarise` writes: some 1,300 words, which every task is given."""

# --- messages that a kind keeps ---------------------------------------------------------------------------------------

HISTORY_BYTES = 64 * KIB
"""Messages of an agent's conversation, tool calls included: a quarter of the context. What undoes their trimming is as
heavy, and fits the version log."""

HISTORY_MESSAGES = 400
"""The same by number: of short ones no model needs more of the past."""

LOST_MESSAGE_BYTES = 500
"""What a model is told of a question or an answer whose messages have left: enough to know what it was about. All of
them together are as a summary, the oldest leave first."""

# --- budgets of one run ---------------------------------------------------------------------------------------------

RUN_TASKS = 500
"""Tasks a run executes before it continues as new: at 13 events a task, 6,500 events, a replay of about two seconds."""

RUN_EVENTS = 10_000
"""History events of a run. The server warns at 10,240 and ends the workflow at 51,200."""

RUN_SECONDS = 86_400.0
"""Age of a run: a day, so that old code can be retired within a day of activity."""

REST_EVENTS = 200
"""History events from which on a run that rests is handed over: fifteen tasks. An evicted session replays them in
150 ms, and in 200 where its context is full (`benchmarks.crowd --waking`). A hand-over takes as many events as one
task, and writes the whole state once more: 660 KB of a full session, 44 KB for each of those tasks."""

GUARDED_REST_EVENTS = 330
"""The same for runs that began to rest before it was REST_EVENTS."""

REST_SECONDS = 10.0
"""How long a session has to rest before. A hand-over takes a tenth of a second, in which a message would have to wait;
people who talk pause for some seconds, and whoever is silent for ten is seldom back in that tenth."""

# --- notifications ----------------------------------------------------------------------------------------------------

NOTICE_OUTPUT_BYTES = 8 * KIB
"""An output that a notification carries, some 1,300 words. It is in the histories of the session, of what delivers it,
and is sent again with each attempt; a larger one is asked for by its task's id."""

NOTICES_AT_ONCE = 50
"""Notifications that one execution delivers, each by an activity of its own: a close may end a thousand tasks."""

NOTICES_BYTES = 256 * KIB
"""The same by weight: it starts them all in one workflow task, of which the server takes 4 MiB."""

NOTIFY_SECONDS = 86_400.0
"""How long a notification is tried: a day, in which somebody will have looked at a receiver that is down."""

NOTIFY_ATTEMPT_SECONDS = 15.0
"""One attempt, from finding the address to the status of the answer: what Standard Webhooks asks senders to wait."""

NOTIFY_HEARTBEAT_SECONDS = 5.0
"""After that a worker that died while it told somebody counts as dead, as one that submits a scheduled task does."""

NOTIFY_RETRY_SECONDS = 1.0
"""First pause between attempts; it doubles."""

NOTIFY_LONGEST_PAUSE_SECONDS = 600.0
"""The longest: a receiver that is back is told within ten minutes, and one that stays away costs 150 requests a day."""

NOTIFY_ATTEMPTS_AT_ONCE = 20
"""Attempts under way from one worker to one host. One that hangs holds no more of the worker's thousand activities, so
that tasks have the rest."""

# --- timeouts -------------------------------------------------------------------------------------------------------

WATCH_TIMEOUT_SECONDS = 20.0
"""One attempt of the activity that waits for a child it did not start. Short, because a lost worker is noticed no
sooner; retries are free of events."""

WATCH_RETRY_SECONDS = 1.0
"""Pause before the next such attempt."""

CONTROL_TIMEOUT_SECONDS = 10.0
"""One attempt of a call to the server made for the session (terminate a child): normally milliseconds."""

SCHEDULED_SUBMIT_SECONDS = 30.0
"""One attempt to submit a scheduled task: a session that has to be read from its history first takes seconds."""

SCHEDULED_HEARTBEAT_SECONDS = 5.0
"""After that a worker that died while it submitted counts as dead; workers beat for their activities by themselves."""

FORK_GLANCE_SECONDS = 2.0
"""To look at which sessions wait for which, within such an attempt: one that has a worker answers in milliseconds."""

MESSAGES_AT_ONCE = 500
"""Messages that one workflow task acts upon, at 0.1 to 0.2 ms each. The SDK gives a workflow task up after two seconds,
and the next attempt has the same messages: a burst of 10,000 would wedge the session."""

MESSAGE_UNIT_BYTES = 3 * KIB
"""A larger message counts as several: a million bytes of nothing but brackets take a quarter of a second."""

MESSAGE_BYTES = 1_024 * KIB
"""One message as it is sent; a larger one is not even read. Nothing that fits weighs more: 256 KiB of values, three
times that where escapes spell them."""

BACKLOG_PAUSE_SECONDS = 0.01
"""Before the next share of such a burst: any timer, so that it comes in a workflow task of its own."""

# --- streaming --------------------------------------------------------------------------------------------------------

STREAM_BYTES = 256 * KIB
"""What one attempt may tell by its heartbeats, which carry all of it each time; twice what an output may weigh."""

STREAM_EVENT_BYTES = 16 * KIB
"""One event of a kind's own, as much as the data of a question."""

STREAM_BYTES_A_SECOND = 256 * KIB
"""What a task sends of it: beats that carry more come less often, down to one a second."""

STREAM_SECONDS = 0.25
"""Between beats at least: a reader of text takes it for flowing, and a server gets four small writes a second."""

STREAM_THROTTLE_SECONDS = 0.05
"""What the SDK waits between beats of one activity. Its own 0.8 of a timeout would hold a stream back for seconds; the
writers of beats pace themselves, all but streams by the worker's own (`starter/serving/heartbeats.py`)."""

ATTEMPTS_AN_ACTIVITY = 1_000
"""Numbers of attempts that each activity of a task has for its streams; they rise with each. Retries go up to minutes
apart, so a task's timeout comes first."""

MARKED_EVENTS = 1_000
"""Events whose places are kept with an activity's result, some 6 KiB. A stream that had more is told whole again to who
goes on with it after its end."""

# --- files ------------------------------------------------------------------------------------------------------------

FILE_BYTES = 1_024 * MIB
"""One stored file, unless `SESSIONS_FILE_BYTES` says otherwise: a long video; more is a mistake, or an attack."""

FILE_CHUNK_BYTES = 1 * MIB
"""What of a file is in memory at a time, beside the blocks of 8 MiB that a bucket is written and read in."""

FILE_VALUE_BYTES = 32 * MIB
"""A stored input that a kind reads as a value: in memory, as JSON is parsed, it takes some ten times as much."""

MODEL_FILES_BYTES = 20 * MIB
"""Files that go to a model with one question, together: providers take requests of some 32 MiB, and base64 adds a
third."""

FILE_ATTEMPTS = 5
"""Attempts of an activity of ours at a store that fails, seconds apart; then its task ends as FilesUnavailable."""

FORK_SECONDS = 300.0
"""One attempt at reading another session's context and copying the files in it; it beats meanwhile."""

KEEP_TIMEOUT_SECONDS = 300.0
"""One attempt at storing an output: hundreds of MiB at 10 Mbit/s."""

# --- the built-in kinds ---------------------------------------------------------------------------------------------

MODEL_TIMEOUT_SECONDS = 120.0
"""One attempt at a model call: the longest that people wait for an answer, twice over."""

MODEL_RETRY_SECONDS = 1.0
"""First pause between attempts at a model call; it doubles, and a Retry-After overrides it."""

COUNTDOWN_MAX_SECONDS = 3_600
"""The longest countdown, an hour: the default task timeout."""

COUNTDOWN_HEARTBEAT_SECONDS = 5.0
"""A countdown beats each second; five silent ones mean that its worker is gone."""

MODEL_HEARTBEAT_SECONDS = 10.0
"""Silence after which the worker of a model call counts as lost; a cancellation arrives within half of it."""

# --- agent frameworks ------------------------------------------------------------------------------------------------

FLOW_STATE_BYTES = 1_024 * KIB
"""A checkpoint of a LlamaIndex workflow: store, events under way, questions. The server refuses heartbeats and results
of 2 MiB and more (1.95 MB went, 2.5 MB did not: tried); half of it leaves room for what goes along."""

FLOW_HEARTBEAT_SECONDS = 10.0
"""Silence after which the worker of a LlamaIndex workflow counts as lost. A step that blocks its event loop for longer
is taken for a lost worker, too, and begun again elsewhere."""

FLOW_SECONDS = 86_400.0
"""One stretch of a LlamaIndex workflow, a day: the task's own timeout comes first, and past it the work only goes on
from its last checkpoint."""

FLOW_RETRY_SECONDS = 1.0
"""Pause before another worker goes on; what failed for good is not tried again."""

TOOL_TIMEOUT_SECONDS = 300.0
"""One attempt at a tool of an agent, unless its author says otherwise: most answer within seconds."""

TOOL_ATTEMPTS = 3
"""Attempts at a tool whose worker was lost, or that ran out of its time: what it does may have been done by then."""

TOOL_ANSWER_BYTES = 128 * KIB
"""What a tool gives a model to read, as much as a task may answer. Every later call of the model carries it again."""
