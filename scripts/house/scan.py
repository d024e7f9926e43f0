"""Reads the tree: source files, their functions, declarations and includes.

The C++ reader is no parser. It matches braces in text whose comments, literals and preprocessor
lines are blanked. That is enough to find functions: a body is a brace whose header ends in a
parameter list.
"""

import ast
import bisect
import dataclasses
import functools
import os
import pathlib
import re

SKIPPED_FOLDERS = {"build", "__pycache__", "node_modules", "venv"}
SOURCE_SUFFIXES = {".cc", ".h", ".py"}


@dataclasses.dataclass(frozen=True)
class Function:
    """A definition: its name or header's start, and its first and last line (counted from 1)."""

    name: str
    first_line: int
    last_line: int

    @property
    def lines(self):
        return self.last_line - self.first_line + 1


@dataclasses.dataclass(frozen=True)
class Declaration:
    """A function as a header or class declares it, or a .cc defines it. `owner` is its class, ""
    for a free one and for one that is defined outside of its class."""

    name: str
    line: int
    parameters: int
    owner: str
    public: bool


class Source:
    """One text file of the tree. Immutable; derived views are made on first use."""

    def __init__(self, root, path):
        self.path = path.as_posix()
        self.suffix = path.suffix
        self.text = (root / path).read_text(encoding="utf-8", errors="replace")
        self._line_starts = [0] + [m.end() for m in re.finditer("\n", self.text)]

    @property
    def is_cpp(self):
        return self.suffix in (".cc", ".h")

    @property
    def is_test(self):
        return "tests" in self.path.split("/")[:-1]

    @property
    def is_benchmark(self):
        return self.path.startswith("benchmarks/")

    @functools.cached_property
    def lines(self):
        return self.text.splitlines()

    @functools.cached_property
    def uncommented(self):
        """C++ text with comments blanked; literals stand."""
        return blank(self.text, literals=False)

    @functools.cached_property
    def code(self):
        """C++ text without comments, literals and preprocessor lines; offsets are kept."""
        return blank_preprocessor(blank(self.text, literals=True))

    @functools.cached_property
    def includes(self):
        """(line, path, angled) of each #include."""
        found = re.finditer(
            r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', self.uncommented, re.M
        )
        return [(self.line_at(m.start(1)), m.group(2), m.group(1) == "<") for m in found]

    @functools.cached_property
    def functions(self):
        return python_functions(self.text) if self.suffix == ".py" else self._cpp[0]

    @functools.cached_property
    def declarations(self):
        return self._cpp[1]

    @functools.cached_property
    def _cpp(self):
        return CppReader(self).read()

    def comment_above(self, line):
        """The whole lines of // that end right above `line` (counted from 1)."""
        first = line - 1
        while first > 0 and self.lines[first - 1].lstrip().startswith("//"):
            first -= 1
        return "\n".join(self.lines[first : line - 1])

    def line_at(self, offset):
        return bisect.bisect_right(self._line_starts, offset)


def read_tree(root):
    """All text files under root but what is built, hidden or binary. `.ci` is read."""
    root = pathlib.Path(root)
    sources = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(
            n for n in names if n not in SKIPPED_FOLDERS and (n[0] != "." or n == ".ci")
        )
        for file in sorted(files):
            path = pathlib.Path(folder, file)
            if file != ".git" and path.is_file() and not path.is_symlink() and not is_binary(path):
                sources.append(Source(root, path.relative_to(root)))
    return sources


def is_binary(path):
    with open(path, "rb") as file:
        return b"\0" in file.read(4096)


def spaces(text):
    """`text` with everything but line ends turned into spaces."""
    return re.sub(r"[^\n]", " ", text)


LITERAL = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<raw>R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")"""
    r"""|(?P<string>"(?:\\.|[^"\\\n])*")"""
    r"""|(?P<char>(?<![0-9a-fA-F])'(?:\\.[^'\n]*|[^'\\\n])')""",
    re.S,
)


def blank(text, literals):
    """Turns comments, and with `literals` also string and character literals, into spaces."""

    def replace(match):
        found = match.group()
        if match.group("comment") is not None:
            return spaces(found)
        return found[0] + spaces(found[1:-1]) + found[-1] if literals else found

    return LITERAL.sub(replace, text)


def blank_preprocessor(text):
    """Turns preprocessor lines, with their continuations, into spaces."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: spaces(m.group()), text, flags=re.M)


def python_functions(text):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [n for n in ast.walk(ast.parse(text)) if isinstance(n, kinds)]
    return [Function(n.name, n.lineno, n.end_lineno) for n in found]


SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")
TYPE_SCOPE = re.compile(
    r"\b(?:class|struct|union)\s+(?:\[\[[^\]]*\]\]\s*|TARN_\w+(?:\([^)]*\))?\s*)*([\w:]+)"
)
NOT_A_NAME = re.compile(
    r"^(TARN_\w+|decltype|noexcept|alignas|static_assert|requires|__attribute__|explicit|sizeof"
    r"|if|for|while|switch|catch|return|throw)$"
)
OPEN, CLOSE = "([{", ")]}"


class CppReader:
    """One pass over a file's code: enters namespaces and classes, steps over function bodies."""

    def __init__(self, source):
        self.source = source
        self.code = source.code
        self.functions = []
        self.declarations = []
        self.scopes = []  # [kind, class name, public] of each open namespace or class
        self.start = 0  # where the current statement begins

    def read(self):
        at = 0
        while at < len(self.code):
            at = self.step(at)
        return self.functions, self.declarations

    def step(self, at):
        char = self.code[at]
        if char in "([":
            return self.skip(at)
        if char == "{":
            return self.enter(at)
        if char == "}":
            if self.scopes:
                self.scopes.pop()
            self.start = at + 1
        elif char == ";":
            self.declare(at)
            self.start = at + 1
        elif char == ":" and self.access_label(at):
            self.start = at + 1
        return at + 1

    def access_label(self, at):
        word = self.code[self.start : at].strip()
        if word not in ("public", "private", "protected") or not self.scopes:
            return False
        self.scopes[-1][2] = word == "public"
        return True

    def skip(self, at):
        """The offset after the bracket that closes the one at `at`."""
        depth = 0
        for end in range(at, len(self.code)):
            if self.code[end] in OPEN:
                depth += 1
            elif self.code[end] in CLOSE:
                depth -= 1
                if depth == 0:
                    return end + 1
        return len(self.code)

    def enter(self, at):
        header = self.code[self.start : at]
        kind = self.kind_of(header)
        if kind == "scope":
            self.open_scope(header)
            return at + 1
        end = self.skip(at)
        if kind == "value":
            return end
        self.declare(at, is_definition=True)
        stripped = header.strip()
        first = self.source.line_at(self.start + len(header) - len(header.lstrip()))
        name = re.sub(r"\s+", " ", stripped)[:80]
        self.functions.append(Function(name, first, self.source.line_at(end - 1)))
        self.start = end
        return end

    @staticmethod
    def kind_of(header):
        """What a brace after `header` opens: a "scope", a function's "body" or a "value"."""
        plain = without_template(header)
        if SCOPE.match(plain) or re.match(
            r"(typedef|static|inline|friend)\s+(class|struct|union|enum)\b[^()]*$", plain
        ):
            return "scope"
        call = name_and_parameters(plain)
        if call is None or plain.rstrip().endswith(("=", ",", "return")):
            return "value"
        rest = plain[call[2] :].rstrip()
        initializers = re.search(r"(?<!:):(?!:)", rest)
        if initializers and (rest[-1].isalnum() or rest[-1] in "_>:"):
            return "value"
        return "body"

    def open_scope(self, header):
        plain = without_template(header)
        match = TYPE_SCOPE.match(plain)
        self.scopes.append(
            [
                "class" if match else "other",
                match.group(1) if match else "",
                not plain.startswith("class"),
            ]
        )
        self.start = self.start + len(header) + 1

    def declare(self, end, is_definition=False):
        """Notes the statement that ends at `end` when it declares a function. Outside of classes a
        .cc may say X x(1, 2), so there only definitions count."""
        statement = self.code[self.start : end]
        plain = without_template(statement)
        if re.match(r"(using|typedef|friend|static_assert|extern\s+template|template\b)", plain):
            return
        call = name_and_parameters(plain)
        if call is None or re.search(r"=", plain[: call[1]].replace("operator", "").split("(")[0]):
            return
        offset = self.start + len(statement) - len(statement.lstrip())
        scope = self.scopes[-1] if self.scopes else ["other", "", True]
        if scope[0] == "class" or self.source.suffix == ".h" or is_definition:
            self.declarations.append(
                Declaration(
                    call[0],
                    self.source.line_at(offset),
                    count_parameters(plain[call[1] : call[2]]),
                    scope[1],
                    scope[2],
                )
            )


def without_template(header):
    """`header` without leading space, attributes and template<...> clauses."""
    text = header.lstrip()
    while True:
        if text.startswith("[["):
            text = text[text.index("]]") + 2 :].lstrip()
        elif re.match(r"template\s*<", text):
            text = text[angle_end(text, text.index("<")) :].lstrip()
            text = re.sub(r"^requires\b[^;(){}]*?\b(?=class\b|struct\b)", "", text)
        else:
            return text


def angle_end(text, at):
    depth = 0
    for end in range(at, len(text)):
        if text[end] == "<":
            depth += 1
        elif text[end] == ">" and text[end - 1] != "-":
            depth -= 1
            if depth == 0:
                return end + 1
    return len(text)


def name_and_parameters(text):
    """(name, offset of "(", offset after its ")") of a header's first parameter list, or None."""
    angle = 0
    at = 0
    while at < len(text):
        char = text[at]
        if char == "<" and not re.search(r"operator\s*<?$", text[:at]):
            angle += 1
        elif char == ">" and angle:
            angle -= 1
        elif char == "(":
            end = bracket_end(text, at)
            name = re.search(
                r"(operator\s*(?:\(\)|\[\]|[^\s\w(]+|[\w:&* ]+)|~?[\w]+)\s*$", text[:at]
            )
            if (
                angle == 0
                and name
                and text[end:].lstrip()[:1] == "("
                and name.group(1) == "operator"
            ):
                at, end = end, bracket_end(text, text.index("(", end))
                return "operator()", text.index("(", at), end
            if angle == 0 and name and not NOT_A_NAME.match(name.group(1)):
                return name.group(1), at, end
            at = end
            continue
        at += 1
    return None


def bracket_end(text, at):
    depth = 0
    for end in range(at, len(text)):
        depth += (text[end] in OPEN) - (text[end] in CLOSE)
        if depth == 0:
            return end + 1
    return len(text)


def count_parameters(text):
    """How many parameters "(...)" holds."""
    inner = text[1:-1].strip()
    if inner in ("", "void"):
        return 0
    depth = 0
    count = 1
    for at, char in enumerate(inner):
        if char in "([{<":
            depth += 1
        elif char in ")]}" or (char == ">" and inner[at - 1] != "-"):
            depth -= 1
        elif char == "," and depth == 0:
            count += 1
    return count
