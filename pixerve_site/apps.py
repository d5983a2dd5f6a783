"""The app that holds the site's own commands and system checks."""

from django.apps import AppConfig


class PixerveSiteConfig(AppConfig):
    name = "pixerve_site"

    def ready(self) -> None:
        from pixerve_site import checks  # noqa: F401, PLC0415 - registers the system checks
