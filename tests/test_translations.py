"""German, French and Spanish say everything that the package says to a user, with the right plural forms."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import translation
from django.utils.translation.template import templatize

PACKAGE = Path(__file__).resolve().parent.parent / "django_workos_vault"
LANGUAGES = {"de": "Datenschlüssel", "fr": "Clés de données", "es": "Claves de datos"}
ONE, TWO = ("gettext", "gettext_lazy", "gettext_noop"), ("ngettext", "ngettext_lazy")
#: A call in what Django makes of a template.
CALL = r"""(n?gettext|_)\((u?'.*?'|u?".*?")(?:, ?(u?'.*?'|u?".*?"),)?"""

#: A string to translate; with its plural where it has one.
Text = str | tuple[str, str]


def in_modules() -> Iterator[Text]:
    """What the package's modules mark, by whatever name they import Django's functions."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
                names |= {each.asname or each.name: each.name for each in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from marked(names.get(node.func.id, ""), node.args)


def in_templates() -> Iterator[Text]:
    """What the package's templates mark, as Django's own makemessages finds it."""
    for path in PACKAGE.rglob("*.html"):
        found = templatize(path.read_text(), origin=str(path))
        for name, one, two in re.findall(CALL, found):
            texts = ast.literal_eval(one), ast.literal_eval(two or "''")
            yield texts if name == "ngettext" else texts[0]


def marked(function: str, arguments: list[Any]) -> Iterator[Text]:
    texts = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
    if function in ONE:
        assert len(texts) == 1, f"{function}() takes a text that can be found: {ast.dump(arguments[0])}"
        yield texts[0]
    elif function in TWO:
        yield texts[0], texts[1]
    else:
        assert function in ("", "override", "get_language", "activate"), f"what does {function}() mark?"


@pytest.fixture(scope="module")
def said() -> set[Text]:
    return {*in_modules(), *in_templates()}


def catalog(language: str) -> gettext.GNUTranslations:
    """What is shipped, read without Django and without gettext's tools."""
    with (PACKAGE / "locale" / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def forms(language: str, text: Text) -> list[str]:
    """The translations of ``text``, one for each plural form that the language has."""
    found = catalog(language)._catalog  # type: ignore[attr-defined]
    if isinstance(text, str):
        return [found[text]] if text in found else []
    return [form for key, form in found.items() if isinstance(key, tuple) and key[0] == text[0]]


def test_strings_are_found(said: set[Text]) -> None:
    """In modules and templates, plain ones and those with a plural."""
    assert {"cannot be opened", "Leave blank to keep.", "Encrypted columns"} <= said
    assert ("%(number)s record.", "%(number)s records.") in said
    assert len(said) > 80


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_string_is_missing(language: str, said: set[Text]) -> None:
    """Each is translated, with the same placeholders; none is left over that nobody says."""
    plurals = 3 if language == "es" else 2
    missing = [
        text for text in said if len(forms(language, text)) != (1 if isinstance(text, str) else plurals)
    ]
    assert missing == []
    for text in said:
        shown = text if isinstance(text, str) else text[1]
        for form in forms(language, text):
            assert form
            assert placeholders(form) == placeholders(shown), form
    keys = catalog(language)._catalog  # type: ignore[attr-defined]
    left_over = {key if isinstance(key, str) else key[0] for key in keys if key}
    assert left_over == {text if isinstance(text, str) else text[0] for text in said}


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[sd]", text))


@pytest.mark.parametrize(
    ("language", "number", "shown"),
    [
        ("de", 0, "0 Einträge."),
        ("de", 1, "1 Eintrag."),
        ("fr", 0, "0 enregistrement."),
        ("fr", 2, "2 enregistrements."),
        ("es", 0, "0 registros."),
        ("es", 1, "1 registro."),
        ("es", 1_000_000, "1000000 registros."),
    ],
)
def test_plural_forms(language: str, number: int, shown: str) -> None:
    """As the language has them: none is singular in French."""
    with translation.override(language):
        text = translation.ngettext("%(number)s record.", "%(number)s records.", number)
        assert text % {"number": number} == shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_sources_and_shipped_files_agree(language: str) -> None:
    """The file for translators has nothing fuzzy or obsolete, and what was compiled is what it says."""
    source = (PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po").read_text()
    source = re.sub(r'^"POT-Creation-Date:.*\n', "", source, flags=re.MULTILINE)  # which is not compiled
    assert "#~" not in source
    assert "fuzzy" not in source
    said = "".join(ast.literal_eval(line) for line in re.findall(r'"(?:[^"\\]|\\.)*"$', source, re.MULTILINE))
    for text in catalog(language)._catalog.values():  # type: ignore[attr-defined]
        assert text in said, text


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_in_each_language(admin_client: Client, language: str) -> None:
    """The Vault page, whole."""
    with translation.override(language):
        html = admin_client.get("/admin/django_workos_vault/vaultcheck/").content.decode()
    assert LANGUAGES[language] in html
    assert "Encrypted columns" not in html
