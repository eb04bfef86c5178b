r"""What may reach a terminal? Text, and no control character that a name, a value or a path brings along.

A terminal obeys escape sequences: they move the cursor, change its title, hide a line or show another one in
its place. Characters that turn the direction of text do the same to the eye. Both are shown as what they are,
``\x1b`` or ``\u202e``. All that the command line prints goes through :func:`echo`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

from diffuscope.errors import RunError
from diffuscope.translations import translate

__all__ = ["any_encoding", "echo", "one_line", "plain"]

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"  # but for tabs and line breaks
_TURNING = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # and separators of lines and paragraphs
_HIDDEN = "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, which are not shown at all
_HALVES = "\ud800-\udfff"  # of names that are not UTF-8
_UNSAFE = re.compile(f"[{_CONTROLS}{_TURNING}{_HIDDEN}{_HALVES}]")
_BREAKS = re.compile("[\t\n]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def plain(text: object) -> str:
    """Return a text in which every character that is not to be printed is shown by its number."""
    return _UNSAFE.sub(_number, str(text))


def one_line(text: object) -> str:
    """Return :func:`plain` text on one line: breaks and tabs are shown as well."""
    return _BREAKS.sub(_number, plain(text))


def _number(match: re.Match[str]) -> str:
    found = match[0]
    code = ord(found)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a path that is not UTF-8
        code -= 0xDC00
    if found in _SHORT:
        return _SHORT[found]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def echo(text: object = "", *, err: bool = False, as_is: bool = False) -> None:
    """Print lines of text to standard output, or to standard error; what its encoding lacks by number.

    They are translated into the chosen language, but ``as_is`` for data, such as JSON or a path.
    """
    stream = sys.stderr if err else sys.stdout
    line = plain(text if as_is else translate(text)) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:  # a reader that has seen enough
        raise
    except OSError as error:
        if err:  # there is nowhere left to say it
            return
        raise RunError(
            f"The output cannot be printed: {error.strerror or error}.", "Send it somewhere else."
        ) from error


@contextlib.contextmanager
def any_encoding() -> Iterator[None]:
    """Have both outputs show by number what their encoding lacks, whoever prints, while the block runs."""
    with contextlib.ExitStack() as held:
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                held.callback(reconfigure, errors=stream.errors)
                reconfigure(errors="backslashreplace")
        yield
