"""The stacks, each started once for all that is done to it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.delivery.backends.conftest import client, gateway
from tests.faults import plan
from tests.faults import stack as stacks
from tests.faults.stack import Stack
from tests.peers import ssh

__all__ = ["client", "gateway"]


@pytest.fixture(scope="session")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The one that `request.param` names. What is done to it leaves it as it was."""
    name = request.param
    if reason := stacks.missing(name):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp(name)
    with ExitStack() as open_:
        if name == "embedded":
            sshd = open_.enter_context(ssh.running(tmp_path_factory.mktemp("sshd")))
            yield open_.enter_context(stacks.embedded(folder, sshd))
        else:
            peers = [request.getfixturevalue(each) for each in ("gateway", "client")]
            yield open_.enter_context(stacks.shared(folder, *peers))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of a stack for both of them, each test of a cell for those of its stack."""
    if "cell" in metafunc.fixturenames:
        both = [(stack, cell) for stack in plan.STACKS for cell in plan.cells(stack)]
        ids = [f"{stack}-{cell}" for stack, cell in both]
        metafunc.parametrize("stack, cell", both, ids=ids, indirect=["stack"], scope="session")
    elif "stack" in metafunc.fixturenames and not _is_chosen(metafunc):
        metafunc.parametrize("stack", plan.STACKS, indirect=True, scope="session")


def _is_chosen(metafunc: pytest.Metafunc) -> bool:
    """Whether the test itself says which stack it is for."""
    marks = metafunc.definition.iter_markers("parametrize")
    return any(mark.args[0] == "stack" for mark in marks)
