"""How does ``--help`` speak another language? It is translated before its lines are broken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from typer.core import TyperCommand

from diffuscope.translations import language, term
from diffuscope.translations.display import ljust, width, wrap

__all__ = ["Command", "help_of"]


def help_of(command: Any, context: Any) -> str:
    """Return the help of a command in the chosen language."""
    formatter = context.make_formatter()
    if language() != "en":
        usual: Any = type(formatter)
        formatter = _spoken(usual)(width=formatter.width)
    command.format_help(context, formatter)
    return str(formatter.getvalue()).rstrip("\n")


class Command(TyperCommand):
    """A command whose help is in the chosen language."""

    def get_help(self, ctx: Any) -> str:
        """Return the help."""
        return help_of(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line; ``--resume auto`` is one, as --resume may stand alone."""
        for i in range(len(args) - 1):
            if args[i : i + 2] == ["--resume", "auto"]:
                args = [*args[:i], "--resume-auto", *args[i + 2 :]]
        return super().parse_args(ctx, args)


@cache
def _spoken(usual: Any) -> Any:
    """Return a formatter of help that translates, made of the one that typer uses."""
    return type("SpokenFormatter", (_Spoken, usual), {})


class _Spoken:
    """What a formatter of help does otherwise where it does not speak English."""

    current_indent: int
    width: int
    write: Any

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        del prefix
        super().write_usage(prog, args, f"{term('Usage:')} ")  # type: ignore[misc]

    def write_heading(self, heading: str) -> None:
        self.write(f"{' ' * self.current_indent}{term(heading)}：\n")

    def write_text(self, text: str) -> None:
        blocks = []
        for block in text.split("\n\n"):
            first, *lines = block.splitlines() or [""]
            if first == "\b":  # lines that are not wrapped
                blocks.append([f"{' ' * self.current_indent}{term(line)}" for line in lines])
            else:
                blocks.append(wrap(" ".join(block.split()), self.width, " " * self.current_indent))
        self.write("\n\n".join("\n".join(lines) for lines in blocks) + "\n")

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        first_column = min(max(width(first) for first, _ in rows), col_max) + col_spacing
        indent = " " * self.current_indent
        for first, second in rows:
            self.write(indent + first)
            if width(first) > first_column - col_spacing:
                self.write(f"\n{indent}")
                first = ""
            lines = wrap(second, max(self.width - first_column - 2, 10)) or [""]
            self.write(" " * (first_column - width(first)) + lines[0] + "\n")
            for line in lines[1:]:
                self.write(f"{indent}{ljust('', first_column)}{line}\n")
