"""The parent's side: a long-lived child process that may crash, hang or swell without harm."""

import logging
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from encoders.budget import Budget
from encoders.conversation import ChildGoneError, Conversation
from encoders.errors import PictureError
from encoders.plan import Outcome, Plan, Rendition
from encoders.spawn import Child, Reach, spawn

logger = logging.getLogger("pixerve.encoders")

_GRACE_S = 1.0
"""How long an idle child may take to leave before it is killed."""


class Converter:
    """A handle on one child, which starts with the first job and is replaced when in doubt.

    Use it from one thread only, which must live as long as the child is wanted: the kernel kills
    the child when that thread ends. The child is replaced after every failed decode, after
    ``recycle_jobs`` jobs, and when it has grown past ``recycle_rss`` bytes.

    A child opens files below ``roots`` only; a plan that lies elsewhere gets a child of its own.
    ``budget`` is asked for each job's share of memory. Both are read anew for each job.
    """

    def __init__(
        self,
        *,
        recycle_jobs: int = 200,
        recycle_rss: int = 512 << 20,
        roots: Callable[[], tuple[Path, ...]] = tuple,
        budget: Callable[[], Budget | None] = lambda: None,
    ) -> None:
        self.roots = roots
        self._budget = budget
        self._recycle_jobs = recycle_jobs
        self._recycle_rss = recycle_rss
        self._child: Child | None = None
        self._jobs_done = 0

    @property
    def pid(self) -> int | None:
        """The child's process id, or None when there is no child."""
        return self._child.process.pid if self._child else None

    def convert(
        self,
        plan: Plan,
        *,
        on_beat: Callable[[], None] | None = None,
        beat_s: float = 5.0,
        on_rendition: Callable[[Rendition], None] | None = None,
    ) -> Outcome:
        """Run one plan and wait for it, at most ``plan.limits.timeout_s`` seconds.

        ``on_beat`` is called every ``beat_s`` seconds, ``on_rendition`` after each written file.
        What either raises ends the child and is passed on. Raises PictureError.
        """
        child = self._ready_child(plan)
        with ExitStack() as held:

            def admit(needed_bytes: int, on_wait: Callable[[], None]) -> None:
                if budget := self._budget():
                    held.enter_context(budget.reserve(needed_bytes, on_wait))

            conversation = Conversation(child, plan.limits.timeout_s, on_beat, beat_s, admit)
            try:
                answer = conversation.run(plan, on_rendition)
            except ChildGoneError:
                raise self._crash(conversation) from None
            except BaseException:
                self._kill()
                raise
        return self._settle(plan, answer, conversation)

    def close(self) -> None:
        """End the child, if there is one. The converter may be used again."""
        if self._child:
            child, self._child = self._child, None
            child.end(grace_s=_GRACE_S)

    def _kill(self) -> None:
        if self._child:
            child, self._child = self._child, None
            child.end()

    def _ready_child(self, plan: Plan) -> Child:
        child = self._child
        if child and (child.process.poll() is not None or not _suits(child, plan)):
            self.close()
        if self._child is None:
            self._child = spawn(plan.limits, self._reach(plan))
            self._jobs_done = 0
        return self._child

    def _reach(self, plan: Plan) -> Reach:
        roots = tuple(root.absolute() for root in self.roots())
        reach = Reach((), roots)
        if reach.covers(plan.source, plan.out_dir):
            return reach
        return Reach((plan.source.absolute().parent,), (*roots, plan.out_dir.absolute()))

    def _settle(self, plan: Plan, answer: dict[str, Any], conversation: Conversation) -> Outcome:
        """Outcome or error of a child that answered; decides whether it may serve again.

        A child that a picture has taken over may say anything, and what it says becomes paths that
        the worker opens: so it names just what was asked for, in the folder that it was given.
        """
        self._jobs_done += 1
        try:
            if "error" in answer:
                raise self._refusal(answer["error"], conversation)
            outcome = Outcome.from_json(answer["outcome"])
            made = sorted((each.name, each.format) for each in outcome.renditions)
            asked = sorted((each.name, each.format) for each in plan.variants)
            if made != asked or plan.out_dir.is_symlink():
                raise TypeError("other files than were asked for")  # noqa: TRY301 - as any nonsense
            if self._jobs_done >= self._recycle_jobs or answer["rss"] > self._recycle_rss:
                self.close()
        except (KeyError, TypeError) as error:
            self.close()
            raise PictureError("decoder_crashed", "The decoder answered nonsense.") from error
        return outcome

    def _refusal(self, error: dict[str, Any], conversation: Conversation) -> PictureError:
        if error["tainted"]:
            self.close()
        if conversation.stderr_tail:
            logger.info("Child refused a picture; its last words: %s", conversation.stderr_tail)
        return PictureError(str(error["code"]), str(error["message"]))

    def _crash(self, conversation: Conversation) -> PictureError:
        conversation.drain_stderr()
        code = _exit_code(self._child) if self._child else 0
        self._kill()
        logger.warning("Child died (%s); last words: %s", code, conversation.stderr_tail)
        if code == -signal.SIGXCPU:
            return PictureError("conversion_timeout", "The conversion used up its CPU time.")
        if code == -signal.SIGKILL:  # nobody sends it but the kernel, or a person
            return PictureError("decoder_killed", "The decoder was killed (SIGKILL): no memory?")
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return PictureError("decoder_crashed", f"The decoder died ({how}) at this picture.")


def _suits(child: Child, plan: Plan) -> bool:
    """Limits and reach are bound for a child's life; a plan with others needs a new one."""
    return child.reach.covers(plan.source, plan.out_dir) and (
        child.limits.memory_bytes,
        child.limits.file_bytes,
    ) == (
        plan.limits.memory_bytes,
        plan.limits.file_bytes,
    )


def _exit_code(child: Child) -> int:
    """How the child ended by itself; 0 if it did not within a second, and is killed now."""
    try:
        return child.process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
        return 0
