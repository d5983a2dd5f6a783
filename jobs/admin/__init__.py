"""The admin's pages: everything readable; users and credentials editable, jobs by their actions.

base          what all lists share: staff only, read-only, a paginator and a search that stay fast
job           jobs: list, filters, actions; `job_page` is the page of one, `actions` what one can do
records       successes and failures
callback      callbacks and their attempts
hosted        files below /files/
trial_token   the form that makes an upload token
credential    how to reach storages: list, form, trial, history; `credential_form` is the form
storage       how deliveries to each storage go
people        users and groups; django-q2's own pages are taken away
"""

from jobs.admin import callback, credential, hosted, job, people, records, storage

__all__ = ["callback", "credential", "hosted", "job", "people", "records", "storage"]
