"""The states of a job and the only ways between them.

        created ──▶ pending ──▶ processing ──▶ completed
           │          │  ▲  ▲       │  │
           ▼          ▼  │  └───────┘  └─────▶ failed
        cancelled ◀───┘  └─────────────────────┘ (replay)

Every transition is one conditional UPDATE that names the state it leaves (see `jobs.transitions`).
"""

from django.db import models


class State(models.TextChoices):
    CREATED = "created", "Created"  # accepted, waits to be started by its client
    PENDING = "pending", "Pending"  # waits for a worker
    PROCESSING = "processing", "Processing"  # a worker holds its lease
    COMPLETED = "completed", "Completed"  # every output is where it was asked to be
    FAILED = "failed", "Failed"  # over, with a reason
    CANCELLED = "cancelled", "Cancelled"  # taken back before work began


class Stage(models.TextChoices):
    NONE = "", "—"  # not processing
    CONVERTING = "converting", "Converting"  # pixels are being made
    DELIVERING = "delivering", "Delivering"  # outputs go to their destinations


IN_FLIGHT = (State.CREATED, State.PENDING, State.PROCESSING)
FINAL = (State.COMPLETED, State.FAILED, State.CANCELLED)

TRANSITIONS: dict[State, frozenset[State]] = {
    State.CREATED: frozenset({State.PENDING, State.CANCELLED}),
    State.PENDING: frozenset({State.PROCESSING, State.CANCELLED}),
    State.PROCESSING: frozenset({State.COMPLETED, State.FAILED, State.PENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.COMPLETED: frozenset(),
    State.CANCELLED: frozenset(),
}
