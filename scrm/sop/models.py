"""Playbooks, who is in them, what each step did, and what went out."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, false, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


playbook = Table(
    "playbook",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("title", String(120), nullable=False),
    # published, paused, retired, archived
    Column("state", String(12), nullable=False, server_default=text("'published'")),
    Column("version", Integer, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    # What those under way do while it is paused: go_on, or held.
    Column("runs", String(12), nullable=False, server_default=text("'go_on'")),
    # Events that happened before begin nothing: set when it is enabled again.
    Column("entries_from", UtcDateTime),
    # Of the file's text when it was last published, so that an old file never takes back what the console changed.
    Column("file_digest", String(64), nullable=False, server_default=text("''")),
)

playbook_version = Table(
    "playbook_version",
    metadata,
    Column("playbook_key", ForeignKey("playbook.key"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    _text("published_by", 64),
    # file, console, cli
    Column("origin", String(12), nullable=False, server_default=text("'file'")),
    _text("why", 300),
    # The version whose text this one brought back.
    Column("rolled_back_to", Integer),
    # The library's scripts that it names, as they were then: {"tpl.hello": {"text", "attachments"}}.
    Column("contents", Json, nullable=False, server_default=text("'{}'")),
)

# A text being worked on, beside the versions; at most one for each playbook.
playbook_draft = Table(
    "playbook_draft",
    metadata,
    Column("playbook_key", String(64), primary_key=True),
    Column("source", Text, nullable=False),
    # The version it was begun from; 0 for a playbook that was never published.
    Column("based_on", Integer, nullable=False, server_default=text("0")),
    # draft, pending (asked to be published, waits for a manager)
    Column("state", String(12), nullable=False, server_default=text("'draft'")),
    _text("saved_by", 64),
    Column("saved_at", UtcDateTime, nullable=False),
    _text("asked_by", 64),
    Column("asked_at", UtcDateTime),
    _text("why", 300),
    # What publishing reaches and costs, as it was shown to the one who asked.
    Column("estimate", Json, nullable=False, server_default=text("'{}'")),
)

# Who did what to a playbook, when and why.
playbook_change = Table(
    "playbook_change",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("playbook_key", String(64), nullable=False),
    # published, rolled_back, asked, refused, paused, resumed, retired, archived, restored, migrated, restarted
    Column("act", String(16), nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),
    _text("by", 64),
    _text("why", 300),
    Column("facts", Json, nullable=False, server_default=text("'{}'")),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_playbook_change_key", "playbook_key", "id"),
)

# One person's way through one playbook; waiting is a row with due_at, not a timer.
enrolment = Table(
    "enrolment",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("playbook_key", ForeignKey("playbook.key"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("run_key", String(200), nullable=False),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("userid", String(64), nullable=False, server_default=text("''")),
    Column("external_userid", String(64), nullable=False, server_default=text("''")),
    Column("event_id", BigInteger),
    # The moment T0 and D+0 are counted from.
    Column("anchor_at", UtcDateTime, nullable=False),
    # Index of the next step in the version's list.
    Column("step", Integer, nullable=False, server_default=text("0")),
    Column("due_at", UtcDateTime),
    # active; paused and queued, which no tick claims; goal, exited, done, failed, merged
    Column("state", String(12), nullable=False, server_default=text("'active'")),
    _text("ended_reason", 200),
    Column("enrolled_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("correlation", String(40), nullable=False, server_default=text("''")),
    # What T0 and D+0 count from since a wait ended or a pause was over; else the anchor.
    Column("counted_from", UtcDateTime),
    # The event that the run waits for.
    _text("awaits", 48),
    # Left alone, to be compared with: no step is released, the goal and the exit still count.
    Column("is_holdout", Boolean, nullable=False, server_default=false()),
    # Why the step that is due was put off.
    _text("held_reason", 200),
    Column("paused_at", UtcDateTime),
    # A run that was begun again decides its steps once more: the pass of its step runs.
    Column("pass_number", Integer, nullable=False, server_default=text("0")),
    # Which way the run took: {"<branch or split id>": "<arm's name>"}.
    Column("arms", Json, nullable=False, server_default=text("'{}'")),
    # The playbook's: what the guards of other runs of this person ask for.
    Column("priority", String(2), nullable=False, server_default=text("''")),
    # One of those that come one after the other: P3 and P4, one run for a person, with something to say.
    Column("is_journey", Boolean, nullable=False, server_default=false()),
    # When a run that is held by the guards (queued, paused) is looked at again.
    Column("look_at", UtcDateTime),
    Index(
        "ix_enrolment_look_at",
        "look_at",
        "id",
        sqlite_where=text("state IN ('queued', 'paused') AND look_at IS NOT NULL"),
        postgresql_where=text("state IN ('queued', 'paused') AND look_at IS NOT NULL"),
    ),
    Index("uq_enrolment_run_key", "playbook_key", "run_key", unique=True),
    Index(
        "ix_enrolment_due_at",
        "due_at",
        "id",
        sqlite_where=text("state = 'active' AND due_at IS NOT NULL"),
        postgresql_where=text("state = 'active' AND due_at IS NOT NULL"),
    ),
    Index("ix_enrolment_person_id", "person_id"),
    Index(
        "ix_enrolment_ended_at",
        "ended_at",
        "id",
        sqlite_where=text("ended_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    # Those under way of one playbook, to hold, move or count them in slices.
    Index(
        "ix_enrolment_living",
        "playbook_key",
        "state",
        "id",
        sqlite_where=text("state IN ('active', 'paused', 'queued')"),
        postgresql_where=text("state IN ('active', 'paused', 'queued')"),
    ),
    # The same by where they stand, to be counted and listed.
    Index(
        "ix_enrolment_place",
        "playbook_key",
        "state",
        "is_holdout",
        "version",
        "step",
        "id",
        sqlite_where=text("state IN ('active', 'paused', 'queued')"),
        postgresql_where=text("state IN ('active', 'paused', 'queued')"),
    ),
)

# One execution of one step; unique, so a step is decided once whatever happens.
step_run = Table(
    "step_run",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("enrolment_id", ForeignKey("enrolment.id"), nullable=False),
    Column("step_id", String(64), nullable=False),
    Column("pass", Integer, nullable=False, server_default=text("0")),
    Column("channel", String(2), nullable=False),
    # intent, done, skipped, dropped, failed, unknown; a T step is waiting until its task ends
    Column("state", String(12), nullable=False),
    _text("reason", 300),
    Column("facts", Json, nullable=False, server_default=text("'{}'")),
    Column("intent_at", UtcDateTime, nullable=False),
    Column("outcome_at", UtcDateTime),
    Index("uq_step_run_step", "enrolment_id", "step_id", "pass", unique=True),
    Index(
        "ix_step_run_open",
        "intent_at",
        sqlite_where=text("state = 'intent'"),
        postgresql_where=text("state = 'intent'"),
    ),
)

# What a member is asked to do.
task = Table(
    "task",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("step_run_id", ForeignKey("step_run.id"), unique=True),
    Column("enrolment_id", ForeignKey("enrolment.id")),
    Column("playbook_key", String(64), nullable=False, server_default=text("''")),
    Column("playbook_title", String(120), nullable=False, server_default=text("''")),
    Column("step_id", String(64), nullable=False, server_default=text("''")),
    Column("userid", String(64), nullable=False),
    Column("external_userid", String(64), nullable=False),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("title", String(120), nullable=False),
    Column("text", Text, nullable=False),
    # What goes with the text, in sendChatMessage's own shape: [{"msgtype": "news", "news": {...}}, ...]
    Column("attachments", Json, nullable=False, server_default=text("'[]'")),
    # The shop's own fields that the member asks for while they talk.
    Column("form", Json, nullable=False, server_default=text("'[]'")),
    # open (待员工确认), sent, skipped, postponed -> open, expired, withdrawn
    Column("state", String(12), nullable=False, server_default=text("'open'")),
    _text("reason", 300),
    # Shown from here on; a postponed task comes back at this time.
    Column("open_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("released_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    # waiting (for its half hour), sent, unsent, spared (beyond what a member bears in a day)
    Column("reminder", String(12), nullable=False, server_default=text("'waiting'")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("correlation", String(40), nullable=False, server_default=text("''")),
    # send (to be sent), suggestion (may be sent when they talk anyway), hint (only for the member's eyes),
    # promise (what the member promised the customer)
    Column("kind", String(12), nullable=False, server_default=text("'send'")),
    # When the member's manager is told that it still waits; null: never, or told already.
    Column("escalate_at", UtcDateTime),
    # By when a promise is to be kept; it stays open after that.
    Column("due_at", UtcDateTime),
    Index(
        "ix_task_escalate_at",
        "escalate_at",
        sqlite_where=text("state = 'open' AND escalate_at IS NOT NULL"),
        postgresql_where=text("state = 'open' AND escalate_at IS NOT NULL"),
    ),
    Index("ix_task_userid", "userid", "state", "open_at"),
    Index("ix_task_contact", "external_userid", "userid", "state"),
    # What became of a member's day.
    Index(
        "ix_task_ended_at",
        "userid",
        "ended_at",
        sqlite_where=text("ended_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    Index("ix_task_person_id", "person_id"),
    Index("ix_task_enrolment_id", "enrolment_id"),
    Index(
        "ix_task_expires_at",
        "expires_at",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_task_reminder",
        "open_at",
        sqlite_where=text("state = 'open' AND reminder = 'waiting'"),
        postgresql_where=text("state = 'open' AND reminder = 'waiting'"),
    ),
)

# Everything that went out, or should have, with the reason; intent before the call, outcome after.
send = Table(
    "send",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # welcome, app_message, chat (a member's one-tap send), mass (a step in a mass message)
    Column("kind", String(16), nullable=False),
    Column("userid", String(64), nullable=False, server_default=text("''")),
    Column("external_userid", String(64), nullable=False, server_default=text("''")),
    Column("person_id", BigInteger),
    Column("playbook_key", String(64), nullable=False, server_default=text("''")),
    Column("step_id", String(64), nullable=False, server_default=text("''")),
    Column("task_id", BigInteger),
    # What may go out only once: "welcome:<code hash>", "reminder:<member>:<half hour>" ...
    Column("once", String(160), unique=True),
    Column("content", Json, nullable=False, server_default=text("'{}'")),
    Column("received_at", UtcDateTime),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    # intent, waiting (for its member), sent, done_by_other, too_late, failed, unknown, none (nothing to send)
    Column("outcome", String(16), nullable=False),
    Column("errcode", Integer, nullable=False, server_default=text("0")),
    _text("reason", 300),
    _text("correlation", 40),
    Index("ix_send_contact", "external_userid", "decided_at"),
    Index("ix_send_decided_at", "decided_at"),
    # The welcomes that a member should make up for.
    Index(
        "ix_send_missed_welcome",
        "userid",
        "decided_at",
        sqlite_where=text("kind = 'welcome' AND outcome IN ('failed', 'too_late', 'unknown')"),
        postgresql_where=text("kind = 'welcome' AND outcome IN ('failed', 'too_late', 'unknown')"),
    ),
    # What did not go out, or nobody knows.
    Index(
        "ix_send_trouble",
        "decided_at",
        sqlite_where=text("outcome IN ('failed', 'too_late', 'unknown')"),
        postgresql_where=text("outcome IN ('failed', 'too_late', 'unknown')"),
    ),
    Index(
        "ix_send_open",
        "decided_at",
        sqlite_where=text("outcome = 'intent'"),
        postgresql_where=text("outcome = 'intent'"),
    ),
)

# What holds for every playbook as administrators set it on the page; what is not in it is in the settings.
house_guard = Table(
    "house_guard",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("values", Json, nullable=False),
    Column("changed_by", String(64), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
)
