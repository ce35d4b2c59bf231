"""Write the reference pages from signatures and docstrings: one page a public package.

    python docs/make_reference.py

A test compares the pages with what this script makes, so they cannot grow old.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("reference")
PACKAGES = (
    "celloquy.io",
    "celloquy.checks",
    "celloquy.knowledge",
    "celloquy.text",
    "celloquy.text.compat",
    "celloquy.tasks",
    "celloquy.tasks.compat",
    "celloquy.lm",
    "celloquy.lm.compat",
    "celloquy.learn",
    "celloquy.roles",
    "celloquy.evaluation",
    "celloquy.evaluation.compat",
    "celloquy.training",
    "celloquy.plotting",
    "celloquy.errors",
)
SHOWN = ("Parameters", "Yields", "Returns", "Raises", "Notes")
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]+)`")
WIDTH = 88


def pages() -> dict[str, str]:
    """Make every page; file names and their text."""
    made = {f"{package}.md": package_page(package) for package in PACKAGES}
    return {"celloquy.md": front_page(), "index.md": index_page(), **made}


def public_names(package: str) -> list[str]:
    """Give the public names of a package: its `__all__`, or the classes that it defines."""
    module = importlib.import_module(package)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == package
    ]


def index_page() -> str:
    """List the packages."""
    lines = [
        "# Reference",
        "",
        "Made from the docstrings by `python docs/make_reference.py`. Words are those of the "
        "[glossary](../glossary.md).",
        "",
        "- [celloquy](celloquy.md): the names that most people need",
    ]
    for package in PACKAGES:
        summary = _first_line(importlib.import_module(package).__doc__)
        lines.append(f"- [{package}]({package}.md): {_lowered(summary)}")
    return "\n".join(lines) + "\n"


def front_page() -> str:
    """List what `import celloquy as cq` gives, with the page that tells more."""
    module = importlib.import_module("celloquy")
    lines = ["# celloquy", "", "`import celloquy as cq`", "", "| name | does |", "|---|---|"]
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.ismodule(found):
            lines.append(f"| [`cq.{name}`]({found.__name__}.md) | {_first_line(found.__doc__)} |")
            continue
        package = ".".join(part for part in found.__module__.split(".") if part[0] != "_")
        page = package if package in PACKAGES else package.rpartition(".")[0]
        link = f"{page}.md#{found.__name__.lower()}"
        lines.append(f"| [`cq.{name}`]({link}) | {_first_line(found.__doc__)} |")
    return "\n".join([*lines, "", _footer()])


def package_page(package: str) -> str:
    """Describe every public name of a package."""
    module = importlib.import_module(package)
    parts = [f"# {package}", _plain(inspect.getdoc(module) or "")]
    parts += [entry(name, getattr(module, name)) for name in public_names(package)]
    return "\n\n".join([*parts, _footer()])


def entry(name: str, found: Any) -> str:  # noqa: ANN401 (any public object)
    """Describe one name: signature, what it is, parameters or fields, methods."""
    title = f"### `{name}`"
    found = inspect.unwrap(found) if callable(found) else found  # a function behind a cache
    if inspect.isclass(found):
        return "\n\n".join([title, *_class_parts(found)])
    if inspect.isfunction(found):
        signature = _signature(_node_of(found), name)
        return "\n\n".join([title, _code(signature), *_doc_parts(inspect.getdoc(found))])
    shown = repr(found)
    is_short = len(shown) < WIDTH and " at 0x" not in shown
    return "\n\n".join([title, _code(f"{name} = {shown}") if is_short else _kind(found)])


def _kind(found: object) -> str:
    listed = f": {', '.join(map(str, found))}" if isinstance(found, Iterable) else ""
    return f"A {type(found).__name__}{listed}."


def _class_parts(found: type) -> list[str]:
    """Describe a class: its docstring, its documented fields, its public methods."""
    parts = [*_doc_parts(inspect.getdoc(found))]
    bases = [f"`{base.__name__}`" for base in found.__bases__ if _is_told(base)]
    if bases:
        parts.append(f"It has what {' and '.join(bases)} has, and:")
    node = _node_of(found)
    fields = []
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or _is_private(statement.target):
            continue
        default = "" if statement.value is None else f" = {_default(statement.value)}"
        told = f"- `{ast.unparse(statement)}`" if not default else (
            f"- `{ast.unparse(statement.target)}: {ast.unparse(statement.annotation)}{default}`"
        )  # fmt: skip
        fields.append(f"{told}: {_flat(_text_of(following))}".removesuffix(": "))
    if fields:
        parts += ["Fields:", "\n".join(fields)]
    methods = [_method(n) for n in node.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
    if methods:
        parts += ["Methods and properties:", "\n".join(methods)]
    return parts


def _is_told(found: type) -> bool:
    """Say whether a class has an entry of its own."""
    package = found.__module__.rpartition(".")[0]
    return package in PACKAGES and found.__name__ in public_names(package)


def _method(node: ast.FunctionDef) -> str:
    kinds = {ast.unparse(decorator) for decorator in node.decorator_list}
    shown = node.name if kinds & {"property", "cached_property"} else _signature(node, node.name)
    return f"- `{' '.join(shown.split())}`: {_first_line(ast.get_docstring(node))}"


def _default(node: ast.expr) -> str:
    """Write a default as a reader would: what the factory of a field makes."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
        made = keywords.get("default_factory", "")
        return keywords.get("default") or made.removeprefix("lambda: ") + (
            "()" if made and not made.startswith("lambda") else ""
        )
    return ast.unparse(node)


def _signature(node: ast.FunctionDef, name: str) -> str:
    """Write a signature as its source has it, one parameter a line where it is long."""
    arguments = ast.unparse(node.args)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{name}({arguments}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in _arguments(node)), f"){returns}"])


def _arguments(node: ast.FunctionDef) -> list[str]:
    spec = node.args
    alone = [*spec.posonlyargs, *spec.args]
    filled = [None] * (len(alone) - len(spec.defaults)) + list(spec.defaults)
    shown = [_argument(one, value) for one, value in zip(alone, filled, strict=True)]
    if spec.kwonlyargs:
        shown.append("*" if spec.vararg is None else f"*{ast.unparse(spec.vararg)}")
    pairs = zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    return shown + [_argument(one, value) for one, value in pairs]


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + ("" if default is None else f" = {ast.unparse(default)}")


def _doc_parts(doc: str | None) -> list[str]:
    """Turn a NumPy docstring into paragraphs and lists; examples stay in the source."""
    sections = re.split(r"^(\w[\w ]*)\n-{3,}\n", doc or "", flags=re.MULTILINE)
    parts = [_plain(sections[0].strip())]
    for title, body in zip(sections[1::2], sections[2::2], strict=True):
        if title in SHOWN:
            parts += [f"{title}:", _items(body) if title in {"Parameters", "Raises"} else
                      _plain(body.strip())]  # fmt: skip
    return [part for part in parts if part]


def _items(body: str) -> str:
    """Turn ``name`` and its indented text into a list."""
    items: list[str] = []
    for line in body.strip("\n").splitlines():
        if line and not line[0].isspace():
            items.append(f"- `{line.strip()}`: ")
        elif line.strip():
            items[-1] += line.strip() + " "
    return "\n".join(_plain(item.strip().removesuffix(":")) for item in items)


def _node_of(found: Any) -> Any:  # noqa: ANN401 (a class or a function)
    return ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]


def _text_of(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""


def _is_private(target: ast.expr) -> bool:
    return ast.unparse(target).startswith("_")


def _plain(text: str) -> str:
    """Turn docstring markup into Markdown."""
    linked = ROLE.sub(lambda found: f"`{found.group(1).removeprefix('celloquy.')}`", text)
    return linked.replace("``", "`")


def _flat(text: str) -> str:
    return _plain(" ".join(text.split()))


def _first_line(doc: str | None) -> str:
    return _flat((doc or "").strip().split("\n\n")[0])


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:].removesuffix(".")


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _footer() -> str:
    return "Words: [glossary](../glossary.md). All packages: [reference](index.md).\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
