"""The package as a user meets it: its names, its import, and what lies in it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
import textwrap
from importlib.metadata import version
from importlib.resources import files

import pytest

import celloquy as cq

PACKAGES = [
    "checks", "evaluation", "evaluation.compat", "io", "knowledge", "learn", "lm", "lm.compat",
    "plotting", "roles", "tasks", "tasks.compat", "text", "text.compat", "training",
]  # fmt: skip
HEAVY = ["torch", "scanpy", "matplotlib", "sklearn", "numba", "transformers", "umap"]


def public_functions():
    for package in PACKAGES:
        module = importlib.import_module(f"celloquy.{package}")
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found):
                yield pytest.param(found, id=f"{package}.{name}")


FUNCTIONS = list(public_functions())


def python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("name", cq.__all__)
def test_every_public_name_is_there(name):
    assert getattr(cq, name) is not None
    assert name in dir(cq)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'celloquy' has no attribute 'annotates'"):
        _ = cq.annotates


def test_the_version_is_that_of_the_installed_package():
    assert cq.__version__ == version("celloquy")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_of_a_public_package_is_there_and_sorted(package):
    module = importlib.import_module(f"celloquy.{package}")
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_public_function_takes_at_most_two_arguments_by_position(function):
    positional = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]
    assert len(positional) <= 2


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_public_function_says_what_it_raises(function):
    said = inspect.getdoc(function)
    assert said
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    if raised:
        _, heading, section = said.partition("Raises\n------\n")
        assert heading
        for error in raised:
            assert f"{error}\n" in section


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_public_function_tells_every_parameter(function):
    said = inspect.getdoc(function)
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) <= 1 and "Parameters\n" not in said:
        return  # the one line says it
    lines = said.split("Parameters\n----------\n")[1].splitlines()
    told = {name for line in lines if line[:1].strip() for name in line.replace(",", " ").split()}
    assert set(parameters) <= told | {"kwargs"}


def test_importing_celloquy_loads_nothing_heavy():
    code = f"""
        import json, sys
        import celloquy
        print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
    """
    assert json.loads(python(code)) == []


def test_importing_celloquy_takes_less_than_0_3_seconds():
    code = """
        import time
        began = time.process_time()
        import celloquy
        print(time.process_time() - began)
    """
    assert min(float(python(code)) for _ in range(3)) < 0.3


def test_help_loads_nothing_heavy():
    unwanted = [*HEAVY, "anndata", "pandas"]
    code = f"""
        import contextlib, io, json, sys
        from celloquy.apps.cli import main
        verbs = ["check", "sentences", "reconstruct", "encode", "annotate", "doctor", "demo"]
        groups = [["data"], ["data", "get"], ["tasks"], ["tasks", "import"]]
        groups += [["evaluate"], ["evaluate", "annotation"], ["evaluate", "answers"]]
        for verb in ([], *([verb] for verb in verbs), *groups):
            sys.argv = ["celloquy", *verb, "--help"]
            with contextlib.redirect_stdout(io.StringIO()) as told:
                with contextlib.suppress(SystemExit):
                    main()
            assert "Usage:" in told.getvalue()
        print(json.dumps([name for name in {unwanted!r} if name in sys.modules]))
    """
    assert json.loads(python(code)) == []


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("celloquy", "py.typed"),
        ("celloquy.knowledge", "markers.tsv"),
        ("celloquy.evaluation", "blood_types.tsv"),
        ("celloquy.evaluation", "cell_type_aliases.tsv"),
        ("celloquy.evaluation", "suites/pbmc-transfer.toml"),
        ("celloquy.lm", "checkpoints.yaml"),
        ("celloquy.tasks", "files/cell_type.yaml"),
        ("celloquy.text", "rank_curve_default.json"),
        ("celloquy.training", "presets/c2s.toml"),
    ],
)
def test_the_files_that_the_code_reads_lie_in_the_package(package, name):
    assert files(package).joinpath(name).is_file()
