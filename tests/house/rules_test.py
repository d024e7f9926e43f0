"""Edges of the house rules: one line more, a word elsewhere, a file that looks like a breach."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tidy_test import Tree, header  # noqa: E402

from house import layers, report, rules, scan  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Limits(Tree):
    """Each limit at N and at N + 1."""

    def test_of_files(self):
        for suffix, limit in rules.FILE_LINES_MAX.items():
            comment = "#\n" if suffix == ".py" else "//\n"
            first = "#pragma once\n" if suffix == ".h" else ""
            text = first + comment * (limit - bool(first))
            with self.subTest(suffix=suffix):
                self.assert_clean(f"server/a{suffix}", text)
                self.assert_finds(f"server/a{suffix}", text + comment, f"{limit} at most")

    def test_of_functions_in_tests_too(self):
        body = "  f();\n" * (rules.FUNCTION_LINES_MAX - 2)
        for path in ("server/a.cc", "tests/unit/a_test.cc"):
            with self.subTest(path=path):
                self.assert_clean(path, "void g() {\n" + body + "}\n")
                self.assert_finds(path, "void g() {\n" + body + "  f();\n}\n", "70 at most", 1)

    def test_of_methods_and_lambdas_inside_functions(self):
        lines = "    f();\n" * 68
        method = "struct X {\n  void g() {\n" + lines + "  }\n};\n"
        self.assert_clean("server/a.cc", method)
        inner = "void g() {\n  run([] {\n" + lines + "  });\n}\n"
        self.assert_finds("server/b.cc", inner, "72 lines")

    def test_of_parameters(self):
        four = "void f(int a, int b, int c, int d);\n"
        five = "void f(int a, int b, int c, int d, int e);\n"
        self.assert_clean("server/a.h", header(four))
        self.assert_finds("server/a.h", header(five), "options struct", 2)
        self.assert_clean("tests/unit/a.h", header(five))

    def test_of_parameters_does_not_count_what_has_commas_inside(self):
        for text in (
            "void f(std::pair<int, int> a, std::function<void(int, int, int)> b, X c = {1, 2});\n",
            "void f(int (&a)[2], std::array<std::pair<int, int>, 2> b, char c = ',', int d = 1);\n",
        ):
            with self.subTest(text=text):
                self.assert_clean("server/a.h", header(text))

    def test_of_parameters_of_what_a_source_file_defines(self):
        four = "void f(int a, int b, int c, int d) {\n  f(1, 2, 3, 4);\n}\n"
        five = "int e;\nvoid f(int a, int b, int c, int d, int e) {\n  g(a, b, c, d, e);\n}\n"
        self.assert_clean("server/a.cc", four)
        self.assert_finds("server/b.cc", "namespace {\n" + five + "}\n", "f has 5", 3)
        self.assert_finds("benchmarks/c.cc", five.replace(" f(", " X::f("), "f has 5", 2)
        method = "struct X {\n  X(int a, int b, int c, int d, int e) {}\n};\n"
        self.assert_finds("cli/d.cc", method, "X has 5", 2)
        self.assert_clean("tests/unit/a_test.cc", five)

    def test_of_parameters_lets_variables_and_calls_of_a_source_file_be(self):
        for text in (
            "const Table table(1, 2, 3, 4, 5);\n",
            "auto table = make(1, 2, 3, 4, 5);\n",
            "void g() {\n  Table table(1, 2, 3, 4, 5);\n  for (int i : f(1, 2, 3, 4, 5)) {}\n}\n",
        ):
            with self.subTest(text=text):
                self.assert_clean("server/a.cc", text)

    def test_of_parameters_lets_a_c_library_dictate_those_of_its_callbacks(self):
        callback = "int on_log(int a, int b, int c, int d, int e) {\n  return a;\n}\n"
        said = "// Called by UCX,\n// as ucs_push(f) wants it.\n"
        handed = "void g() {\n  ucs_push(1, on_log);\n}\n"
        self.assert_clean("common/fabric/ucx_a.cc", said + callback + handed)
        self.assert_clean("common/fabric/ucx_b.cc", said + callback + handed.replace("1, ", "&"))
        path = "common/fabric/ucx_c.cc"
        self.assert_finds(path, callback + handed, "on_log has 5")
        self.assert_finds(path, said + "\n" + callback + handed, "on_log has 5")
        self.assert_finds(path, said + callback, "on_log has 5")
        ours = handed.replace("ucs_push", "push")
        self.assert_finds(path, said.replace("ucs_push", "push") + callback + ours, "on_log has 5")
        other = callback.replace("on_log", "other")
        self.assert_finds(path, said + callback + handed + said + other, "other has 5", 11)

    def test_of_methods_counts_overloads_once_and_no_operators(self):
        methods = "".join(f"  void f{i}();\n" for i in range(15))
        more = "  void f0(int);\n  bool operator==(const X&) const;\n  X(int);\n"
        self.assert_clean("server/a.h", header("class X {\n public:\n" + methods + more + "};\n"))
        struct = "struct Y {\n" + methods + "  void g();\n};\n"
        self.assert_finds("server/b.h", header(struct), "16 public methods")

    def test_of_python_columns(self):
        line = "x = '" + "a" * 94 + "'"
        self.assertEqual(len(line), 100)
        self.assert_clean("sdk/python/a.py", line + "\n")
        self.assert_finds("sdk/python/a.py", line[:-1] + "b'\n", "101 columns", 1)

    def test_of_the_readme(self):
        top = "$ ./scripts/quickstart\n"
        self.assert_clean("README.md", top + "\n" * 119)
        self.assert_finds("README.md", top + "\n" * 120, "120 at most")
        self.assert_clean("README.md", "\n" * 17 + top)
        self.assert_finds("README.md", "\n" * 18 + top, "no command")


class Direction(Tree):
    def test_every_pair_of_levels(self):
        """A file of each level may see its own and those below, and nothing above."""
        folders = [
            *("common/base/x", "common/ring/x", "common/fabric/x", "server/x", "cli/x"),
        ]
        for low, path in enumerate(folders):
            for high, target in enumerate(folders):
                if low == high:
                    continue
                with self.subTest(path=path, target=target):
                    text = f'#include "{target}.h"\n'
                    if high > low:
                        self.assert_finds(f"{path}.cc", text, "is above", 1)
                    else:
                        self.assert_clean(f"{path}.cc", text)

    def test_parts_that_never_meet(self):
        for one in layers.APART:
            for other in layers.APART:
                text = f'#include "{other}/x/y.h"\n'
                if one == other:
                    self.assert_clean(f"{one}/a/b.cc", text)
                else:
                    self.assert_finds(f"{one}/a/b.cc", text, "never include each other", 1)

    def test_everything_may_see_the_public_header_and_tests_may_see_all(self):
        for path in ("cli/a.cc", "benchmarks/load/a.cc", "sdk/cpp/src/a.cc"):
            self.assert_clean(path, '#include "tarn/tarn.h"\n')
        for target in ("server/x.h", "cli/x.h", "grpcpp/x.h", "rocksdb/db.h", "openssl/x.h"):
            self.assert_clean("tests/unit/a_test.cc", f'#include "{target}"\n')

    def test_every_library_has_a_room_and_is_refused_next_door(self):
        rooms = {
            "rocksdb/db.h": ("router/index/a.cc", "router/member/a.cc"),
            "grpcpp/server.h": ("server/rpc/a.cc", "server/lane/a.cc"),
            "google/protobuf/message.h": ("common/rpc/a.cc", "common/base/a.cc"),
            "grpcpp/client_context.h": ("benchmarks/index/rpc/a.cc", "benchmarks/index/a.cc"),
            "ucp/api/ucp.h": ("benchmarks/baseline/a.cc", "benchmarks/load/a.cc"),
            "openssl/evp.h": ("common/auth/a.cc", "cli/a.cc"),
            "liburing.h": ("server/io/a.cc", "server/store/a.cc"),
            "curl/curl.h": ("server/object/s3/a.cc", "server/object/a.cc"),
            "cuda_runtime.h": ("common/memory/cuda_a.cc", "common/memory/a.cc"),
            "spdlog/spdlog.h": ("common/base/log.cc", "common/base/clock.cc"),
            "prometheus/registry.h": ("common/metrics/a.cc", "router/a.cc"),
            "toml++/toml.h": ("common/config/a.cc", "server/a.cc"),
            "nanobind/nanobind.h": ("sdk/python/src/a.cc", "sdk/cpp/src/a.cc"),
        }
        names = {name for name, _, _ in layers.LIBRARIES}
        self.assertEqual(len(names), 12, "a new library wants a line here")
        for target, (room, door) in rooms.items():
            with self.subTest(target=target):
                self.assert_clean(room, f"#include <{target}>\n")
                self.assert_finds(door, f"#include <{target}>\n", "have no place here", 1)

    def test_a_cycle_of_two_is_told_at_both_ends(self):
        files = {
            "server/a/x.cc": '#include "server/b/y.h"\n',
            "server/b/y.h": header('#include "server/a/z.h"\n'),
        }
        found = [f for f in self.findings(files) if "each other" in f.message]
        places = [(f.path, f.line) for f in found]
        self.assertEqual(places, [("server/a/x.cc", 1), ("server/b/y.h", 2)])


class Elsewhere(Tree):
    """Breaches in places that do not count, and places that must not hide one."""

    def test_words_in_strings_and_comments_are_no_calls(self):
        for text in (
            'const char* k = "std::exit(1); throw x; new int";\n',
            "/* malloc(4); volatile int x; */\n",
            'auto r = R"(rand(); delete p;)";\n',
            "// the thread.detach() of old is gone\n",
        ):
            with self.subTest(text=text):
                self.assert_clean("server/store/a.cc", text)

    def test_a_call_after_a_tricky_literal_is_found(self):
        for before in ("char c = '\"'; ", 'f("a\\"b"); ', "int n = 1'000; ", "/* \" */ "):
            with self.subTest(before=before):
                self.assert_finds("server/store/a.cc", before + "int x = rand();\n", "`rand(`", 1)

    def test_macro_bodies_do_not_hide_functions_behind_them(self):
        text = "#define X(a) \\\n  { \\\n  a\nvoid g() {\n" + "  f();\n" * 69 + "}\n"
        self.assert_finds("server/a.cc", text, "71 lines")

    def test_tests_may_sleep_and_end_the_process_but_not_roll_dice(self):
        self.assert_clean("tests/unit/a_test.cc", "void f() { usleep(1); std::exit(1); }\n")
        self.assert_finds("tests/unit/a_test.cc", "int x = rand();\n", "seed a", 1)

    def test_clocks_are_read_in_few_places(self):
        text = "auto t = std::chrono::system_clock::now();\n"
        for path in ("common/base/clock.cc", "server/rpc/a.cc", "benchmarks/load/a.cc"):
            self.assert_clean(path, text)
        for path in ("cli/a.cc", "router/pool/a.cc", "sdk/cpp/src/a.cc"):
            self.assert_finds(path, text, "take a Clock", 1)

    def test_built_hidden_and_binary_files_are_not_read(self):
        self.write({"build/a.cc": "int x = rand();\n", ".cache/a.cc": "int x = rand();\n"})
        (self.root / "server").mkdir()
        (self.root / "server/a.cc").write_bytes(b"int x = rand();\0")
        (self.root / "server/b.cc").symlink_to(self.root / "build/a.cc")
        self.assertEqual(self.findings({}), [])

    def test_a_file_that_is_no_utf8_is_read_all_the_same(self):
        (self.root / "server").mkdir()
        (self.root / "server/a.cc").write_bytes(b"// \xff\xfe\nint x = rand();\n")
        self.assertEqual([f.line for f in self.findings({})], [2])


class FaultPoints(Tree):
    source = 'bool f() { return TARN_FAULT_POINT("a.b"); }\n'
    row = "| `a.b` | it fails |\n"

    def messages(self, test, row=None):
        self.setUp()
        files = {
            "server/a.cc": self.source,
            "docs/FAILURES.md": self.row if row is None else row,
            "tests/e2e/test_x.py": test,
        }
        return [f.message for f in self.findings(files)]

    def test_armed_by_environment_or_call(self):
        for test in ('F = "a.b=fail:2"\n', "arm('a.b')\n", 'F = "x.y=hang,a.b=crash"\n'):
            self.assertEqual(self.messages(test), [], test)

    def test_a_longer_or_shorter_name_is_another(self):
        for test in ('F = "a.bc=fail"\n', 'F = "a=fail"\n', "# a.b is never armed\n"):
            self.assertEqual(self.messages(test), ["no test arms the fault point a.b"], test)
        found = self.messages('F = "a.b=fail"\n', row="| `a.bc` | |\n")
        self.assertEqual(found, ["fault point a.b has no row in docs/FAILURES.md"])

    def test_a_point_in_a_comment_is_none(self):
        self.assert_clean("server/a.cc", '// TARN_FAULT_POINT("no.where")\n')


class OwnTree(unittest.TestCase):
    """What the rules rest on is true of this repository."""

    @classmethod
    def setUpClass(cls):
        cls.tree = scan.read_tree(ROOT)

    def test_every_rule_is_run(self):
        names = {rule.__name__ for rule in rules.RULES}
        self.assertEqual(
            names,
            {
                *("includes", "sizes", "parameters", "public_methods", "banned", "words"),
                *("headers", "fault_points", "readme"),
            },
        )

    def test_the_reader_finds_the_functions_that_are_there(self):
        counts = report.count(self.tree)
        self.assertGreater(len(counts.function_lines), 1000)
        by_path = {source.path: source for source in self.tree}
        names = [f.name for f in by_path["cli/text.cc"].functions]
        for name in ("format_bytes", "parse_ttl", "hash_from_hex"):
            self.assertTrue(any(name in n for n in names), name)
        methods = {d.name for d in by_path["cli/supervisor.h"].declarations if d.public}
        self.assertIn("pause_after", methods)
        self.assertNotIn("start_child", methods)

    def test_every_fault_point_row_names_a_test_that_exists(self):
        text = (ROOT / "docs/FAILURES.md").read_text()
        for line in text.partition("## Fault points")[2].splitlines():
            cells = [cell.strip(" `") for cell in line.split("|")]
            if len(cells) < 4 or "." not in cells[3]:
                continue
            for name in cells[3].split(", "):
                self.assertTrue((ROOT / "tests" / name.strip("` ")).exists(), line)

    def test_every_page_of_the_docs_is_linked_or_known(self):
        pages = {path.name for path in (ROOT / "docs").glob("*.md")}
        mentioned = set()
        for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
            text = path.read_text()
            mentioned |= {page for page in pages if page in text and path.name != page}
        self.assertEqual(pages - mentioned, set())

    def test_every_folder_of_the_codemap_exists(self):
        text = (ROOT / "docs/ARCHITECTURE.md").read_text()
        table = text.partition("## Codemap")[2].partition("\n## ")[0]
        for line in table.splitlines():
            cell = line.split("|")[1] if line.startswith("| `") else ""
            for folder in cell.replace("`", "").split(","):
                if folder.strip():
                    self.assertTrue((ROOT / folder.strip()).is_dir(), folder)


if __name__ == "__main__":
    unittest.main()
