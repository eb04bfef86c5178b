"""``python -m diffuscope`` is ``diffuscope``."""

from __future__ import annotations

from diffuscope.cli import main

if __name__ == "__main__":
    main()
