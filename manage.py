#!/usr/bin/env python
"""Pixerve's commands; `manage.py help` lists them."""

import os
import sys

from pixerve_site.config import ConfigError, current


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pixerve_site.settings")
    try:
        current()
        from django.core.management import execute_from_command_line  # noqa: PLC0415

        execute_from_command_line(sys.argv)
    except ConfigError as error:
        sys.exit(f"pixerve: {error}")


if __name__ == "__main__":
    main()
