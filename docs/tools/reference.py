"""How does the reference stay true? Commands and settings are read from the program."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from typer.main import get_command

from diffuscope.cli import COMMANDS, app
from diffuscope.cli.listing import _datasets, _recipes
from diffuscope.cli.parts import parts_and_settings
from diffuscope.translations import term, translate

_HEADS = {
    "en": {
        "option": "option",
        "what": "what it says",
        "default": "default",
        "example": "Example",
        "setting": "setting",
    },
    "zh": {"option": "选项", "what": "作用", "default": "默认", "example": "例子", "setting": "设置"},
}


def cell(text: str) -> str:
    """Return a text as a cell of a table of Markdown, nothing in it being markup."""
    plain = " ".join(str(text).split())
    for sign in "\\`*_<>[]{}$|":
        plain = plain.replace(sign, "\\" + sign)
    return plain


def code(text: str) -> str:
    """Return a name as code in a cell of a table."""
    return f"`{text}`".replace("|", "\\|")


def commands(heads: dict[str, str]) -> str:
    """Return all commands with their arguments and options, as Markdown."""
    group: Any = get_command(app)
    lines = []
    for name, (_, example) in COMMANDS.items():
        command = group.commands[name]
        paragraphs = (command.help or "").split("\n\n")
        about = " ".join(translate(" ".join(one.split())) for one in paragraphs)
        words = [f"diffuscope {name}"]
        words += [
            one.metavar or one.name.upper() for one in command.params if one.param_type_name == "argument"
        ]
        lines += [f"## diffuscope {name}", "", cell(about), ""]
        lines += ["```text", " ".join(words) + " [OPTIONS]", "```", ""]
        lines += [f"| {heads['option']} | {heads['what']} | {heads['default']} |", "|---|---|---|"]
        for one in command.params:
            if one.name == "help" or getattr(one, "hidden", False):
                continue
            names = code(
                ", ".join([*one.opts, *one.secondary_opts])
                if one.param_type_name == "option"
                else one.metavar or one.name
            )
            default = (
                ""
                if one.default in (None, False, [], ()) or callable(one.default)
                else code(str(one.default))
            )
            lines.append(f"| {names} | {cell(translate(getattr(one, 'help', None) or ''))} | {default} |")
        lines += ["", f"{heads['example']}:", "", "```bash", example, "```", ""]
    return "\n".join(lines)


def parts(heads: dict[str, str], which: str) -> str:
    """Return one of the lists of ``diffuscope list`` as a table of Markdown."""
    light: dict[str, Any] = {"datasets": _datasets, "recipes": _recipes}
    listed = light[which]() if which in light else parts_and_settings()[which]
    if which == "settings":
        lines = [f"| {heads['setting']} | {heads['default']} | {heads['what']} |", "|---|---|---|"]
        for name, (default, about) in listed.items():
            shown = term(default) if default == "required" else default
            lines.append(f"| {code(name)} | {cell(shown)} | {cell(translate(about))} |")
        return "\n".join(lines)
    lines = [f"| | {heads['what']} | {heads['setting']} |", "|---|---|---|"]
    for name, (about, *settings) in listed.items():
        lines.append(f"| {code(name)} | {cell(translate(about))} | {cell(settings[0] if settings else '')} |")
    return "\n".join(lines)


class Commands(SphinxDirective):
    """``{commands}``: the reference of the command line."""

    def run(self) -> list[nodes.Node]:
        """Return its sections."""
        heads = _HEADS["zh" if self.config.language == "zh_CN" else "en"]
        return self.parse_text_to_nodes(commands(heads), allow_section_headings=True)


class Parts(SphinxDirective):
    """``{parts} schedules``: one of the lists of parts and settings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return its table."""
        heads = _HEADS["zh" if self.config.language == "zh_CN" else "en"]
        return self.parse_text_to_nodes(parts(heads, self.arguments[0]))


def setup(app: Any) -> dict[str, Any]:
    """Register the directives with Sphinx."""
    app.add_directive("commands", Commands)
    app.add_directive("parts", Parts)
    return {"parallel_read_safe": True}
