"""The site that is made of these pages: ``python -m sphinx -W -b html docs build/site``.

The pages are plain Markdown, and their order is the one of ``index.md``: no page holds directives for the
sake of the site alone, so all of them can be read on a code host too.
"""

import re
from pathlib import Path

import django
from django.conf import settings
from sphinx.application import Sphinx

from django_workos_vault import __version__

REPOSITORY = "https://github.com/django-workos-vault/django-workos-vault"
DOCS = Path(__file__).resolve().parent

project = "django-workos-vault"
author = "The django_workos_vault developers"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"django-workos-vault {release}"
html_copy_source = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}
root_doc = "index"
exclude_patterns = ["_build"]

myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # checks.md and the README begin sections at their own depth
highlight_language = "none"
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

# Modules with models, for api.md, are imported in a project of nothing else.
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_workos_vault"],
    WORKOS_VAULTS={
        "default": {
            "BACKEND": "django_workos_vault.backends.local.LocalVault",
            "KEY_CONTEXT": {"app": "docs"},
            "OPTIONS": {"master_key": bytes(32)},
        }
    },
)
django.setup()


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    """Make of a page for code hosts one for the site."""
    # What is not under docs/ is not on the site: its links lead to the repository.
    text = re.sub(r"\]\(\.\./(?!docs/)", rf"]({REPOSITORY}/blob/main/", source[0])
    # A code host draws them; the site has no script for it, and shows their text.
    text = text.replace("```mermaid\n", "```text\n")
    if name == root_doc:
        text += "".join(_trees(text))
    source[0] = text


def _trees(index: str) -> list[str]:
    """The site's navigation: a tree for each part of the index, of the pages linked in it."""
    parts = re.split(r"^## (.+)$", index, flags=re.MULTILINE)[1:]
    trees = []
    for part, text in zip(parts[::2], parts[1::2], strict=True):
        lines = "".join(re.findall(r"^- .*\n", text, re.MULTILINE))
        pages = dict.fromkeys(re.findall(r"\]\(([\w/-]+)\.md\)", lines))
        if pages:
            trees.append(
                "\n```{{toctree}}\n:hidden:\n:caption: {}\n\n{}\n```\n".format(part, "\n".join(pages))
            )
    return trees
