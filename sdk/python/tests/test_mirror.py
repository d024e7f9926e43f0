"""The package against `tarn/tarn.h`: every public name is there, and says what it does."""

import inspect
import pathlib
import re
import unittest

import tarn

HEADERS = pathlib.Path(__file__).resolve().parents[2] / "cpp" / "include" / "tarn"

# What the header needs for itself: Python has exceptions, None, bytes and its own lifetimes.
NOT_MIRRORED = {"Error", "Expected", "Done", "MoveOnly", "BlockHash", "Impl"}
# What cannot be made from nothing.
WITHOUT_DEFAULTS = {"PutItem", "GetItem", "ViewItem", "Slice"}
# Where the names of Python's protocols stand for the header's.
RENAMED = {("Slice", "of"): None, ("Slice", "data"): None}
RENAMED |= {("Slice", "buffer_id"): None, ("Buffer", "data"): None}

FUNCTION = re.compile(r"(?:static )?[\w:<>,&* ]+?[ &*](\w+)\(([^;{]*)\)[^;{]*[;{]")
FIELD = re.compile(r"(?:std::)?[\w:<>]+ (\w+)(?: = [^;]+| *\{[^;]*\})?;")


def without_comments(text):
    return re.sub(r"//[^\n]*| = \{\}", "", text)


def declarations():
    """Yields (kind, name, body) of each class, struct and enum of the header."""
    text = "".join(without_comments(path.read_text()) for path in sorted(HEADERS.glob("*.h")))
    for match in re.finditer(r"^(class|struct|enum class) (?:\[\[\w+\]\] )?(\w+)", text, re.M):
        start = text.find("{", match.end())
        if text.find(";", match.end()) < start:
            continue
        depth, end = 1, start + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield match[1], match[2], text[start + 1 : end - 1]


def public_part(kind, body):
    if kind == "class":
        body = body.partition("public:")[2]
    return body.partition("private:")[0]


def members(kind, name, body):
    """Names of a class's public functions and fields, or of an enum's values."""
    if kind == "enum class":
        return [line.partition("=")[0].strip() for line in body.split(",") if line.strip()]
    body = public_part(kind, body)
    functions = {m[1] for m in FUNCTION.finditer(body) if m[1] != name}
    fields = {m[1] for m in FIELD.finditer(re.sub(r"\([^;]*\)", "()", body))}
    return sorted((functions | fields) - {"operator", "default", name})


class Mirror(unittest.TestCase):
    def test_the_header_was_understood(self):
        found = {name: members(kind, name, body) for kind, name, body in declarations()}
        self.assertEqual(found["Transport"], ["automatic", "tcp", "shm", "grpc", "local"])
        self.assertIn("append", found["Session"])
        self.assertIn("in_flight_bytes_max", found["ClientOptions"])
        self.assertIn("register_memory", found["Client"])
        self.assertGreater(len(found), 20)

    def test_every_name_of_the_header_is_in_python(self):
        for kind, name, body in declarations():
            if name in NOT_MIRRORED:
                continue
            self.assertTrue(hasattr(tarn, name), f"{name} is missing")
            mirrored = getattr(tarn, name)
            for member in members(kind, name, body):
                wanted = RENAMED.get((name, member), member)
                if wanted is not None:
                    self.assertTrue(hasattr(mirrored, wanted), f"{name}.{member} is missing")

    def test_and_nothing_is_in_python_that_the_header_lacks(self):
        header = {name for _, name, _ in declarations()} | {"version", "Error"}
        self.assertLessEqual(set(tarn.__all__), header)

    def test_defaults_are_those_of_the_header(self):
        checked = 0
        for kind, name, body in declarations():
            if kind != "struct" or name in NOT_MIRRORED | WITHOUT_DEFAULTS:
                continue
            instance = getattr(tarn, name)()
            for field, value in re.findall(r"(\w+) = ([\d'truefals]+);", body):
                wanted = {"true": True, "false": False}.get(value)
                wanted = int(value.replace("'", "")) if wanted is None else wanted
                self.assertEqual(getattr(instance, field), wanted, f"{name}.{field}")
                checked += 1
        self.assertGreater(checked, 20)

    def test_every_class_and_call_has_a_docstring(self):
        for name in tarn.__all__:
            item = getattr(tarn, name)
            self.assertTrue(inspect.getdoc(item), f"{name} has no docstring")
            if not inspect.isclass(item) or issubclass(item, Exception):
                continue
            for member, value in vars(item).items():
                if not member.startswith("_") and callable(value):
                    self.assertGreater(len(value.__doc__.splitlines()), 1, f"{name}.{member}")

    def test_docstrings_say_units_shapes_and_errors(self):
        cases = {
            "Session.append": ["conflict", "int"],
            "Session.set_ttl": ["milliseconds"],
            "Space.exists": ["8,192", "list of bool"],
            "Space.match": ["8,192", "MatchResult"],
            "Space.get_kv": ["miss", "BufferError", "Transfer"],
            "Space.get_views": ["ViewItem", "take_view", "4,096"],
            "View.verify": ["corrupt", "GIL"],
            "Transfer.wait": ["milliseconds", "GIL", "1.5 s", "deadline_exceeded"],
            "Hasher.hash": ["2**32", "32"],
            "Client.route": ["no worker is alive"],
        }
        for path, words in cases.items():
            owner, member = path.split(".")
            text = getattr(getattr(tarn, owner), member).__doc__
            for word in words:
                self.assertIn(word, text, path)

    def test_records_take_keywords_and_refuse_unknown_ones(self):
        spec = tarn.SpaceSpec(model="m", block_tokens=64, flat=True)
        self.assertEqual((spec.model, spec.block_tokens, spec.flat), ("m", 64, True))
        for record in (tarn.SpaceSpec, tarn.CallOptions, tarn.ClientOptions, tarn.Append):
            with self.assertRaises(AttributeError):
                record(no_such_field=1)
        for wrong in ({"timeout_ms": -1}, {"timeout_ms": "soon"}, {"copies": 2**32}):
            with self.assertRaises((TypeError, ValueError, OverflowError, RuntimeError)):
                tarn.CallOptions(**wrong)

    def test_errors_say_what_to_do(self):
        error = tarn.Error(tarn.Outcome.conflict, "version is 3")
        self.assertEqual(str(error), "conflict: version is 3")
        self.assertIsInstance(error, Exception)


class HashersOfEngines(unittest.TestCase):
    def test_only_full_blocks_are_named(self):
        hasher = tarn.Hasher.open("sha256_cbor", "0", 16)
        tokens = list(range(100))
        names = hasher.hash(tokens)
        self.assertEqual([len(n) for n in names], [32] * 6)
        self.assertEqual(hasher.hash(tokens[:40]), names[:2])
        self.assertNotEqual(hasher.hash(tokens, ["lora", "salt"]), names)
        self.assertEqual(hasher.hash([]), [])

    def test_what_is_not_valid_raises(self):
        for arguments in (("md5", "", 16), ("sha256_cbor", "0", 0), ("sha256_u32le", "7", 16)):
            with self.assertRaises(tarn.Error) as raised:
                tarn.Hasher.open(*arguments)
            self.assertEqual(raised.exception.outcome, tarn.Outcome.invalid_argument)
        hasher = tarn.Hasher.open("sha256_u32le", "", 4)
        for tokens in ([-1, 0, 0, 0], [2**32, 0, 0, 0], ["a"], None):
            with self.assertRaises(TypeError):
                hasher.hash(tokens)


if __name__ == "__main__":
    unittest.main()
