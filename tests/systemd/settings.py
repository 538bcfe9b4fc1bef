"""A file of settings as people write them, and what systemd makes of it."""

ODD = r"""
# A comment, with an = in it: NOT=this
; and ANOTHER=one
ODD_PLAIN=one
ODD_SPACES = two words~~
ODD_HASH=b # no comment here
ODD_EMPTY=
ODD_SINGLE='it is "so" \n'
ODD_DOUBLE="it's \"so\" \$x \n"
ODD_APOSTROPHE=it's
ODD_ESCAPED=a\ b\\c
ODD_JOINED=one\
two
ODD_BOTH="a"'b'
  ODD_INDENTED=in
ODD_TWICE=first
ODD_TWICE=second
ODD_EQUALS=octree=256,resolution=512
#ODD_OFF=1
""".replace("~", " ")
EXPECTED = {
    "ODD_PLAIN": "one",
    "ODD_SPACES": "two words",
    "ODD_HASH": "b # no comment here",
    "ODD_EMPTY": "",
    "ODD_SINGLE": 'it is "so" \\n',
    "ODD_DOUBLE": 'it\'s "so" $x \\n',
    "ODD_APOSTROPHE": "it's",
    "ODD_ESCAPED": "a b\\c",
    "ODD_JOINED": "onetwo",
    "ODD_BOTH": "ab",
    "ODD_INDENTED": "in",
    "ODD_TWICE": "second",
    "ODD_EQUALS": "octree=256,resolution=512",
}
