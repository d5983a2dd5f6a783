"""Every process is killed, and stopped for a while, at every stage of an upload."""

import pytest

from tests.faults import invariants, table, victims
from tests.faults.plan import Cell
from tests.faults.stack import Stack
from tests.faults.stages import STAGES
from tests.faults.work import Work

pytestmark = pytest.mark.faults

HANGS = "the cluster hangs"
# Where nobody can answer before the victim is there again.
SILENT_S = {"web": invariants.RESTART_S, "everything": invariants.START_S}


def test_every_upload_ends_once_and_right(
    stack: Stack, cell: Cell, record_property: table.Record
) -> None:
    work = Work(stack, cell.row, cell.moments(stack.name))
    hangs = stack.server.log.count(HANGS)
    with STAGES[cell.stage](work, victims.wants(cell.victim)) as uid:
        found = victims.find(stack, cell.victim, uid)
        struck = victims.strike(stack, cell, found, work.moments)
    work.quick(stored=True)
    limit = SILENT_S.get(cell.victim, invariants.SILENT_S)
    # An idle worker buries its child when it needs the next one.
    gone = found if cell.how == "killed" and cell.victim != "child" else []
    invariants.check(work, record_property, struck, silent_s=limit, gone=gone)
    # The watchdog is for hangs; a death is no hang.
    assert cell.how == "stopped" or stack.server.log.count(HANGS) == hangs
