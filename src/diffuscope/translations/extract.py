"""Which texts does the package have for people? Those that ``zh.po`` has to translate.

The texts are found in the source: strings of two words or more, f-strings as templates with numbered holes,
what ``diffuscope list`` and ``--help`` show, the descriptions of recipes, and the texts of the pages'
templates. What is not for people is left out by rule (``_hidden``), else by name (``_NOT_SAID``).

``python -m diffuscope.translations.extract`` writes the catalogue anew: new texts with an empty translation,
and without those that the source no longer has; it lists both.
"""

from __future__ import annotations

import ast
import html
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from diffuscope.translations.catalogue import CATALOGUES, Hole, parse, read_catalogue, sentences, written

__all__ = ["extract"]

_SOURCE = Path(__file__).parents[1]
_DEEPEST = 4  # names that stand for names
_FORMATTED = r"\{(?::[^{}\s]*)?\}"  # a hole of str.format
_WORD = re.compile(r"(?<![\w.\-/{<])[A-Za-z][a-z’'\-]+(?![\w(=\[{/>_])")
_SKIPPED = ("viewer/", "translations/")  # the interactive page speaks Chinese by itself
_PATTERNS = {"compile", "search", "sub", "match", "fullmatch", "findall", "finditer", "split"}
_NOT_SAID_BY = {"cast", "TypeVar", "getLogger", "filterwarnings", "getattr", "find_spec", "import_module"}


def extract() -> dict[str, list[str]]:
    """Return the texts for people, each with the files that it stands in."""
    found: dict[str, list[str]] = {}

    def add(text: str, place: str) -> None:
        for one in sentences(text):
            unit = _renumbered(one.strip())
            if _is_said(unit):
                places = found.setdefault(unit, [])
                if place not in places:
                    places.append(place)

    for path in sorted(_SOURCE.rglob("*.py")):
        place = path.relative_to(_SOURCE).as_posix()
        if not place.startswith(_SKIPPED):
            module = _Module(ast.parse(path.read_text("utf-8")), place)
            for text in module.texts():
                for line in text.split("\n"):
                    add(line, place)
            for word in module.terms():
                found.setdefault(_literal(word), []).append(place)
    for text in [
        one
        for one, places in found.items()
        if any(p.startswith(("data/tables/columns/", "data/tables/values")) for p in places)
    ]:
        add(_speaking_of_y(text), "data/tables/targets.py")
    rewritten = [text.replace("Input should", "It should") for text in _FOREIGN]  # as recipes/ puts it
    for text in (*_TERMS, *_COMPOSED, *_FOREIGN, *rewritten):
        found.setdefault(text, ["translations/extract.py"])
    for path in sorted(_SOURCE.rglob("*.html")):
        place = path.relative_to(_SOURCE).as_posix()
        if not place.startswith(_SKIPPED):
            text = path.read_text("utf-8")
            for one in _of_page(text):
                add(one, place)
            for match in re.finditer(
                r">\s*([A-Za-z]+)\s*<", re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.DOTALL)
            ):
                found.setdefault(match[1], []).append(place)
    for path in sorted((_SOURCE / "recipes").glob("*.toml")):
        add(_literal(tomllib.loads(path.read_text("utf-8"))["description"]), f"recipes/{path.name}")
    for rows in json.loads((_SOURCE / "cli/parts.json").read_text("utf-8")).values():
        for about, *more in rows.values():
            for text in (about, *more):
                if not re.search(r"\w = ", text):
                    add(_literal(text), "cli/parts.json")
    return found


def _speaking_of_y(text: str) -> str:
    """Return a message about a column as ``data/tables/targets.py`` puts it where the column is a target."""
    tree = ast.parse((_SOURCE / "data/tables/targets.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_SAID":
            for own, said in ast.literal_eval(node.value).items():
                text = text.replace(own, said)
    return re.sub(r"; of a file .*$", ".", re.sub(r" \(of a file: [^)]*\)", "", text))


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _renumbered(text: str) -> str:
    """Return a template whose holes are numbered from 0 in their order."""
    parts = parse(text)
    numbers: dict[int, int] = {}
    for part in parts:
        if isinstance(part, Hole):
            numbers.setdefault(part.number, len(numbers))
    return written([p if isinstance(p, str) else p.with_number(numbers[p.number]) for p in parts])


def _is_said(text: str) -> bool:
    """Whether a text has words: two, or one beside a hole."""
    if text in _NOT_SAID:
        return False
    parts = parse(text)
    literal = "".join(p if isinstance(p, str) else "\0" for p in parts)
    if re.fullmatch(r"[\w\0.=/\-\[\]<>:(),'\"|]*", literal):  # one word, a key, a path
        return False
    if re.match(r"diffuscope |%|data:|http|--\S+( \S+=\S+| [^ ]+)*$", literal) and not literal.endswith("."):
        return False
    if re.search(r"[\\^]|</|px;|\w:\w+\(|\bnp\.", literal):
        return False
    words = [word for word in _WORD.findall(literal) if len(word) > 1]
    return len(words) > 1 or (len(words) == 1 and "\0" in literal) or (bool(words) and " " in literal.strip())


class _Module:
    """The texts of one module."""

    def __init__(self, tree: ast.Module, place: str) -> None:
        self.tree, self.place = tree, place
        self.parent: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                self.parent[child] = node
        self.constants = _assigned(tree.body)
        self.silent: set[ast.AST] = set()
        self.local: dict[ast.AST, dict[str, ast.expr]] = {}

    def texts(self) -> Iterator[str]:
        """Yield the templates."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef) and self._is_command(node):
                for part in (ast.get_docstring(node) or "").split("\n\n"):
                    yield _literal(" ".join(part.split()))
            if isinstance(node, ast.Assign) and any(
                getattr(t, "id", "") in _NOT_SAID_NAMES for t in node.targets
            ):
                for one in ast.walk(node):
                    self.silent.add(one)
            if not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) or self._hidden(node):
                continue
            text = self._template(node)
            if text is not None:
                yield text

    def terms(self) -> Iterator[str]:
        """Yield the words that are said by themselves."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                for place in _SAID_BY.get(name, ()):
                    if place < len(node.args):
                        known = self._known(node.args[place])
                        yield from [known] if isinstance(known, str) else known or []

    def _is_command(self, node: ast.FunctionDef) -> bool:
        notes = [*node.args.args, *node.args.kwonlyargs]
        said = any("Annotated" in ast.unparse(one.annotation) for one in notes if one.annotation)
        return self.place.startswith("cli/") and (said or node.name == "_root")

    def _hidden(self, node: ast.AST) -> bool:
        """Whether a string is no text for people, or part of a longer one."""
        if node in self.silent:
            return True
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            return True
        above = self.parent.get(node)
        if isinstance(above, ast.Expr | ast.JoinedStr | ast.FormattedValue):
            return not (isinstance(above, ast.FormattedValue) and above.value is node)
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add) and self._flat(above) is not None:
            return True
        if isinstance(above, ast.Subscript) and above.slice is node:
            return True
        if isinstance(above, ast.Compare | ast.Assert | ast.MatchValue):
            return True
        child: ast.AST = node
        while above is not None:
            if isinstance(above, ast.Call):
                name = (
                    above.func.attr
                    if isinstance(above.func, ast.Attribute)
                    else getattr(above.func, "id", "")
                )
                owner = ast.unparse(above.func)
                if child in above.args and (owner.startswith("re.") or name in _NOT_SAID_BY):
                    return True
                if child in above.args and name in (
                    "startswith",
                    "endswith",
                    "removeprefix",
                    "removesuffix",
                    "replace",
                    "get",
                    "encode",
                ):
                    return True
                if child is above.func and name in ("join",):
                    return True
            if isinstance(above, ast.arg) or (isinstance(above, ast.AnnAssign) and child is above.annotation):
                # the help of an option stands in its annotation
                return "help=" not in ast.unparse(above)[:100000] and "Annotated" not in ast.unparse(above)
            if isinstance(above, ast.FunctionDef) and child is above.returns:
                return True
            if isinstance(above, ast.Assign) and any(
                getattr(t, "id", "") == "__all__" for t in above.targets
            ):
                return True
            if isinstance(above, ast.stmt):
                return False
            child, above = above, self.parent.get(above)
        return False

    def _flat(self, node: ast.expr) -> list[ast.expr] | None:
        """Return what a sum adds up, where any of it is text."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._flat(node.left), self._flat(node.right)
            both = [*(left or [node.left]), *(right or [node.right])]
            return both if any(_is_text(one) for one in both) else None
        return None

    def _template(self, node: ast.AST) -> str | None:
        """Return a string as a template."""
        if isinstance(node, ast.BinOp):
            flat = self._flat(node)
            if flat is None:
                return None
        else:
            flat = [node]  # type: ignore[list-item]
        parts: list[str | Hole] = []
        count = 0

        def put(one: ast.AST) -> None:
            nonlocal count
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                for i, piece in enumerate(
                    re.split(_FORMATTED, one.value) if _is_format(one.value) else [one.value]
                ):
                    if i:
                        parts.append(Hole(count))
                        count += 1
                    parts.append(piece)
            elif isinstance(one, ast.JoinedStr):
                for value in one.values:
                    put(value)
            elif isinstance(one, ast.FormattedValue):
                spec = ast.unparse(one.format_spec)[2:-1] if one.format_spec is not None else ""
                inner = self._known(one.value)
                if one.conversion == 114:
                    parts.append(Hole(count, "r"))
                elif re.search(r"[\d,+.][efgd%]$|^[,g]$|,$|^\.\{", spec):
                    parts.append(Hole(count, "n"))
                elif isinstance(inner, str):
                    parts.append(inner)
                    return
                elif inner is not None:
                    parts.append(Hole(count, "", tuple(inner)))
                else:
                    parts.append(Hole(count))
                count += 1
            else:
                inner = self._known(one)
                parts.append(inner if isinstance(inner, str) else Hole(count, "", tuple(inner or ())))
                count += not isinstance(inner, str)

        for one in flat:
            put(one)
        if not any(isinstance(p, str) for p in parts):
            return None
        if isinstance(parts[-1], str) and re.search(r"[^.!?:;,\s] $", parts[-1]):  # something follows
            parts.append(Hole(count))
        if isinstance(parts[0], str) and re.match(r" [^ (\[A-Z]", parts[0]):  # something goes before
            parts.insert(0, Hole(count + 1))
        return written(parts)

    def _known(self, node: ast.AST, depth: int = 0) -> str | list[str] | None:
        """Return the text of an expression, or the texts that it can be; None where that is not known."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.IfExp):
            both = [self._known(node.body, depth + 1), self._known(node.orelse, depth + 1)]
            if any(one is None for one in both):
                return None
            return [text for one in both for text in ([one] if isinstance(one, str) else one or [])]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one in (node.left, node.right):
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    return [one.value, ""]
        if isinstance(node, ast.Name) and depth < _DEEPEST:
            scope: ast.AST | None = node
            while scope is not None:
                scope = self.parent.get(scope)
                if isinstance(scope, ast.FunctionDef):
                    if scope not in self.local:
                        self.local[scope] = _assigned([n for n in ast.walk(scope) if isinstance(n, ast.stmt)])
                    if node.id in self.local[scope]:
                        return self._known(self.local[scope][node.id], depth + 1)
            if node.id in self.constants:
                return self._known(self.constants[node.id], depth + 1)
        return None


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


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_format(text: str) -> bool:
    return re.search(_FORMATTED, text) is not None


def _of_page(text: str) -> Iterator[str]:
    """Yield the texts of a template of a page, node by node."""
    text = re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(
        r"\{#.*?#\}|\{% (set|from|extends|include|block|endblock).*?%\}", "<>", text, flags=re.DOTALL
    )
    texts = [m[1] for m in re.finditer(r'(?:alt|title|aria-label)="([^"]*)"', text)]
    texts += re.split(r"<[^>]*>|\{%.*?%\}", text)
    for one in texts:
        counted = iter(range(100))
        parts = [
            html.unescape(p) if i % 2 == 0 else Hole(next(counted))
            for i, p in enumerate(re.split(r"(\{\{.*?\}\})", one))
        ]
        yield " ".join(written(parts).split())


# Of which arguments single words are said: these are the program's own.
_SAID_BY = {
    **dict.fromkeys(("term", "word", "stage", "unknown_name", "line", "_tell"), (0,)),
    "bar": (0, 2),
    "counted": (2, 4),
}
# Words that reach those by a name.
_TERMS = (
    *(
        "points",
        "rows",
        "images",
        "point",
        "row",
        "image",
        "table",
        "tables",
        "tasks",
        "of coordinates",
        "of features",
    ),
    *("run", "model", "pictures", "animations", "training", "quality", "next", "best", "failed", "skipped"),
    *("picture", "report", "models", "data", "network", "recipe", "sampler", "schedule", "loss", "target"),
    *(
        "evaluations",
        "seeds",
        "seed",
        "sampling",
        "metric",
        "real data",
        "this model",
        "note",
        "column",
        "kind",
    ),
    *("floor", "time", "reached", "at most", "certain", "likely", "possible", "nearly", "worse", "copied"),
    *(
        "number",
        "integer",
        "category",
        "date",
        "boolean",
        "constant",
        "identifier",
        "duration",
        "text",
        "nats",
    ),
    *(
        "different",
        "generated",
        "train",
        "synthetic",
        "real",
        "held-out",
        "samples",
        "noise",
        "reverse",
        "forward",
        "both",
    ),
    *(
        "read",
        "write",
        "decoder",
        "prior",
        "share",
        "measured",
        "Evaluation",
        "Column",
        "Heaps",
        "Relations",
        "string",
    ),
    *("setting", "part", "variance", "spacing", "prediction", "weighting", "sum", "difference", "empty"),
    *(
        "none",
        "infinite",
        "required",
        "Usage:",
        "Options",
        "Arguments",
        "Commands",
        "Example:",
        "Examples:",
        "[required]",
    ),
    *(
        "Verdict",
        "Measured with",
        "recipe file",
        "sample",
        "nearest",
        "settings",
        "Marginals",
        "Associations",
    ),
    *("year", "month", "weekday", "day", "hour", "minute", "second", "quarter", "week", "season"),
    *("days", "hours", "minutes", "seconds", "Precision", "Recall", "Density", "Coverage", "Utility", "Heap"),
)
# Texts of several pieces, of which no piece says what the whole is.
_COMPOSED = (
    *("real rows (below)", "synthetic rows (above)"),
    "The network's output is in other units: {0} times it is {1=the negative of |}{2}",
    *(
        "{0:n} cell{1=s|}",
        "{0:n} training{1=s|}",
        "{0:n} core{1=s|}",
        ", gain: {0} × floor",
        "{0:n} × floor",
        "{0:n} ({1:n} to {2:n}) × floor",
        "{0:n} of {1:n}",
    ),
    *("{0:n} {1=cell|cells} of {2:n} {3=s|min|h}", "all {0:n} {1=cell|cells} are done already"),
    *("area {0:n} (real rows {1:n})", "sliced Wasserstein distance {0:n} × floor ({1:n} to {2:n})"),
    *("{0}, {1:n} steps, seed {2:n}", "{0}, {1:n} steps, seed {2:n}, {3}"),
    "{0} synthetic rows beside {1} training rows and {2} held-out rows",
    *(
        "{0=number|integer|date|time|duration}, {1} to {2}",
        "{0=number|integer|date|time|duration}, {1} to {2}, {3}",
    ),
    "{0:n} {1=points|rows|images|steps|files|bytes|tasks}/s",
)
# What the system, and the libraries for arguments and settings, say to people.
_FOREIGN = (
    *(
        "Usage: {0}",
        "Show this message and exit.",
        "[default: {0}]",
        "Missing argument {0:r}.",
        "Missing command.",
    ),
    *(
        "Missing option {0:r}.",
        "No such option: {0}",
        "No such option: {0} Did you mean {1}?",
        "No such command {0:r}.",
    ),
    *("Did you mean {0}?", "(Possible options: {0})", "Invalid value for {0}: {1}", "Invalid value: {0}"),
    *(
        "{0:r} is not a valid integer.",
        "{0:r} is not a valid float.",
        "{0:r} is not a valid int.",
        "{0:r} is not a valid boolean.",
    ),
    *(
        "Got unexpected extra argument ({0})",
        "Got unexpected extra arguments ({0})",
        "Option {0:r} requires an argument.",
    ),
    *("Option {0:r} does not take a value.", "{0} is not in the range {1}."),
    *("No such file or directory", "Permission denied", "Is a directory", "Not a directory", "File exists"),
    *(
        "No space left on device",
        "File name too long",
        "Read-only file system",
        "Too many open files",
        "Broken pipe",
    ),
    *(
        "Too many levels of symbolic links",
        "Input/output error",
        "Address already in use",
        "Disk quota exceeded",
    ),
    *("Input should be a valid integer", "Input should be a valid number", "Input should be a valid string"),
    *("Input should be a valid boolean", "Input should be a valid list", "Input should be a valid tuple"),
    *(
        "Input should be a valid dictionary",
        "Input should be greater than {0}",
        "Input should be less than {0}",
    ),
    *("Input should be greater than or equal to {0}", "Input should be less than or equal to {0}"),
    *(
        "Input should be {0}",
        "Input should be a finite number",
        "Extra inputs are not permitted",
        "Field required",
    ),
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid number, unable to parse string as a number",
    "Input should be a valid integer, got a number with a fractional part",
    "Input should be a valid boolean, unable to interpret input",
)
_NOT_SAID_NAMES = {"_OTHERS", "_OWN", "_SAID"}  # families of fonts, and what is put in place of other words
_NOT_SAID = {
    "bold green",
    "Error: {0}: {1}",
    "{0} steps, {1}",
    "{0} steps of {1} {2}, {3}",
    "{0:n} to {1:n}{2}, {3}",
    "{0} categories, {1}",
    "{0}, {1:n} true",
    "computed, {0:r}",
    "step {0}",
    "sampling {0} {1}",
    "{0} --label each",
    "yyyy-mm-dd hh:mm:ss",
    "{0} pale",
    "can't allocate memory",
    "out of memory",
    "malloc of size",
    "overflow storage",
    "datetime64[us, UTC]",
    "sample {0} -n 1000 -o samples.csv",
    "sample {0} -o samples.png{1= --label each|}",
    "evaluate {0} --html",
    "Python {0}",
    "font-variant-numeric: tabular-nums; white-space: pre-wrap",
    "outside upper center",
    "upper left",
    "offset points",
    "outside lower center",
    "DejaVu Sans",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Hiragino Sans",
    "Arial Unicode MS",
    "lower left",
    "lower center",
    "value = {0}",
    "diffuscope.train(..., out={0:r}, resume=True)",
    "dict[str, Any] | None",
    "studio forward",
    "studio posterior",
    "studio levels",
    "studio path",
    "{0}; frame-ancestors 'none'",
    "(0.0, inf)",
}


def main() -> None:
    """Write the catalogue anew, and list what has no translation."""
    path = CATALOGUES / "zh.po"
    known = read_catalogue(path) if path.exists() else {}
    found = extract()
    for text in [one for one in known if one not in found]:
        print(f"gone: {text}")
    missing = [text for text in found if not known.get(text)]
    for text in missing:
        print(f"new: {text}")
    order: dict[str, list[str]] = {}
    for text, places in found.items():
        order.setdefault(places[0], []).append(text)
    lines = [_HEADER]
    for place, texts in order.items():
        for text in texts:
            lines.append(f"#: {place}\nmsgid {_quoted(text)}\nmsgstr {_quoted(known.get(text, ''))}\n")
    path.write_text("\n".join(lines), "utf-8")
    print(f"{len(found)} texts, {len(missing)} without a translation", file=sys.stderr)


_HEADER = 'msgid ""\nmsgstr ""\n"Language: zh_CN\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    main()
