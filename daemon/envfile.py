"""Files of settings in the form of systemd's EnvironmentFile=, read as systemd.exec(5) says.

No library reads that form: those for `.env` files cut comments out of values and expand variables, which systemd
does not.
"""

from __future__ import annotations

import re

_QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
_ASSIGNMENT = re.compile(
    rf"^[ \t]*(?P<name>[A-Za-z_]\w*)[ \t]*=(?P<quoted>(?:[ \t]*(?:{_QUOTED}))*)[ \t]*(?P<plain>(?:\\.|[^\\\n])*)",
    re.MULTILINE | re.DOTALL | re.ASCII,
)
_COMMENT = re.compile(r"^[ \t]*[#;].*$", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """The variables of such a file; of two with one name the last counts. What is no assignment is left out."""
    return {
        found["name"]: "".join(map(_unquoted, re.findall(_QUOTED, found["quoted"], re.DOTALL)))
        + _unescaped(found["plain"].rstrip(" \t\r"))
        for found in _ASSIGNMENT.finditer(_COMMENT.sub("", text))
    }


def _unquoted(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    return re.sub(r'\\(?:\n|(["\\`$]))', lambda found: found[1] or "", part[1:-1])


def _unescaped(plain: str) -> str:
    """A backslash joins the next line, or makes the next sign an ordinary one."""
    return re.sub(r"\\(.)", lambda found: "" if found[1] == "\n" else found[1], plain, flags=re.DOTALL)
