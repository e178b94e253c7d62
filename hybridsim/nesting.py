"""How deep a text nests lists and mappings in one another, found before a parser sees it.

Parsers of JSON and YAML stop at deep texts each in its own way: at a limit that moves between
releases, at Python's limit of recursion, or with a crash. So the depth is counted here first, in
one pass. Only what decides the depth is understood: brackets, the indentation of YAML, and where
brackets are mere text (quotes, comments, blocks of text, plain words). Whether the text is right
in other respects is left to its parser.
"""

import json
import re
from itertools import accumulate
from typing import Any

from hybridsim.errors import SpecError

MOST_DEPTH = 32
"""How deep lists and mappings may be nested; ordinary files stay below 10."""


def json_value(text: str | bytes, file: str, **hooks: Any) -> Any:
    """Return what a JSON text says; ``hooks`` are those of :func:`json.loads`.

    Raises:
        SpecError: It is nested too deep.
        ValueError: It is broken, or a number in it has thousands of digits.
    """
    check_json_depth(text, file)
    return json.loads(text, **hooks)


def check_json_depth(text: str | bytes, file: str) -> None:
    """Refuse JSON whose lists and mappings are more than :data:`MOST_DEPTH` deep.

    Raises:
        SpecError: They are; the message names the line.
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH:
        _check_brackets(raw, file)


def check_yaml_depth(text: str, file: str) -> None:
    """Refuse YAML whose lists and mappings are more than :data:`MOST_DEPTH` deep.

    Both kinds count, those in brackets and those by indentation.

    Raises:
        SpecError: They are; the message names the line.
    """
    if not text.isascii() or "\r" in text:
        text = _LINE_BREAK.sub("\n", text)
    if _most_yaml_depth(text) > MOST_DEPTH:
        _Outline(text + "\n", file).read()


def _refuse(file: str, line: int) -> None:
    problem = f"lists or mappings are nested more than {MOST_DEPTH} deep"
    raise SpecError(file, f"line {line}", f"{problem}; at most {MOST_DEPTH} would do")


# --- JSON -----------------------------------------------------------------------------------

_NOT_FRAME = bytes(set(range(256)) - set(b'[]{}"\n'))
_ESCAPE = re.compile(rb"\\[^\n]")
_STRING = re.compile(rb'"[^"\n]*+"?')
_STEPS = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]


def _check_brackets(raw: bytes, file: str) -> None:
    """Count brackets outside strings.

    Only operations on whole texts are fast here: what is neither bracket, quote nor line break
    goes first. Escapes go before that, as they may hide a quote. Two quotes that are neighbours
    then can go together: every bracket keeps its side of the strings.
    """
    if b"\\" in raw:
        raw = _ESCAPE.sub(b"", raw)
    frame = _STRING.sub(b"", raw.translate(None, _NOT_FRAME).replace(b'""', b""))
    if max(accumulate(map(_STEPS.__getitem__, frame)), default=0) > MOST_DEPTH:
        depths = enumerate(accumulate(map(_STEPS.__getitem__, frame)))
        at = next(i for i, depth in depths if depth > MOST_DEPTH)
        _refuse(file, frame.count(b"\n", 0, at) + 1)


# --- YAML -----------------------------------------------------------------------------------

# Groups are possessive (++, *+): what one took is never given back, so time stays linear.
_LINE_BREAK = re.compile("\r\n?|[\x85\u2028\u2029]")
_END = r"(?=[ \t\n])"
_QUOTED = r""""(?:[^"\\]++|\\.)*+"|'(?:[^']++|'')*+'"""
_HEAD = re.compile(rf"(\ *+)((?:[-?:]{_END}[ \t]*+)*+)([\#\n])?")
_KEY = re.compile(rf"[ \t]*+:{_END}[ \t]*+")
_BLANK = re.compile(r"[ \t]*+\n")
_COMMENT = re.compile(r"[ \t]\#")
_DOCUMENT = re.compile(rf"(?:---|\.\.\.){_END}[ \t]*+")
_LINE_HEAD = re.compile(r"\n[-?: \t]*+")
_PAIR = re.compile(r"""[\[{][^\[\]{}"'#\n]*+[\]}]""")
_NODE = re.compile(
    rf"""(?:[&!][^ \t\n]*+[ \t]*+)*+(?:
        (?P<flow>[\[{{])
      | (?P<block>[|>][-+]?(?P<indent>[1-9]?)[-+]?[ \t]*+(?:\#[^\n]*+)?\n)
      | (?P<quoted>{_QUOTED})
      | (?P<plain>(?![-?:]{_END})[^ \t\n\#"'](?:[^ \t\n:]++|:(?!{_END})|[ \t]++(?![\#\n]))*+)
    )?""",
    re.VERBOSE | re.DOTALL,
)
_BRACKET = re.compile(
    rf"""(?:
        [ \t\n,:?]++ | \#[^\n]*+ | {_QUOTED} | [&!*][^ \t\n,\[\]{{}}]*+
      | [^ \t\n,:?\#"'&!*\[\]{{}}]
        (?:[^ \t\n,:\[\]{{}}]++ | :(?![ \t\n,\[\]{{}}]) | [ \t\n]++(?!\#))*+
    )*+([\[\]{{}}])""",
    re.VERBOSE | re.DOTALL,
)


def _most_yaml_depth(text: str) -> int:
    """Return a depth that is surely not exceeded, in a twentieth of the time of finding it.

    A list or mapping without brackets begins behind nothing but marks and blanks, and at most two
    of them at one column. A pair of brackets on one line, with nothing between them that could
    make one of them text, is one level at most, and what is left once they are gone may be pairs.
    """
    heads = set(_LINE_HEAD.findall("\n" + text))
    columns = {i for head in heads for i, mark in enumerate(head + "x") if mark not in " \t\n"}
    levels, brackets = 0, text.count("[") + text.count("{")
    while levels < 3 and brackets > 8:
        levels, text = levels + 1, _PAIR.sub("", text)
        brackets = text.count("[") + text.count("{")
    return 2 * len(columns) + levels + brackets


class _Outline:
    """Follows line by line which lists and mappings are open, by the rules of YAML 1.1."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file, self.at = text, file, 0
        self.open: list[tuple[int, bool]] = []
        """Column of each open list or mapping without brackets, and whether it is a list."""
        self.words: int | None = None
        """A line beyond this column goes on with the words of the last one; None: none does."""

    def read(self) -> None:
        """Read to the end.

        Raises:
            SpecError: It gets too deep.
        """
        while self.at < len(self.text):
            head = self._head()
            if not self._goes_on(head):
                self._entry(head)
            self.at = self._line_end() + 1

    def _head(self) -> re.Match[str]:
        head = _HEAD.match(self.text, self.at)
        assert head is not None  # all of it is optional
        return head

    def _line_end(self) -> int:
        return self.text.index("\n", self.at)

    def _goes_on(self, head: re.Match[str]) -> bool:
        """Return whether a line is blank, a comment, or more of the words before it."""
        indent, marks, end = head.groups()
        if not marks and end is not None:
            if end == "#":
                self.words = None
            return True
        if self.words is None or len(indent) <= self.words or _DOCUMENT.match(self.text, self.at):
            return False
        if _COMMENT.search(self.text, self.at, self._line_end()):
            self.words = None
        return True

    def _entry(self, head: re.Match[str]) -> None:
        """Take up a line that begins something, and what its value needs of further ones."""
        first, column, self.words = self.at, len(head[1]), None
        self.at = head.end(2)
        if document := _DOCUMENT.match(self.text, first):
            self.open.clear()
            self.at = document.end()
        # a list may stand at the column of the mapping around it; there it ends without a dash
        ended = (column + 1, False) if head[2].startswith("-") else (column, True)
        while self.open and self.open[-1] >= ended:
            self.open.pop()
        for place, mark in enumerate(head[2], column):
            if mark in "-?:":
                self._begin(place, mark == "-")
        key = self.at
        inside = self._node()
        if colon := _KEY.match(self.text, self.at):
            self._begin(key - first, is_list=False)
            self._check(inside)  # in brackets, the key is one level deeper than it seemed
            self.at = colon.end()
            self._node()

    def _begin(self, column: int, is_list: bool) -> None:
        """Open a list or a mapping at a column, unless it is open there already."""
        outer, in_list = self.open[-1] if self.open else (-1, False)
        if outer < column or (is_list and not in_list):
            self.open.append((column, is_list))
            self._check(0)

    def _check(self, brackets: int) -> None:
        if len(self.open) + brackets > MOST_DEPTH:
            _refuse(self.file, self.text.count("\n", 0, self.at) + 1)

    def _node(self) -> int:
        """Pass over a key or a value, and return how many levels of brackets it has.

        Of plain words, only their first line is passed.
        """
        node = _NODE.match(self.text, self.at)
        assert node is not None  # all of it is optional
        self.at = node.end()
        self.words = None
        match node.lastgroup:
            case "flow":
                return self._brackets()
            case "block":
                self._block(int(node["indent"] or 0))
            case "plain" if _BLANK.match(self.text, self.at):
                self.words = self.open[-1][0] if self.open else -1
            case None if self.text[self.at : self.at + 1] in ("'", '"'):
                self.at = len(self.text) - 1  # a quote that never ends
        return 0

    def _brackets(self) -> int:
        """Go to the bracket that closes the one just passed; return the levels up to there."""
        depth = deepest = 1
        self._check(depth)
        while depth and (found := _BRACKET.match(self.text, self.at)):
            self.at = found.end()
            depth += 1 if found[1] in "[{" else -1
            self._check(depth)
            deepest = max(deepest, depth)
        if depth:
            self.at = len(self.text) - 1  # a bracket that is never closed
        return deepest

    def _block(self, indicator: int) -> None:
        """Go to the end of the last line of a block of text (| or >)."""
        least = max(self.open[-1][0] + 1 if self.open else 0, 1)
        column = least + indicator - 1 if indicator else 0
        while self.at < len(self.text):
            head = self._head()
            width = len(head[1])
            if head[2] or head[3] != "\n":
                column = column or max(least, width)
                if width < column:
                    break
            elif not column:
                least = max(least, width)
            self.at = self._line_end() + 1
        self.at -= 1  # the line break before
