"""How Sphinx builds these pages: `nox -s docs`."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from functools import cache
from pathlib import Path

from docutils.nodes import Element, Text, document
from pydantic import BaseModel
from sphinx.addnodes import desc_annotation, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
from api_by_role import PACKAGES, expand_blocks, list_public

project = "zmqruntime"
author = "zmqruntime contributors"
copyright = "2026, zmqruntime contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "zmqruntime"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
pygments_dark_style = "monokai"
toc_object_entries_show_parents = "hide"

# The requirement numbers of the protocol are link targets within a line: attrs_inline.
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

add_module_names = False
maximum_signature_line_length = 110
python_display_short_literal_types = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "exclude-members": "model_config, model_post_init",
}
autodoc_typehints_format = "short"
# Aliases that signatures show by name rather than by definition.
ALIASES = "JsonObject JsonValue ClientId ExecutionId Labels Limit Timestamp Request Reply Event"
autodoc_type_aliases = {name: f"zmqruntime.messages.{name}" for name in ALIASES.split()}

# Text before a colon in an attribute's docstring is prose here, never a type.
GoogleDocstring._consume_inline_attribute = lambda self: ("", self._consume_to_end())

# A public name of this project must resolve. Other projects are not linked to, and neither is what
# signatures name by its module: a public name among these resolves at its package.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!zmqruntime\.).*"),
    (r"py:.*", r"zmqruntime\.\w+\.(?!(lowlevel|conformance|contracts)\.)[a-z_]\w*\..*"),
    (r"py:class", r".*\._[A-Za-z]\w*"),
]

# Classes that the runtime constructs.
NOT_CONSTRUCTED = {"ExecutionContext", "ExecutionHandle", "ProgressReporter"}

_SIGNATURE_REPAIRS = [
    # `X | None` of an alias, which typing evaluates to a forward reference.
    (r"TypeAliasForwardRef\('([\w.]+)'\)", r"~\1"),
    (r"(?<![\w.~])zmqruntime\.messages\.", "~zmqruntime.messages."),
    # Aliases that pydantic annotates, by their names.
    (r"(~\w+\.)?Annotated\[[~\w.]*PingRequest \|[^\[\]]*\]", "~zmqruntime.messages.Request"),
    (
        r"(~\w+\.)?Annotated\[dict\[[^\[\]]*\], [^\[\]]*_require_json\)\]",
        "~zmqruntime.messages.JsonObject",
    ),
    # Defaults that are objects: their names.
    (r"<(?:built-in )?(?:function|method|class) '?(?:[\w.]+\.)?(\w+)'?(?: at 0x\w+)?>", r"\1"),
    (r"<factory>", "..."),
]


def resolve_at_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Resolve zmqruntime.X.module.Name, where it is defined, as zmqruntime.X.Name."""
    name = node.get("reftarget", "").rpartition(".")[2]
    python = env.domains.python_domain
    for package in PACKAGES:
        if name in list_public(package):
            found = python.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{package}.{name}", node, content
            )
            if found is not None:
                return found
    return None


def tidy_signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    arguments: str | None,
    returns: str | None,
) -> tuple[str | None, str | None] | None:
    """Shorten a signature; omit that of a model: its fields are listed below it."""
    if isinstance(obj, type) and (issubclass(obj, BaseModel) or obj.__name__ in NOT_CONSTRUCTED):
        return "", None

    def repair(text: str | None) -> str | None:
        for pattern, replacement in _SIGNATURE_REPAIRS if text else ():
            text = re.sub(pattern, replacement, text)
        return text

    return repair(arguments), repair(returns)


def skip_field_numbers(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Skip an undocumented field of a named tuple: the signature shows it."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None


def document_data(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Replace the docstring of a constant's type by the one at its definition, if any."""
    if what == "data" and lines and lines[0] in (type(obj).__doc__ or ""):
        package = ".".join(name.split(".")[:2])
        lines[:] = find_data_docs(package).get(name.rpartition(".")[2], [])


@cache
def find_data_docs(package: str) -> dict[str, list[str]]:
    """Return the docstrings of all module variables of a package."""
    found: dict[str, list[str]] = {}
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not info.ispkg:
            docs = ModuleAnalyzer.for_module(info.name).find_attr_docs()
            found.update({name: list(doc) for (scope, name), doc in docs.items() if not scope})
    return found


def shorten_annotations(app: Sphinx, doctree: document) -> None:
    """Write the type of a field as `int (ge=1)` instead of `Annotated[int, Field(ge=1)]`."""
    pattern = re.compile(r"Annotated\[([\w., ]+(?:\[[^\]]*\])?), (?:Field|\w+)\(([^()]*)\)\]")
    for node in list(doctree.findall(desc_annotation)):
        text = node.astext()
        if (shorter := pattern.sub(r"\1 (\2)", text)) != text:
            node.clear()
            node += Text(shorter)


def unlink_type(app: Sphinx, doctree: document) -> None:
    """Unlink the built-in `type` in signatures: a dozen messages have a field of that name."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("reftarget") == "type":
            node.replace_self(node.children)


def expand_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Expand the `api` blocks of a page."""
    source[0] = expand_blocks(source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", expand_page)
    app.connect("doctree-read", unlink_type)
    app.connect("doctree-read", shorten_annotations)
    app.connect("autodoc-process-docstring", document_data)
    app.connect("missing-reference", resolve_at_public_name)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("autodoc-skip-member", skip_field_numbers)
