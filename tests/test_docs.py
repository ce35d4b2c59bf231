"""README and pages: every example runs, every link leads somewhere, every command exists."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import shutil
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import celloquy
from celloquy.apps.cli import app
from celloquy.apps.demo import packaged_cells

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
LED = [README, *sorted(ROOT.glob("docs/guides/*.md")), *sorted(ROOT.glob("docs/concepts/*.md"))]
"""Pages whose examples are run."""
STARTED = ROOT / "docs" / "guides" / "getting-started.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]]+\]\(([^)\s]+)\)")
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
SLOW = re.compile(r"encode|load_lm|calibrate")
"""Examples that run the sentence encoder or fit many times take seconds."""
OUTPUT_GOES_ON = re.compile(r"\n\n(?!>>>)")
"""An empty line that is not followed by an example is a part of what was printed."""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(path.read_text("utf-8")) if kind == language]


def examples() -> list[object]:
    pages = [path for path in LED if blocks(path, "python")]
    return [
        pytest.param(
            path,
            id=named(path),
            marks=[pytest.mark.slow] * bool(SLOW.search("".join(blocks(path, "python")))),
        )
        for path in pages
    ]


def console_lines() -> list[object]:
    found = []
    for path in LED:
        joined = "".join(blocks(path, "console")).replace("\\\n", " ")
        lines = re.findall(r"^ *\$ (celloquy .*)$", joined, flags=re.MULTILINE)
        found += [pytest.param(line, id=f"{named(path)}: {line}") for line in lines]
    return found


def run_examples(path: Path, texts: list[str]) -> None:
    """Run the blocks of a page one after the other, as one session; told failures are raised."""
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    session = "\n".join(OUTPUT_GOES_ON.sub("\n<BLANKLINE>\n", text) for text in texts)
    test = doctest.DocTestParser().get_doctest(session, {}, named(path), named(path), 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="anndata|scanpy")
        runner.run(test, out=told.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """Give a folder with the files that the first guide makes."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_examples(STARTED, blocks(STARTED, "python")[:1])
    shutil.copy(packaged_cells(), folder)
    return folder


@pytest.mark.parametrize("path", examples())
def test_every_example_of_a_page_prints_what_the_page_shows(path, files, tmp_path, monkeypatch):
    for file in files.iterdir() if path != STARTED else ():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    run_examples(path, blocks(path, "python"))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_relative_link_of_a_page_leads_to_a_file_and_a_heading(path):
    for target in LINK.findall(path.read_text("utf-8")):
        if "://" in target:
            continue
        place, _, heading = target.partition("#")
        found = (path.parent / place) if place else path
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), flags=re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles]
            assert heading in anchors, target


@pytest.mark.parametrize("line", console_lines())
def test_every_command_of_a_page_has_the_options_that_help_knows(line):
    words = shlex.split(line, comments=True)[1:]
    options = [word for word in words if word.startswith("-") and len(word) > 1]
    verbs = [word for word in words if not word.startswith("-")]
    depth = 2 if verbs and verbs[0] in {"data", "lm", "tasks"} else 1
    if verbs[0] == "evaluate":  # a file stands where the name of the job may be left out
        verbs[1:2] = [verbs[1] if "." not in verbs[1] else "annotation"]
        depth = 2
    told = CliRunner().invoke(app, [*verbs[:depth], "--help"], terminal_width=200)
    assert told.exit_code == 0, told.output
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", told.output))
    assert {option.partition("=")[0] for option in options} <= known


@pytest.mark.parametrize(
    "path",
    [p for p in PAGES if "docs/guides" in named(p) or "docs/concepts" in named(p)],
    ids=named,
)
def test_guides_and_concepts_link_to_the_glossary(path):
    assert "glossary.md" in path.read_text("utf-8")


def test_every_page_is_reached_from_the_index():
    reached, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [t.partition("#")[0] for t in LINK.findall(page.read_text("utf-8"))]
        waiting += [page.parent / t for t in targets if t and "://" not in t]
    assert {p.resolve() for p in ROOT.glob("docs/**/*.md")} <= reached


def test_every_measured_number_of_the_readme_stands_in_a_benchmark_page():
    prose = BLOCK.sub("", README.read_text("utf-8"))
    numbers = re.findall(r"\b0\.\d{3}\b", prose)
    measured = "".join(p.read_text("utf-8") for p in ROOT.glob("docs/benchmarks/*.md"))
    assert numbers
    assert [number for number in numbers if number not in measured] == []


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_pages_are_what_the_docstrings_say():
    made = load_script("make_reference").pages()
    committed = {path.name: path.read_text("utf-8") for path in ROOT.glob("docs/reference/*.md")}
    old = [name for name in made if committed.get(name) != made[name]]
    assert old == [], "run `python docs/make_reference.py`"
    assert sorted(committed) == sorted(made)


@pytest.mark.parametrize("package", load_script("make_reference").PACKAGES)
def test_a_reference_page_has_exactly_the_public_names(package):
    page = (ROOT / "docs" / "reference" / f"{package}.md").read_text("utf-8")
    public = load_script("make_reference").public_names(package)
    assert re.findall(r"^### `(\w+)`$", page, flags=re.MULTILINE) == public


def test_the_packages_that_messages_name_are_reached_through_cq():
    messages = "".join(p.read_text("utf-8") for p in (ROOT / "src").rglob("*.py"))
    named_so = set(re.findall(r"`[^`\n]*\bcq\.(\w+)", messages))
    assert "knowledge" in named_so
    for name in named_so:
        assert getattr(celloquy, name) is not None
