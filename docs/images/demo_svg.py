"""``python docs/images/demo_svg.py`` makes ``demo.svg`` beside this file: what ``manage.py demo`` prints.

The lines appear one after the other, once. Who asked the system for less motion sees all of them at once.
"""

import re
import subprocess
import sys
from html import escape
from pathlib import Path

IMAGES = Path(__file__).resolve().parent
CHECKOUT = IMAGES.parents[1]
END = "The admin, masked"  # from there on: addresses and a password of this run
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#79c0ff"}
WIDTH, LINE, TOP, EACH = 760, 18, 34, 0.18  # pixels, pixels, pixels, seconds


def svg(printed: str) -> str:
    """The picture of a terminal that holds ``printed``, with its colours."""
    shown = printed.partition(END)[0].rstrip("\x1b[0123456789;m\n ")
    lines = ["\x1b[1m$ python manage.py demo\x1b[0m", *shown.splitlines()]
    height = TOP + LINE * len(lines) + 10
    body = "\n".join(
        f'<text x="16" y="{TOP + LINE * row}" style="animation-delay:{EACH * row:.2f}s">{_spans(line)}</text>'
        for row, line in enumerate(lines)
        if line
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<title>What manage.py demo prints: few requests, a search, a changed cell, a withdrawn key, new keys</title>
<style>
text {{ font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #c9d1d9; white-space: pre }}
@media (prefers-reduced-motion: no-preference) {{
  text {{ animation: appear 0.1s both }}
  @keyframes appear {{ from {{ opacity: 0 }} to {{ opacity: 1 }} }}
}}
</style>
<rect width="{WIDTH}" height="{height}" rx="8" fill="#0d1117"/>
{body}
</svg>
"""


def _spans(line: str) -> str:
    """One line, its escape sequences for colours made ``tspan``."""
    spans, style = [], ""
    for part in re.split(r"(\x1b\[[\d;]*m)", line):
        if part.startswith("\x1b"):
            codes = part[2:-1].split(";")
            fill = "".join(f' fill="{COLOURS[code]}"' for code in codes if code in COLOURS)
            style = fill + (' font-weight="bold"' if "1" in codes else "")
        elif part:
            spans.append(f"<tspan{style}>{escape(part)}</tspan>" if style else escape(part))
    return "".join(spans)


if __name__ == "__main__":
    command = [sys.executable, "manage.py", "demo", "--force-color"]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True)  # noqa: S603
    (IMAGES / "demo.svg").write_text(svg(done.stdout))
