"""The web entry point. Unlike a bare WSGI server it runs the system checks before it answers."""

import os

from django.core.checks import ERROR, run_checks
from django.core.wsgi import get_wsgi_application

from pixerve_site.config import ConfigError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pixerve_site.settings")

_django = get_wsgi_application()

from pixerve_site.body import bounded  # noqa: E402 - needs the settings

for _found in run_checks():
    if _found.level >= ERROR:
        raise ConfigError(f"{_found.id}: {_found.msg}")

application = bounded(_django)
