"""Settings of the example clinic: SQLite and a LocalVault, so that nothing but this checkout is needed.

Django's security settings are those of a development server. ``manage.py check --deploy`` lists what a
real deployment sets differently, this package's own advice included.
"""

from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent

SECRET_KEY = "example project only, never a real deployment"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_workos_vault",
    "example_project",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
STATIC_URL = "static/"
USE_TZ = True

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": PROJECT_DIR / "db.sqlite3"}}

WORKOS_VAULTS = {
    "default": {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "clinic"},
        "OPTIONS": {"key_file": PROJECT_DIR / "vault.key"},
    },
}

# Django's error pages and mails leave out what its frames hold of encrypted fields.
DEFAULT_EXCEPTION_REPORTER_FILTER = "django_workos_vault.tracebacks.ExceptionReporterFilter"
