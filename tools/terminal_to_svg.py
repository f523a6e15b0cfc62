"""Turn a terminal's text, with its colours, into the picture that the README shows.

Run `tmux capture-pane -e -p | .venv/bin/python tools/terminal_to_svg.py TITLE > docs/demo.svg`.
"""

import io
import sys

from rich.console import Console
from rich.text import Text


def main() -> None:
    """Read ANSI text from standard input, write an SVG of it to standard output."""
    lines = sys.stdin.read().rstrip().splitlines()
    width = max(len(Text.from_ansi(line)) for line in lines)
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    sys.stdout.write(console.export_svg(title=sys.argv[1]))


if __name__ == "__main__":
    main()
