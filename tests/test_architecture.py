"""docs/architecture.md shows the rooms of the package and its arrows are what the imports are."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from inspect import isclass
from pathlib import Path

import django
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = "django_workos_vault"
PAGE = (CHECKOUT / "docs" / "architecture.md").read_text()
GROUND = "ground"

#: Names that begin with an underscore and are documented all the same.
DOCUMENTED = {"_base_manager", "_default_manager", "_meta", "_open", "_save", "_state"}
#: Where all others of Django's are used.
INTERNALS = f"{PACKAGE}.fields.django_internals"

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """The modules of the package by dotted name; a package is its ``__init__``."""
    paths = sorted((CHECKOUT / PACKAGE).rglob("*.py"))
    names = [".".join(path.relative_to(CHECKOUT).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


MODULES = modules()


def imported(module: str) -> Iterator[str]:
    """What the code of ``module`` imports of the package, anywhere in it: in functions and for types too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE:
                yield name if name in MODULES else name.rpartition(".")[0]


@cache
def imports() -> Graph:
    return {module: set(imported(module)) - {module} for module in MODULES}


@cache
def rooms() -> dict[str, str]:
    """The room of each module right under the package, as the page's table has it."""
    rows = re.findall(r"^\| (\w+) \| (`.*`) \| (.+\.) \|$", PAGE, re.MULTILINE)
    return {module: room for room, members, _ in rows for module in re.findall(r"`(\w+)`", members)}


def room_of(module: str) -> str:
    parts = module.split(".")
    return rooms()[parts[1] if len(parts) > 1 else "__init__"]


@cache
def arrows_between_rooms() -> Graph:
    arrows: Graph = {room: set() for room in rooms().values()}
    for module, others in imports().items():
        here = room_of(module)
        arrows[here] |= {room_of(other) for other in others} - {here}
    return arrows


def beyond(graph: Graph, start: str) -> set[str]:
    """What can be reached from ``start``."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting += graph[place]
    return found


def drawn() -> Graph:
    graph: Graph = {room: set() for room in rooms().values() if room != GROUND}
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    for start, ends in re.findall(r"^ *(\w+) --> (.*)$", diagram, re.MULTILINE):
        graph[start] |= set(ends.split(" & "))
    return graph


def test_no_two_modules_import_each_other() -> None:
    """No circle of imports, type-only ones and those inside of functions included."""
    tuple(TopologicalSorter(imports()).static_order())  # a CycleError names the circle


def test_every_module_has_a_room() -> None:
    """The table names each module and package once, and none that is not there."""
    listed = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| \w+ \| (`.*`) \|", PAGE, re.MULTILINE)))
    there = {name.split(".")[1] for name in MODULES if "." in name} | {"__init__"}
    assert sorted(listed) == sorted(there)


def test_every_module_says_what_it_is_for() -> None:
    """In its first line, in one sentence."""
    for name, path in MODULES.items():
        lines = path.read_text().splitlines()
        if lines and ".migrations." not in name:
            assert lines[0].startswith('"""'), name
            assert lines[0].endswith('"""') or not lines[1], f"{name}: {lines[0]}"


def test_the_ground_carries_itself() -> None:
    """The room to which no arrows are drawn imports no other."""
    assert arrows_between_rooms()[GROUND] == set()


def test_the_diagram_is_what_the_imports_are() -> None:
    """Each arrow is an import; each import is an arrow, or leads to a room further along the arrows."""
    real = {room: ends - {GROUND} for room, ends in arrows_between_rooms().items() if room != GROUND}
    tuple(TopologicalSorter(real).static_order())
    needed = {
        room: {end for end in ends if not any(end in beyond(real, other) for other in ends)}
        for room, ends in real.items()
    }
    assert drawn() == needed


@pytest.mark.parametrize("path", re.findall(r"^<!-- class: ([\w.]+) -->$", PAGE, re.MULTILINE))
def test_a_class_has_the_layers_that_the_page_shows(path: str) -> None:
    """Layer by layer, from the one that users name down to the one that knows none of the others."""
    module, _, name = path.rpartition(".")
    layers = [each for each in getattr(import_module(module), name).__mro__ if each is not object]
    below = PAGE.partition(f"<!-- class: {path} -->")[2].strip().partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \| `([\w/]+)` \|", below, re.MULTILINE) == [
        (each.__name__, each.__module__.removeprefix(f"{PACKAGE}.").replace(".", "/")) for each in layers
    ]


@cache
def private_names() -> set[str]:
    """The names with an underscore that Django gives attributes and methods, or asks others for."""
    found: set[str] = set()
    for path in Path(django.__file__).parent.rglob("*.py"):
        if "locale" not in path.parts:
            found |= set(re.findall(r"(?:\.|def )(_[a-z]\w*)", path.read_text()))
    return {name for name in found - DOCUMENTED if not name.endswith("_")}


def is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@cache
def given_by(module: str) -> set[str]:
    """The names that a module gives functions, classes, variables and attributes of ``self``."""
    return {
        name
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else [node.attr]
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value)
            else []
        )
    }


def uses_of_private_names(module: str) -> Iterator[str]:
    """Yield the names of what a module asks objects of, and never gave to any."""
    here, anywhere = given_by(module), set().union(*map(given_by, MODULES))
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Attribute):
            is_super = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super"
            known: set[str] = set() if is_super else anywhere if is_own(node.value) else here
            asked: str = node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            known, asked = here, str(getattr(node.args[1], "value", ""))
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("django."):
            known, asked = set(), next((name.name for name in node.names if name.name.startswith("_")), "")
        else:
            continue
        if asked in private_names() - known:
            yield asked


def test_private_names_of_django_are_used_in_one_place() -> None:
    """What a new Django may rename without a word is asked for where each such assumption has a test."""
    used = {(module, name) for module in MODULES for name in uses_of_private_names(module)}
    assert {(module, name) for module, name in used if not module.startswith(INTERNALS)} == {
        (f"{PACKAGE}.registry.transactions", "_from_testcase"),  # which stands below the fields
    }


def test_private_methods_of_django_are_extended_in_one_place() -> None:
    """No class of ours has a method by the private name of one of Django's, which Django would call."""
    extended = set()
    for module in MODULES:
        try:
            classes = [each for each in vars(import_module(module)).values() if isclass(each)]
        except ImportError:
            continue  # for a companion, or a later Django
        for each in classes:
            ours = [base for base in each.__mro__ if base.__module__.split(".")[0] == PACKAGE]
            djangos = [base for base in each.__mro__ if base.__module__.split(".")[0] == "django"]
            inherited = {name for base in djangos for name in vars(base)} & private_names()
            extended |= {(base.__module__, name) for base in ours for name in inherited & {*vars(base)}}
    assert {(module, name) for module, name in extended if not module.startswith(INTERNALS)} == {
        (f"{PACKAGE}.fields.field", "_check_supported"),  # to say nothing of it
    }
    assert (f"{INTERNALS}.forms", "_clean_bound_field") in extended
