"""`manage.py serve [PART ...]`: all of Pixerve, or some of its parts, until Ctrl-C or SIGTERM."""

import os
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import ERROR, WARNING, run_checks
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, OperationalError, connections

from jobs import leases, staging, sweeping, tokens
from jobs.holds import Hold
from pixerve_site import agreement, first_run, restore
from pixerve_site.config import PROJECT_ROOT
from pixerve_site.files import locked
from pixerve_site.first_run import NewAdmin
from pixerve_site.parts import Part
from pixerve_site.ports import listening, port_problem, refuse
from pixerve_site.supervisor import Supervisor

TRIAL_SUBJECT = "trial"
TRIAL_LIFETIME_S = 12 * 3600
TRIAL_JOB = {
    "formats": {
        "jpg": {"settings": {"quality": 80}, "sizes": [[800, 600], [400, 300]]},
        "webp": {"settings": {"quality": 80}, "sizes": [[800]]},
    },
    "directHost": True,
    "subDir": "trial",
}
ANSWER_S = 0.2  # the socket listens before anybody answers, and the supervisor must not wait
SAMPLE = PROJECT_ROOT / "tests" / "images" / "imn_large.jpg"


PARTS = ("web", "cluster", "clerk")


def programs(listener: int | None) -> list[Part]:
    """The programs of one machine. `listener` is the socket that the web processes answer on: it
    is open as long as we are, so that who connects while one is replaced waits for the next."""
    manage = (sys.executable, str(PROJECT_ROOT / "manage.py"))
    gunicorn = (sys.executable, "-m", "gunicorn", "--config", "python:pixerve_site.gunicorn")
    web = (*gunicorn, "--bind", f"fd://{listener}", "pixerve_site.wsgi:application")
    return [
        *([Part("web", web, fds=(listener,), relieves=True)] if listener is not None else []),
        Part("cluster", (*manage, "cluster")),
        Part("clerk", (*manage, "clerk")),
    ]


class Command(BaseCommand):
    help = "Run web, cluster and clerk, or only the parts named, until Ctrl-C or SIGTERM."
    requires_system_checks: list[str] = []  # handle() turns them into one line

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them by default"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        os.chdir(PROJECT_ROOT)
        self._parts = self._chosen(options["parts"])
        self._check_settings()
        with ExitStack() as held:
            if "cluster" in self._parts:
                self._lock(held)
            if "web" in self._parts:
                self._check_port()
            try:
                made = self._prepare()
            except OperationalError as error:
                raise CommandError(f"the database is not there: {_one_line(error)}") from None
            except first_run.MayNotMakeTables as error:
                raise CommandError(str(error)) from None
            code = self._supervise(held, made)
            self._excuse()
        sys.exit(code)

    def _chosen(self, names: list[str]) -> set[str]:
        if strangers := [name for name in names if name not in PARTS]:
            raise CommandError(f"{strangers[0]} is no part; there are {', '.join(PARTS)}")
        return set(names or PARTS)

    def _supervise(self, held: ExitStack, made: NewAdmin | None) -> int:
        options: dict[str, Any] = {"grace_s": max(3.0, settings.PIXERVE.stop_grace - 5.0)}
        number = None
        if "web" in self._parts:
            address = settings.PIXERVE.host, settings.PIXERVE.port
            listener = held.enter_context(listening(*address))
            number = listener.fileno()
            options["on_poll"] = Greeting(self.stdout.write, made)
            options["on_stop"] = partial(refuse, listener)
        parts = [each for each in programs(number) if each.name in self._parts]
        return Supervisor(parts, **options).run()

    def _excuse(self) -> None:
        """Who did not end in time was cut by us: that is not held against its job."""
        if "cluster" in self._parts:
            with suppress(DatabaseError):
                leases.excuse()

    def _check_settings(self) -> None:
        for found in run_checks():
            if found.level >= ERROR:
                raise CommandError(f"{found.msg} {found.hint or ''}".strip())
            if found.level >= WARNING:
                self.stderr.write(f"warning: {found.msg} {found.hint or ''}".strip())

    def _check_port(self) -> None:
        problem = port_problem(settings.PIXERVE.host, settings.PIXERVE.port)
        if problem:
            raise CommandError(f"{problem}; set PIXERVE_PORT to another one, or end it")

    def _lock(self, held: ExitStack) -> None:
        """Two clusters on one data folder would steal each other's bell."""
        folder = Path(settings.PIXERVE.data_dir)
        try:
            lock = held.enter_context(locked(folder / "serve.lock", wait=False))
        except BlockingIOError:
            raise CommandError(
                f"another Pixerve is running on {folder}; end it, or set PIXERVE_DATA_DIR to"
                " another folder"
            ) from None
        # For whoever wants to send us a signal.
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    def _try_lock(self) -> None:
        """What comes in is known by locks on folders, which not every network's file system has."""
        try:
            Hold(staging.root()).release()
        except BlockingIOError:
            pass  # another host of this folder tries at this moment
        except OSError as error:
            raise CommandError(
                f"{staging.root()} cannot be locked ({error.strerror}); set PIXERVE_DATA_DIR to a"
                " folder on a local disk"
            ) from None

    def _prepare(self) -> NewAdmin | None:
        for path in settings.KEYS.made:
            self.stdout.write(f"made {path}")
        self.stdout.flush()  # without web nobody greets, and says so
        with first_run.alone():
            if restore.is_cut_off():
                raise CommandError(restore.CUT_OFF)
            staging.root().mkdir(parents=True, exist_ok=True)
            if "web" in self._parts:
                self._try_lock()
            first_run.remove_half_written()
            first_run.migrate()
            first_run.ensure_schedule()
            made = first_run.ensure_admin(self._tell) if "web" in self._parts else None
        self._compare()
        if "clerk" in self._parts:
            sweeping.prune_staging()
        connections.close_all()
        return made

    def _tell(self, made: NewAdmin) -> None:
        """On a terminal now, and again by who greets; else in a file."""
        if made.password is not None and not sys.stdout.isatty():
            first_run.write_secret(first_run.PASSWORD_FILE, made.password)
        self.stdout.write(f"made the user {_sign_in(made)}")
        self.stdout.flush()

    def _compare(self) -> None:
        if settings.PIXERVE.has_many_hosts:
            shared = agreement.line(settings.PIXERVE, settings.KEYS)
            self.stdout.write(f"the same on each host: {shared}")
            self.stdout.flush()


def _sign_in(made: NewAdmin) -> str:
    """How the new admin signs in."""
    if made.password is None:
        return f"{made.username}, with DJANGO_SUPERUSER_PASSWORD"
    if sys.stdout.isatty():
        return f"{made.username} / {made.password}"
    path = Path(settings.PIXERVE.data_dir) / first_run.PASSWORD_FILE
    return f"{made.username}, password in {path}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class Greeting:
    """Called every second; once the server answers, says where it is and how to try it."""

    def __init__(self, write: Any, made: NewAdmin | None) -> None:
        self._write = write
        self._made = made
        self._said = False

    def __call__(self) -> None:
        if self._said or not self._answers():
            return
        self._said = True
        self._write("\n".join(self._lines()))
        sys.stdout.flush()

    def _answers(self) -> bool:
        host = settings.PIXERVE.host
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        url = f"http://{f'[{local}]' if ':' in local else local}:{settings.PIXERVE.port}/livez"
        request = urllib.request.Request(url, headers={"Host": "localhost"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=ANSWER_S):
                return True
        except urllib.error.HTTPError:
            return True  # it answers; ALLOWED_HOSTS may not know this name
        except OSError:
            return False

    def _lines(self) -> list[str]:
        base = settings.PIXERVE.base_url
        return [
            "",
            f"Pixerve is ready:  {base}/",
            f"  dashboard        {base}/admin/",
            f"  API              {base}/docs",
            *self._admin_lines(),
            *self._trial_lines(base),
            "Ctrl-C stops it.",
            "",
        ]

    def _admin_lines(self) -> list[str]:
        return [] if self._made is None else [f"  sign in as       {_sign_in(self._made)}"]

    def _trial_lines(self, base: str) -> list[str]:
        try:
            token = tokens.issue(TRIAL_SUBJECT, TRIAL_JOB, lifetime_s=TRIAL_LIFETIME_S)
        except tokens.KeyConfigError as error:
            return [f"No trial token: {error}."]
        path = first_run.write_secret("trial_token", token)
        return [
            "Try it:",
            f'  curl -H "Authorization: Bearer $(cat {path})" -F file=@{SAMPLE} {base}/upload',
        ]
