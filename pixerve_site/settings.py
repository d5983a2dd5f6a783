"""Django's settings, derived from `pixerve_site.config`; PIXERVE is the typed original."""

import hashlib
import hmac
import sys
from datetime import timedelta
from urllib.parse import urlsplit

from pixerve_site import config, dashboard_frame, keys, version

PIXERVE = config.current()
KEYS = keys.load(PIXERVE)
VERSION = version.VERSION

BASE_DIR = config.PROJECT_ROOT
SECRET_KEY = KEYS.secret_key
DEBUG = False

_https = PIXERVE.public_url.startswith("https://")
_public_host = urlsplit(PIXERVE.base_url).hostname or "127.0.0.1"
ALLOWED_HOSTS = [*PIXERVE.allowed_hosts, _public_host, "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [PIXERVE.public_url] if PIXERVE.public_url else []

INSTALLED_APPS = [
    "unfold",
    "pixerve_site.apps.PixerveSiteConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "credentials",
    "jobs",
]

MIDDLEWARE = [
    "pixerve_site.middleware.TrustedProxyMiddleware",
    "pixerve_site.middleware.ProbeMiddleware",
    "pixerve_site.middleware.Utf8Middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "pixerve_site.middleware.ProblemMiddleware",
]

ROOT_URLCONF = "pixerve_site.urls"
WSGI_APPLICATION = "pixerve_site.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": PIXERVE.database}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# The worker's own clock ends a long conversion; django-q2's is a last resort far behind it, and
# begins anew with each beat of a job (`jobs.cluster.show_life`). Its guard counts the timeout down
# in GUARD_CYCLE steps to exactly 0, so both are whole multiples.
_q_timeout = PIXERVE.job_timeout * 2 + 300
Q_CLUSTER = {
    "name": "pixerve",
    "broker_class": "jobs.broker.JobBroker",
    "orm": "default",
    "workers": PIXERVE.max_workers,
    "timeout": _q_timeout,
    "retry": _q_timeout * 2 + 60,
    "queue_limit": 1,
    "bulk": 1,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,
    "guard_cycle": 0.5,
    # Where there are other hosts, a ring of theirs may not be heard.
    "poll": 2 if PIXERVE.database["ENGINE"].endswith("sqlite3") else 1,
    "recycle": 5000,
    "max_rss": 400_000,
    # A worker owns a converter child, which a daemonic process may not have.
    "daemonize_workers": False,
    "log_level": "WARNING",
    "label": "Task queue",
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "jobs.api.negotiation.AlwaysTheFirst",
    "EXCEPTION_HANDLER": "jobs.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

# Staff sign in with another key than upload tokens, derived so that SECRET_KEY alone is kept.
STAFF_TOKEN_KEY = hmac.new(SECRET_KEY.encode(), b"pixerve staff token", hashlib.sha256).hexdigest()
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": STAFF_TOKEN_KEY,
    "ISSUER": "pixerve-staff",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=12),
    "CHECK_REVOKE_TOKEN": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Pixerve",
    "DESCRIPTION": "Upload a picture with a token that says what to make of it.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "jobs.api.openapi.finish",
    ],
    # Each view names its own, from jobs.api.schemas.
    "AUTHENTICATION_WHITELIST": [],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "uploadToken": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "an upload token; its `job` says what to make",
            },
            "userToken": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "the access token that /token gives to a user",
            },
        }
    },
}

CORS_ALLOWED_ORIGINS = list(PIXERVE.cors_origins)
CORS_URLS_REGEX = r"^/(?!admin/).*$"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
LOGIN_URL = "admin:login"

# Only /upload takes files, through its own streaming handler and limits.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
DATA_UPLOAD_MAX_NUMBER_FILES = PIXERVE.max_files
# One more than pixerve_site.body lets through: it announces chunked bodies as limit + 1.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20 + 1

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # whether subdomains speak TLS is their owner's to say
    "security.W008",  # the proxy that ends TLS redirects; health checks stay on plain HTTP
    "security.W021",  # the same for the preload list
]

DEFAULT_EXCEPTION_REPORTER_FILTER = "pixerve_site.reports.NoValues"

_CLIENT_LIBRARIES = ("boto3", "botocore", "s3transfer", "urllib3", "google", "paramiko", "requests")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": sys.stderr}
    },
    "root": {"handlers": ["stderr"], "level": PIXERVE.log_level},
    "loggers": {
        "django-q": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
        # Anybody can send a strange Host; the answer says so, the log need not.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "PIL": {"level": "WARNING"},
        # At DEBUG they write down requests with their tokens.
        **{name: {"level": "WARNING"} for name in _CLIENT_LIBRARIES},
        # Its only warning shows the whole URL, whose query may be a secret.
        "urllib3.connection": {"level": "ERROR"},
    },
}

UNFOLD = dashboard_frame.UNFOLD
