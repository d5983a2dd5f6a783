"""Which files go to one of xdist's workers, because they share what takes long to start.

Files that are not named here go one by one; a file too few costs time, and nothing else.
"""

import re

from xdist.scheduler import LoadFileScheduling

_ACCEPTANCE = "tests/acceptance/test_"
_TOGETHER = {
    "one Ceph": (
        "tests/delivery/backends/test_s3.py",
        "tests/delivery/backends/test_s3_bucket.py",
        "tests/delivery/backends/test_s3_faults.py",
        "tests/jobs/test_bucket.py",
        "tests/jobs/test_bucket_hosted.py",
        "tests/jobs/test_bucket_sweep.py",
    ),
    "the server with one worker": (
        f"{_ACCEPTANCE}callbacks.py",
        f"{_ACCEPTANCE}duplicates.py",
        f"{_ACCEPTANCE}order.py",
        f"{_ACCEPTANCE}streaming.py",
    ),
    "the server that nobody harms": (
        f"{_ACCEPTANCE}example.py",
        f"{_ACCEPTANCE}hostile.py",
        f"{_ACCEPTANCE}load.py",
        f"{_ACCEPTANCE}pictures.py",
        "tests/admin/test_browser.py",
        "tests/site/test_body.py",
        "tests/site/test_gunicorn.py",
    ),
    "the server in two pieces": (
        "tests/deploy/test_backup.py",
        "tests/deploy/test_nginx.py",
        "tests/deploy/test_parts.py",
    ),
}
_GROUP_OF = {file: group for group, files in _TOGETHER.items() for file in files}


class TogetherScheduling(LoadFileScheduling):
    """Hands out files whole, and those that share a server at once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        stack = re.match(r"tests/faults/.*\[.*\b(embedded|shared)\b", nodeid)
        return f"faults, {stack[1]}" if stack else _GROUP_OF.get(file, file)
