"""How Sphinx builds these pages: `nox -s docs`."""

from __future__ import annotations

import importlib

from docutils.nodes import Element, document
from pydantic import BaseModel
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import GoogleDocstring

project = "zmqruntime"
author = "zmqruntime contributors"
copyright = "2026, zmqruntime contributors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "zmqruntime"

# The numbers in the protocol are targets in the middle of a line: attrs_inline.
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "exclude-members": "model_config, model_post_init",
}
autodoc_typehints_format = "short"
# By their names, not by what they are made of.
ALIASES = "JsonObject JsonValue ClientId ExecutionId Labels Limit Timestamp Request Reply Event"
autodoc_type_aliases = {name: f"zmqruntime.messages.{name}" for name in ALIASES.split()}

# What stands before a colon in the docstring of an attribute is prose here, never a type.
GoogleDocstring._consume_inline_attribute = lambda self: ("", self._consume_to_end())

# A name of this project must lead somewhere; other projects are not linked to.
nitpick_ignore_regex = [(r"py:.*", r"(?!zmqruntime\.).*")]
# What public signatures name without being public.
_PRIVATE = (
    r"(EventStream|HasEndpoint|Model|_HasPid|Now|RetryOptions|Subscription|Teardown|Timer|_Task)"
)
nitpick_ignore_regex += [("py:class", rf"zmqruntime\..*\.{_PRIVATE}")]
nitpick_ignore_regex += [
    ("py:class", pattern)
    for pattern in (r".*\.core\.effects\..*", r".*\.fake\.script\..*", r".*\._[A-Za-z]\w*")
]

PACKAGES = [
    f"zmqruntime.{name}"
    for name in (
        "messages",
        "messages.lowlevel",
        "transport",
        "transport.lowlevel",
        "execution",
        "execution.lowlevel",
        "testing",
        "testing.conformance",
    )
]


def at_its_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Resolve zmqruntime.X.module.Name, where it is defined, as zmqruntime.X.Name."""
    name = node.get("reftarget", "").rpartition(".")[2]
    python = env.domains.python_domain
    for package in PACKAGES:
        if name in importlib.import_module(package).__all__:
            return python.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{package}.{name}", node, content
            )
    return None


def without_constructor(
    app: Sphinx, what: str, name: str, obj: object, options: object, *signature: str | None
) -> tuple[str, None] | None:
    """Leave out the signature of a model: its fields are listed below it, with their types."""
    return ("", None) if isinstance(obj, type) and issubclass(obj, BaseModel) else None


def without_field_numbers(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out a part of a tuple of which nothing is said: it stands in the signature."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None


def without_links_to_type(app: Sphinx, doctree: document) -> None:
    """Leave the built-in alone in signatures: a dozen messages have a field of its name."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("reftarget") == "type":
            node.replace_self(node.children)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("doctree-read", without_links_to_type)
    app.connect("missing-reference", at_its_public_name)
    app.connect("autodoc-process-signature", without_constructor)
    app.connect("autodoc-skip-member", without_field_numbers)
