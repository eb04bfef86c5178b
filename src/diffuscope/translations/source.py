"""Which texts stand in a source file? Its strings and f-strings for people, as templates.

A string for people has two words, or one beside a hole. Left out are keys and patterns, what is compared or
searched for, types, and parts of longer strings; docstrings but for those of commands, which are their help.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator

from diffuscope.translations.catalogue import Hole, parse, written

__all__ = ["Source", "has_words", "literal", "texts_of_page", "words_of_page"]

# Of which arguments single words are said: these are the program's own.
_SAID_BY = {
    **dict.fromkeys(("term", "word", "stage", "unknown_name", "line", "_tell"), (0,)),
    "bar": (0, 2),
    "counted": (2, 4),
}
# Whose arguments are not said.
_SILENT_CALLS = {
    "cast",
    "TypeVar",
    "filterwarnings",
    "getattr",
    "find_spec",
    "import_module",
    "get",
    "encode",
}
_SILENT_CALLS |= {"startswith", "endswith", "removeprefix", "removesuffix", "replace"}
_SILENT_NAMES = {"__all__", "_OTHERS", "_OWN", "_SAID"}  # fonts, and what is put in place of other words
_DEEPEST = 4  # names that stand for names
_FORMATTED = re.compile(r"\{(?::[^{}\s]*)?\}")  # a hole of str.format
_NUMERIC = re.compile(r"[\d,+.][efgd%]$|^[,g]$|,$|^\.\{")  # a format of numbers
_WORD = re.compile(r"(?<![\w.\-/{<])[A-Za-z][a-z’'\-]+(?![\w(=\[{/>_])")
_BARE = re.compile(r"[\w\0.=/\-\[\]<>:(),'\"|]*")  # one word, a key, a path
_COMMAND = re.compile(r"diffuscope |%|data:|http|--\S+( \S+=\S+| [^ ]+)*$")
_CODE = re.compile(r"[\\^]|</|px;|\w:\w+\(|\bnp\.")
_STYLE = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL)


def literal(text: str) -> str:
    """Return a text as a template without holes."""
    return text.replace("{", "{{").replace("}", "}}")


def has_words(template: str) -> bool:
    """Whether a template has words for people: two, or one beside a hole or in a phrase."""
    text = "".join(part if isinstance(part, str) else "\0" for part in parse(template))
    if _BARE.fullmatch(text) or _CODE.search(text):
        return False
    if _COMMAND.match(text) and not text.endswith("."):
        return False
    words = len(_WORD.findall(text))
    return words > 1 or (words == 1 and ("\0" in text or " " in text.strip()))


class Source:
    """The texts of a module, at its ``place`` in the package."""

    def __init__(self, text: str, place: str) -> None:
        self._tree, self._place = ast.parse(text), place
        self._nodes = list(ast.walk(self._tree))
        self._above = {child: node for node in self._nodes for child in ast.iter_child_nodes(node)}
        self._constants = _assigned(self._tree.body)
        self._local: dict[ast.AST, dict[str, ast.expr]] = {}

    def texts(self) -> Iterator[str]:
        """Yield the templates; holes are numbered from 0 in their order."""
        for node in self._nodes:
            if isinstance(node, ast.FunctionDef) and self._is_command(node):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    yield literal(" ".join(paragraph.split()))
            elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and not self._is_hidden(node):
                parts = self._parts(node)
                if any(isinstance(part, str) for part in parts):
                    yield _numbered(parts)

    def terms(self) -> Iterator[str]:
        """Yield the words that are said by themselves."""
        for node in self._nodes:
            if isinstance(node, ast.Call):
                for one in (node.args[place : place + 1] for place in _SAID_BY.get(_called(node), ())):
                    known = self._known(one[0]) if one else None
                    yield from [known] if isinstance(known, str) else known or []

    def assigned(self, name: str) -> ast.expr:
        """Return what a name of the module is assigned to."""
        return self._constants[name]

    def _is_command(self, node: ast.FunctionDef) -> bool:
        notes = [one.annotation for one in (*node.args.args, *node.args.kwonlyargs) if one.annotation]
        has_options = any("Annotated" in ast.unparse(one) for one in notes)
        return self._place.startswith("cli/") and (has_options or node.name == "_root")

    def _is_hidden(self, node: ast.expr) -> bool:
        """Whether a string is no text for people, or part of a longer one."""
        above = self._above[node]
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            return True
        if isinstance(above, ast.Expr | ast.JoinedStr | ast.Compare | ast.Assert | ast.MatchValue):
            return True  # a docstring, a part, what something is compared with
        if isinstance(above, ast.FormattedValue):
            return above.value is not node  # a format
        if isinstance(above, ast.BinOp) and _sum(above):
            return True
        if isinstance(above, ast.Subscript) and above.slice is node:
            return True
        child: ast.AST = node
        while not isinstance(above, ast.stmt | ast.arg):
            if isinstance(above, ast.Call):
                is_pattern = ast.unparse(above.func).startswith("re.")
                if child in above.args and (is_pattern or _called(above) in _SILENT_CALLS):
                    return True
                if child is above.func and _called(above) == "join":
                    return True
            child, above = above, self._above[above]
        if isinstance(above, ast.arg) or (isinstance(above, ast.AnnAssign) and child is above.annotation):
            return "Annotated" not in ast.unparse(above)  # the help of an option stands in its type
        if isinstance(above, ast.FunctionDef):
            return child is above.returns
        return isinstance(above, ast.Assign) and any(
            getattr(target, "id", "") in _SILENT_NAMES for target in above.targets
        )

    def _parts(self, node: ast.expr) -> list[str | Hole]:
        """Return a string as literal texts and holes, whose numbers mean nothing yet."""
        terms = _sum(node) if isinstance(node, ast.BinOp) else [node]
        parts = [part for one in terms for part in self._of(one)]
        if parts and isinstance(parts[-1], str) and re.search(r"[^.!?:;,\s] $", parts[-1]):
            parts.append(Hole(0))  # something follows
        if parts and isinstance(parts[0], str) and re.match(r" [^ (\[A-Z]", parts[0]):
            parts.insert(0, Hole(0))  # something goes before
        return parts

    def _of(self, node: ast.expr) -> Iterator[str | Hole]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for i, piece in enumerate(
                _FORMATTED.split(node.value) if _FORMATTED.search(node.value) else [node.value]
            ):
                yield from [Hole(0)] * (i > 0)
                yield piece
        elif isinstance(node, ast.JoinedStr):
            for value in node.values:
                yield from self._of(value)
        elif isinstance(node, ast.FormattedValue):
            form = ast.unparse(node.format_spec)[2:-1] if node.format_spec is not None else ""
            if node.conversion == ord("r"):
                yield Hole(0, "r")
            elif _NUMERIC.search(form):
                yield Hole(0, "n")
            else:
                yield from self._of(node.value)
        else:
            known = self._known(node)
            yield known if isinstance(known, str) else Hole(0, "", tuple(known or ()))

    def _known(self, node: ast.AST, depth: int = 0) -> str | list[str] | None:
        """Return the text of an expression, or the texts that it can be; None where that is not known."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.IfExp):
            both = [self._known(one, depth + 1) for one in (node.body, node.orelse)]
            if None in both:
                return None
            return [text for one in both for text in ([one] if isinstance(one, str) else one or [])]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one in (node.left, node.right):
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    return [one.value, ""]
        if isinstance(node, ast.Name) and depth < _DEEPEST:
            scope: ast.AST = node
            while scope in self._above:
                scope = self._above[scope]
                if isinstance(scope, ast.FunctionDef):
                    if scope not in self._local:
                        inside = [one for one in ast.walk(scope) if isinstance(one, ast.stmt)]
                        self._local[scope] = _assigned(inside)
                    if node.id in self._local[scope]:
                        return self._known(self._local[scope][node.id], depth + 1)
            if node.id in self._constants:
                return self._known(self._constants[node.id], depth + 1)
        return None


def _called(node: ast.Call) -> str:
    """Return the name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _sum(node: ast.expr) -> list[ast.expr]:
    """Return what a sum adds up, where any of it is text; nothing of anything else."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)):
        return []
    both = [*(_sum(node.left) or [node.left]), *(_sum(node.right) or [node.right])]
    is_text = [isinstance(one, ast.JoinedStr) or isinstance(getattr(one, "value", None), str) for one in both]
    return both if any(is_text) else []


def _numbered(parts: list[str | Hole]) -> str:
    """Return parts as a template whose holes are numbered from 0."""
    holes = iter(range(len(parts)))
    return written([part if isinstance(part, str) else part.with_number(next(holes)) for part in parts])


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """Return what names are assigned to, where that is one expression."""
    found: dict[str, list[ast.expr]] = {}
    for node in body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
                elif isinstance(target, ast.Tuple):
                    values = node.value.elts if isinstance(node.value, ast.Tuple) else []
                    for i, one in enumerate(target.elts):
                        if isinstance(one, ast.Name):
                            value = values[i] if i < len(values) else ast.Constant(0)
                            found.setdefault(one.id, []).append(value)
        elif isinstance(node, ast.AugAssign | ast.For) and isinstance(node.target, ast.Name):
            found.setdefault(node.target.id, []).extend([node.target, node.target])
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def texts_of_page(text: str) -> Iterator[str]:
    """Yield the texts of a template of a page as templates, node by node."""
    text = _STYLE.sub("", text)
    text = re.sub(r"\{#.*?#\}|\{% (set|from|extends|include|(end)?block).*?%\}", "<>", text, flags=re.DOTALL)
    texts = [match[1] for match in re.finditer(r'(?:alt|title|aria-label)="([^"]*)"', text)]
    for one in [*texts, *re.split(r"<[^>]*>|\{%.*?%\}", text)]:
        parts: list[str | Hole] = []
        for i, piece in enumerate(re.split(r"\{\{(.*?)\}\}", one)):
            choice = re.search(r"'(\w*)' if .* else '(\w*)'", piece) if i % 2 else None
            words = (choice[1], choice[2]) if choice else ()
            parts.append(Hole(0, "", words) if i % 2 else html.unescape(piece))
        yield " ".join(_numbered(parts).split())


def words_of_page(text: str) -> Iterator[str]:
    """Yield the single words of a template of a page."""
    yield from (match[1] for match in re.finditer(r">\s*([A-Za-z]+)\s*<", _STYLE.sub("", text)))
