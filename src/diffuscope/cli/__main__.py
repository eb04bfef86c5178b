"""``python -m diffuscope.cli`` is ``diffuscope``."""

from __future__ import annotations

from diffuscope.cli import main

main()
