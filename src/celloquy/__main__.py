"""``python -m celloquy`` is the command line."""

from __future__ import annotations

from celloquy.apps.cli import main

if __name__ == "__main__":
    main()
