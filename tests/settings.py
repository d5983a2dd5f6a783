"""The product's settings on a throw-away folder, whatever the caller's environment says."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="pixerve-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("PIXERVE_")]:
    del os.environ[_name]
os.environ["PIXERVE_ENV_FILE"] = os.devnull
os.environ["PIXERVE_DATA_DIR"] = f"{_folder}/data"
os.environ["PIXERVE_SERVE_DIR"] = f"{_folder}/serve"
os.environ["PIXERVE_CALLBACK_ALLOW_PRIVATE"] = "127.0.0.0/8"
# No test depends on how full the disk of this machine is.
os.environ["PIXERVE_READY_FREE_BYTES"] = "1"
_url = os.environ.get("TESTS_DATABASE_URL")  # set by tests.on_postgres
if _url:
    os.environ["PIXERVE_DATABASE_URL"] = _url

from pixerve_site.settings import *  # noqa: E402, F403

# Real hashing costs 0.2 s a user and proves nothing here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A file, as in production: an in-memory database is shared by threads in a mode of its own, in
# which they lock each other out. Nothing here has to survive a power cut.
if _url:
    DATABASES["default"]["ENGINE"] = "tests.peers.emptied_by_delete"  # noqa: F405
else:
    DATABASES["default"]["TEST"] = {"NAME": f"{_folder}/test.sqlite3"}  # noqa: F405
    DATABASES["default"]["OPTIONS"]["init_command"] = (  # noqa: F405
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    )

# Static files are looked up when they are asked for, not listed anew by each test's client.
WHITENOISE_AUTOREFRESH = True
