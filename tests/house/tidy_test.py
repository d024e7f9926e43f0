"""Each rule of scripts/tidy fires on a bad sample, and keeps quiet on its good neighbour."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from house import clang, report, rules, scan  # noqa: E402

# A word that this file must not hold whole, because the rules read it too.
UNFINISHED = "TO" + "DO"


class Tree(unittest.TestCase):
    """A temporary tree of files, judged by all rules; each assertion starts with an empty one."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, files):
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def findings(self, files):
        self.write(files)
        tree = scan.read_tree(self.root)
        return rules.all_findings(tree)

    def assert_finds(self, path, text, message, line=None, others=None):
        self.setUp()
        found = [f for f in self.findings({path: text, **(others or {})}) if message in f.message]
        self.assertEqual([f.path for f in found], [path], message)
        if line is not None:
            self.assertEqual(found[0].line, line)

    def assert_clean(self, path, text, others=None):
        self.setUp()
        self.assertEqual(self.findings({path: text, **(others or {})}), [])


def header(body):
    return "#pragma once\n" + body


class Includes(Tree):
    def test_a_lower_folder_does_not_see_a_higher_one(self):
        for path, target in [
            ("common/base/a.cc", "common/ring/ring.h"),
            ("common/ring/a.cc", "common/fabric/fabric.h"),
            ("common/rpc/a.cc", "server/store/store.h"),
            ("server/a.cc", "cli/dev.h"),
        ]:
            with self.subTest(path=path):
                self.assert_finds(path, f'#include <map>\n#include "{target}"\n', "is above", 2)

    def test_server_router_and_sdk_never_include_each_other(self):
        self.assert_finds("server/a.cc", '#include "router/pool/pool.h"\n', "never include")
        self.assert_finds("sdk/cpp/src/a.cc", '#include "server/x.h"\n', "never include")

    def test_downwards_and_sideways_is_fine(self):
        self.assert_clean("server/store/a.cc", '#include "common/ring/ring.h"\n')
        self.assert_clean("common/ring/a.cc", '#include "common/block/key.h"\n')
        self.assert_clean("cli/a.cc", '#include "server/x.h"\n#include "tarn/tarn.h"\n')

    def test_each_library_has_its_rooms(self):
        for path, target in [
            ("server/store/a.cc", "rocksdb/db.h"),
            ("server/main.cc", "grpcpp/grpcpp.h"),
            ("server/store/a.cc", "tarn/v1/types.pb.h"),
            ("common/fabric/loop.cc", "ucp/api/ucp.h"),
            ("common/ring/a.cc", "openssl/sha.h"),
            ("server/store/b.cc", "liburing.h"),
            ("common/memory/slab.cc", "cuda_runtime.h"),
            ("router/a.cc", "spdlog/spdlog.h"),
        ]:
            with self.subTest(path=path, target=target):
                self.assert_finds(path, f"#include <{target}>\n", "have no place here", 1)

    def test_a_library_in_its_room_is_fine(self):
        for path, target in [
            ("router/index/a.cc", "rocksdb/db.h"),
            ("server/session/a.cc", "rocksdb/db.h"),
            ("sdk/cpp/src/rpc_channel.cc", "grpcpp/grpcpp.h"),
            ("common/fabric/ucx_worker.cc", "ucp/api/ucp.h"),
            ("tests/unit/x/a_test.cc", "rocksdb/db.h"),
        ]:
            with self.subTest(path=path):
                self.assert_clean(path, f"#include <{target}>\n")

    def test_an_include_in_a_comment_is_none(self):
        self.assert_clean("common/base/a.cc", '/*\n#include "server/x.h"\n*/\n')

    def test_the_public_header_stands_alone(self):
        path = "sdk/cpp/include/tarn/tarn.h"
        self.assert_finds(path, header('#include "common/base/status.h"\n'), "standard library", 2)
        self.assert_clean(path, header('#include "tarn/expected.h"\n'))

    def test_a_part_of_the_public_header_is_included_by_it_alone(self):
        self.assert_finds("cli/a.cc", '#include "tarn/expected.h"\n', "include tarn/tarn.h", 1)

    def test_the_load_generator_uses_the_public_header(self):
        text = '#include "sdk/cpp/include/tarn/tarn.h"\n#include "common/base/status.h"\n'
        self.assert_finds("benchmarks/load/a.cc", text, "public header only", 2)

    def test_folders_do_not_include_each_other_around_a_corner(self):
        files = {
            "server/store/a.h": header('#include "server/io/b.h"\n'),
            "server/io/b.h": header('#include "server/tenant/c.h"\n'),
            "server/tenant/c.h": header('#include "server/store/a.h"\n'),
        }
        self.assertEqual(len([f for f in self.findings(files) if "each other" in f.message]), 3)


class Sizes(Tree):
    def test_files(self):
        self.assert_finds("common/base/a.h", header("//\n" * 400), "400 at most", 401)
        self.assert_finds("common/base/a.cc", "//\n" * 701, "700 at most")
        self.assert_clean("common/base/b.cc", "//\n" * 700)

    def test_functions(self):
        body = "  f();\n" * 69
        self.assert_finds(
            "common/base/a.cc", "\nint g(int x) {\n" + body + "}\n", "71 lines of int", 2
        )
        self.assert_clean("common/base/b.cc", "int g(int x) {\n" + body[7:] + "}\n")

    def test_python_functions(self):
        self.assert_finds("sdk/python/a.py", "def f():\n" + "    x = 1\n" * 70, "71 lines of f", 1)

    def test_parameters(self):
        bad = header(
            "class X {\n public:\n  void f(int a, std::map<int, int> b, int c,\n"
            "         std::function<void(int, int)> d, int e = g(1, 2));\n};\n"
        )
        self.assert_finds("common/base/a.h", bad, "f has 5 parameters", 4)
        good = header(
            "void f(std::map<int, int> a, int b, int c, std::function<int(int, int)> d);\n"
        )
        self.assert_clean("common/base/b.h", good)

    def test_public_methods(self):
        methods = "".join(f"  void f{i}();\n" for i in range(15))
        open_class = "class X {\n public:\n  X();\n  ~X();\n" + methods
        self.assert_clean("common/base/a.h", header(open_class + " private:\n  void h();\n};\n"))
        self.assert_finds("common/base/b.h", header(open_class + "  void h();\n};\n"), "16 public")


class Banned(Tree):
    def test_each_call(self):
        for text in [
            "int x = rand();",
            "strcpy(a, b);",
            'sprintf(a, "%d", 1);',
            'std::system("ls");',
            "thread.detach();",
            "std::this_thread::sleep_for(1s);",
            "auto t = std::chrono::steady_clock::now();",
            "void f() { ::sleep(n); }",
            "void f() { sleep(1); }",
            "using namespace std;",
            "std::cout << 1 << std::endl;",
            "volatile int x;",
            "std::mutex x_mutex;",
            "std::shared_mutex x_mutex;",
            "std::condition_variable x_wake;",
            "void* p = malloc(4);",
            "void f() { std::free(p); }",
            "auto* p = new int(4);",
            "void f() { delete p; }",
            "std::exit(1);",
            "throw std::runtime_error(x);",
            "void f() { try { g(); } catch (...) { } }",
            "class SlabManager {};",
            'asm("nop");',
        ]:
            with self.subTest(text=text):
                self.assert_finds("server/store/a.cc", "\n" + text + "\n", "`", 2)

    def test_neighbours(self):
        for text in [
            "int operand();",
            'log("call rand() or system()");  // std::endl',
            "X(const X&) = delete;",
            "auto p = std::unique_ptr<X>(new X(1));",
            "new (place) X(1);",
            "void* operator new(size_t);",
            "clock.now();",
            "void Lane::sleep(Nanos at_most) { wait(at_most); }",
            "pool.free(slab);",
            "void Buddy::free(int first) {}",
            "handle.system();",
            "Mutex x_mutex;",
        ]:
            with self.subTest(text=text):
                self.assert_clean("server/store/a.cc", text + "\n")

    def test_main_may_exit_and_reactors_own_themselves(self):
        self.assert_clean("server/main.cc", "std::exit(1);\n")
        self.assert_clean("server/rpc/a.cc", "void f() { new Reactor(1); delete this; }\n")


class Words(Tree):
    def test_unfinished_work(self):
        self.assert_finds("server/a.cc", f"\n// {UNFINISHED}: later\n", UNFINISHED, 2)
        self.assert_finds("sdk/python/a.py", "# not " + "implemented\n", "finish it", 1)

    def test_banners_and_code_in_comments(self):
        self.assert_finds("server/a.cc", "// " + "-" * 20 + "\n", "banner", 1)
        self.assert_finds("server/b.cc", "// x.run(1);\n", "code in a comment", 1)
        self.assert_clean("server/c.h", header("// Use:\n//   x.run(1);\n"))
        self.assert_clean("server/c.cc", "// Calls run(1); then it waits.\n")

    def test_other_places(self):
        message = "is not in this repository"
        self.assert_finds("docs/a.md", "see /home/me/x\n", message, 1)
        self.assert_finds("docs/a.md", "see docs/b.md\n", message, 1)
        self.assert_clean("docs/a.md", "see docs/b.md\n", {"docs/b.md": "Pages.\n"})
        self.assert_clean("docs/a.md", "see https://example.com/home/x\n")

    def test_python_columns(self):
        self.assert_finds("sdk/python/a.py", "#" + " x" * 50 + "\n", "101 columns", 1)


class Headers(Tree):
    def test_names_guards_and_order(self):
        self.assert_finds("server/BadName.cc", "", "snake_case")
        self.assert_finds("server/a.h", "int f();\n", "pragma once")
        text = '#include <map>\n#include "server/b.h"\n'
        self.assert_finds("server/b.cc", text, "comes first", 1, {"server/b.h": header("")})


class FaultPoints(Tree):
    source = 'bool f() { return TARN_FAULT_POINT("flash.write"); }\n'
    row = {"docs/FAILURES.md": "| `flash.write` | a write fails |\n"}
    test = {"tests/unit/a_test.cc": 'void f() { fault::arm("flash.write", {}); }\n'}

    def test_documented_and_armed(self):
        self.assert_clean("server/a.cc", self.source, {**self.row, **self.test})

    def test_not_documented(self):
        self.assert_finds("server/a.cc", self.source, "has no row", 1, self.test)

    def test_not_armed(self):
        self.assert_finds("server/a.cc", self.source, "no test arms", 1, self.row)


class Readme(Tree):
    def test_length_and_first_command(self):
        self.assert_finds("README.md", "$ ./scripts/quickstart\n" + "\n" * 120, "121 lines", 121)
        self.assert_finds("README.md", "\n" * 18 + "$ ./scripts/quickstart\n", "no command", 1)


class Ratios(Tree):
    def messages(self, files):
        self.setUp()
        self.write(files)
        counts = report.count(scan.read_tree(self.root))
        return [finding.message.split("; ")[-1] for finding in rules.ratios(counts)]

    def test_tests_and_asserts(self):
        code = "int f() { return 1; }\n" * 10
        checked = {
            "server/a.cc": code + "void g() { TARN_CHECK(x); }\n",
            "tests/a_test.cc": "int x;\n" * 9,
        }
        self.assertEqual(self.messages({"server/a.cc": code}), ["0.8 at least", "8.0 at least"])
        self.assertEqual(self.messages(checked), [])


class Scanner(Tree):
    def functions(self, text):
        self.write({"common/base/a.cc": text})
        return [(f.name, f.lines) for f in scan.read_tree(self.root)[0].functions]

    def test_initializers_lambdas_and_defaults(self):
        text = """
namespace tarn::x {
const std::map<int, int> kMap = {{1, 2}};
X::X(int a) : x_a{a}, x_b{{1}}, x_c(2) {
  run([&] {
    return 1;
  });
}
bool operator<(const X& a, const X& b) {
  return a.v < b.v;
}
void f(Options options = {}) noexcept {
  const char* text = R"(} } {)"; char c = '}';
}
auto g() -> std::vector<int> { return {}; }
template <typename T>
  requires std::integral<T>
class TARN_CAPABILITY("mutex") Y final : public Z<T> {
  int h() const override { return 1'000; }
};
}  // namespace tarn::x
"""
        self.assertEqual([lines for _, lines in self.functions(text)], [5, 3, 3, 1, 1])

    def test_macros_are_not_braces(self):
        text = "#define OPEN(x) \\\n  if (x) {\nint f() {\n  return 1;\n}\n"
        self.assertEqual(self.functions(text), [("int f()", 3)])


class CommandLine(Tree):
    def tidy(self, *options):
        command = [sys.executable, SCRIPTS / "tidy", "--root", self.root, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_exit_code_and_place(self):
        self.write({"server/a.cc": "\nint x = rand();\n"})
        done = self.tidy()
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith("server/a.cc:2: `rand(`"), done.stdout)
        checked = "void f() {\n  TARN_CHECK(1);\n}\n"
        self.write({"server/a.cc": checked, "tests/unit/a_test.cc": "int x;\n" * 3})
        self.assertEqual(self.tidy().returncode, 0)

    def test_a_tree_with_few_tests_fails(self):
        self.write({"server/a.cc": "void f() {\n  TARN_CHECK(1);\n}\n"})
        done = self.tidy()
        self.assertEqual(done.returncode, 1)
        self.assertIn("lines of tests per line of code; 0.8 at least", done.stdout)

    def test_report_counts_physical_lines(self):
        self.write(
            {
                "server/a.cc": "void f() {\n  TARN_CHECK(1);\n  TARN_DCHECK(2);\n}\n",
                "tests/unit/a_test.cc": "int x;\nint y;\n",
                "sdk/python/tests/a.py": "x = 1\n",
                "benchmarks/micro/a.cc": "int x;\n",
            }
        )
        counts = report.count(scan.read_tree(self.root))
        self.assertEqual([counts.total(k) for k in report.KINDS], [4, 3, 1])
        self.assertEqual((counts.asserts, counts.asserts_per_kloc), (2, 500.0))
        self.assertIn("0.75", self.tidy("--report").stdout)

    def test_clang_builds_the_modules_of_a_folder(self):
        self.write({"common/base/CMakeLists.txt": "", "common/ring/CMakeLists.txt": ""})
        both = ["common/base/all", "common/ring/all"]
        self.assertEqual(clang.targets(self.root, "common"), both)
        self.assertEqual(clang.targets(self.root, "common/ring"), both[1:])
        self.assertEqual(clang.targets(self.root, ""), ["all"])
        done = self.tidy("--clang", "comon")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("comon: no module", done.stderr)


if __name__ == "__main__":
    unittest.main()
