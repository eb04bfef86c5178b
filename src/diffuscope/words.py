"""What is an option of the command line called in Python? Messages name the one, and are said in both.

Resume it: diffuscope train DATA --out DIR --resume.     on the command line
Resume it: diffuscope.train(DATA, out=DIR, resume=True).     in Python
"""

from __future__ import annotations

import re

__all__ = ["in_python"]

_CALLS = {
    "train": "diffuscope.train",
    "evaluate": "diffuscope.evaluate",
    "diagnose": "diffuscope.diagnose",
    "compare": "diffuscope.compare",
    "sample": "run.sample",
}
_SWITCHES = {  # options without a value
    "resume": "resume=True",
    "overwrite": "overwrite=True",
    "zero-terminal-snr": "zero_terminal_snr=True",
    "skip-invalid": "skip_invalid=True",
    "no-pictures": "pictures=False",
    "no-baselines": "baselines=False",
    "tensorboard": "tensorboard=True",
}
_NAMES = ("schedule", "sampler", "recipe", "network", "prediction", "encoding", "missing")
_OF_THE_SHELL = ("force", "html", "json", "debug", "help", "version", "resize", "null-class", "existing")

_CHINESE = "\u3000-\u9fff\uff00-\uffef"
_VALUE = rf"""(?!--)(?:'[^']*' | [^\s'(),;{_CHINESE}]*[^\s'(),;.:{_CHINESE}])"""
_OPTION = rf"--[a-z][a-z-]*(?:(?:\ |=)(?:{_VALUE}))?"
_COMMAND = re.compile(
    rf"""(?P<command>\bdiffuscope\ (?:{"|".join(_CALLS)})\b)
         (?P<place>(?:\ (?!-)(?:{_VALUE}))?)
         (?P<options>(?:\ {_OPTION})*)""",
    re.VERBOSE,
)
_OPTIONS = re.compile(rf"(?<![\w-])(?:{_OPTION})(?:\ {_OPTION})*", re.VERBOSE)
_ONE = re.compile(rf"--(?P<name>[a-z][a-z-]*)(?:(?:\ |=)(?P<value>{_VALUE}))?", re.VERBOSE)


def in_python(text: str) -> str:
    """Return a message that names options and commands of the command line with the words of Python."""

    def call(match: re.Match[str]) -> str:
        place, rest = match["place"].strip(), ""
        options = match["options"].strip()
        if options:
            options, rest = _arguments(options)
        name = match["command"].split()[1]
        first = "n" if name == "sample" else _value(place) if place else ""
        arguments = ", ".join(part for part in (first, options) if part)
        return f"{_CALLS[name]}({arguments}){rest}"

    return _OPTIONS.sub(lambda match: "".join(_arguments(match[0])), _COMMAND.sub(call, text))


def _arguments(options: str) -> tuple[str, str]:
    """Return options as arguments, and the words after the last one that are no part of it."""
    found: list[str] = []
    settings: list[str] = []
    rest = ""
    for match in _ONE.finditer(options):
        name, value = match["name"], match["value"]
        if name in _OF_THE_SHELL:
            return options, ""
        if name in _SWITCHES:
            found.append(_SWITCHES[name])
            rest = "" if value is None else f" {value}"
        elif value is None or not _is_value(name, value):
            found.append("settings" if name == "set" else f"{name.replace('-', '_')}=")
            rest = "" if value is None else f" {value}"
        elif name in ("set", "types"):
            key, _, text = value.strip("'").partition("=")
            (settings if name == "set" else found).append(
                f'"{key}": {_value(text)}' if name == "set" else f'types={{"{key}": {_value(text)}}}'
            )
            rest = ""
        else:
            found.append(f"{name.replace('-', '_')}={_value(value)}")
            rest = ""
    if settings:
        found.append(f"settings={{{', '.join(settings)}}}")
    return ", ".join(found), rest


def _is_value(name: str, value: str) -> bool:
    """Whether a word after an option is its value, and not the next word of a sentence."""
    return name in _NAMES or bool(re.search(r"[^a-z-]", value))


def _value(text: str) -> str:
    """Return a value as Python has it: numbers and placeholders such as DATA as they are, text in quotes."""
    bare = text.strip("'")
    if text == bare and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?|[A-Z][A-Z_]*", text):
        return text
    if bare in ("true", "false"):
        return bare.capitalize()
    return '"' + bare.replace("\\", "\\\\").replace('"', '\\"') + '"'
