"""The admin's pages: everything readable, nothing editable but through the three job actions.

base          what all lists share: staff only, read-only, a paginator and a search that stay fast
job           jobs: list, filters, actions; `job_page` is the page of one, `actions` what one can do
records       successes and failures
callback      callbacks and their attempts
hosted        files below /files/
trial_token   the form that makes an upload token
people        users and groups; django-q2's own pages are taken away
"""

from jobs.admin import callback, hosted, job, people, records

__all__ = ["callback", "hosted", "job", "people", "records"]
