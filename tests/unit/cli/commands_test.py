"""Every command of `tarn` as a person or a script meets it, where no cluster is needed to tell."""

import json
import os
import pathlib
import re
import resource
import stat
import subprocess
import tempfile
import time
import unittest

TARN = pathlib.Path(os.environ["TARN_BINARY_DIR"]) / "bin" / "tarn"

OK, NOT_SO, USAGE, UNAVAILABLE, DENIED = 0, 1, 2, 3, 4
CLUSTER_FLAGS = ("--endpoint", "--credentials", "--timeout-ms")
SPACE_FLAGS = (
    *("--model", "--revision", "--dtype", "--layout", "--block-tokens", "--tensor-parallel"),
    *("--hash-scheme", "--hash-seed", "--extent-blocks", "--chained", "--shard"),
)
# The words of a command, its flags beside --json, and words that it needs at least.
COMMANDS = {
    ("dev",): (("--data", "--listen", "--dram-bytes", "--servers"), ()),
    ("status",): ((*CLUSTER_FLAGS, "--skip-connections"), ()),
    ("drain", "server"): (CLUSTER_FLAGS, ("s",)),
    ("drain", "worker"): (CLUSTER_FLAGS, ("w",)),
    ("revoke",): (CLUSTER_FLAGS, ("t",)),
    ("put",): ((*CLUSTER_FLAGS, *SPACE_FLAGS, "--hash", "--parent", "--copies"), ("/dev/null",)),
    ("get",): ((*CLUSTER_FLAGS, *SPACE_FLAGS, "--out"), ("00ff", "--out", "/dev/null")),
    ("match",): ((*CLUSTER_FLAGS, *SPACE_FLAGS), ("00ff",)),
    ("session", "ls"): ((*CLUSTER_FLAGS, "--limit"), ()),
    ("session", "show"): (CLUSTER_FLAGS, ("s",)),
    ("session", "fork"): (CLUSTER_FLAGS, ("s",)),
    ("session", "rm"): (CLUSTER_FLAGS, ("s",)),
    ("slot", "ls"): ((*CLUSTER_FLAGS, "--all"), ()),
    ("slot", "show"): (CLUSTER_FLAGS, ("1",)),
    ("slot", "abandon"): (
        (*CLUSTER_FLAGS, "--all-lost", "--even-waiting", "--yes"),
        ("1", "--yes"),
    ),
    ("certs",): (("--secrets-dir", "--host", "--server", "--router", "--days"), None),
    ("token", "create"): (
        ("--tenant", "--worker", "--ttl", "--secrets-dir", "--out", "--endpoint"),
        None,
    ),
    ("doctor",): (("--credentials", "--dram-bytes", "--listen", "--etcd"), None),
}
ASKING = {words: needed for words, (flags, needed) in COMMANDS.items() if "--timeout-ms" in flags}


def tarn(*words, environment=None, **options):
    """Runs `tarn`, without the credentials and the home of whoever runs the test."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TARN_")}
    clean["HOME"] = "/nonexistent"
    return subprocess.run(
        [str(word) for word in (TARN, *words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean | (environment or {}),
        **options,
    )


class Case(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="tarn-cli-")
        self.addCleanup(place.cleanup)
        self.place = pathlib.Path(place.name)

    def refused(self, *words, code=USAGE, says=(), **options):
        """A command that must fail with `code` and one sentence that holds all of `says`."""
        done = tarn(*words, **options)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        self.assertTrue(done.stderr.startswith("tarn: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, done.stderr, words)
        return done

    def answer(self, *words, code=OK, **options):
        done = tarn(*words, "--json", **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout)

    def secrets(self, *flags):
        folder = self.place / "secrets"
        self.assertEqual(tarn("certs", "--secrets-dir", folder, *flags).returncode, OK)
        return folder

    def tenant(self, **environment):
        """A tenant's folder whose router is an address on which nobody listens."""
        folder = self.place / "tenant"
        done = tarn(
            *("token", "create", "--tenant", "demo", "--secrets-dir", self.secrets()),
            *("--out", folder, "--endpoint", "127.0.0.1:1"),
        )
        self.assertEqual(done.returncode, OK, done.stderr)
        return folder


class Help(Case):
    def test_names_every_flag_of_every_command(self):
        for words, (flags, _) in COMMANDS.items():
            done = tarn(*words, "--help")
            self.assertEqual((done.returncode, done.stderr), (OK, ""), words)
            shown = set(re.findall(r"--[a-z][a-z-]*", done.stdout))
            self.assertEqual(shown & {*flags, "--json"}, {*flags, "--json"}, words)
            self.assertIn("Usage: ", done.stdout)

    def test_of_the_whole_names_every_command_and_the_exit_codes(self):
        text = tarn("--help").stdout
        listed = re.findall(r"^  ([a-z]+) {2,}", text.partition("Subcommands:")[2], re.M)
        self.assertEqual(set(listed), {words[0] for words in COMMANDS})
        self.assertIn("3 when nobody answers", text)
        for group in sorted({words[0] for words in COMMANDS if len(words) == 2}):
            text = tarn(group, "--help").stdout.partition("Subcommands:")[2]
            parts = {words[1] for words in COMMANDS if words[0] == group}
            self.assertEqual(set(re.findall(r"^  ([a-z]+) {2,}", text, re.M)), parts, group)

    def test_version_is_one_line(self):
        self.assertRegex(tarn("--version").stdout, r"\Atarn \d+\.\d+\.\d+\n\Z")


class Mistakes(Case):
    def test_a_command_that_is_none_names_the_nearest(self):
        for words, meant in [
            (("statsu",), "did you mean status?"),
            (("sesion", "ls"), "did you mean session?"),
            (("session", "lst"), "did you mean ls?"),
            (("slot", "abondon", "1"), "did you mean abandon?"),
            (("drain", "servr", "x"), "did you mean server?"),
            (("token", "crate"), "did you mean create?"),
        ]:
            self.refused(*words, says=(meant, "--help"))
        self.assertNotIn("did you mean", self.refused("frobnicate", says="no command").stderr)

    def test_a_flag_that_is_none_names_the_nearest(self):
        for words, says in [
            (("status", "--endpont", "a:1"), "tarn status has no flag --endpont (did you mean --e"),
            (("put", "f", "--copis=2"), "has no flag --copis (did you mean --copies?)"),
            (("session", "ls", "--limt", "3"), "did you mean --limit?"),
            (("slot", "abandon", "1", "--yess"), "did you mean --yes?"),
            (("certs", "--secret-dir", "x"), "did you mean --secrets-dir?"),
            (("dev", "--server", "2"), "did you mean --servers?"),
            (("doctor", "--jsn"), "did you mean --json?"),
        ]:
            self.refused(*words, says=says)
        self.refused("status", "--frobnicate", says="no flag --frobnicate; see: tarn status --help")

    def test_an_unfinished_command_lists_what_may_follow(self):
        self.refused(says="name a command: dev, status")
        self.refused("session", says="name a command: ls, show, fork, rm; see: tarn session --help")
        self.refused("slot", says="name a command: ls, show, abandon")
        self.refused("drain", says="name a command: server, worker")

    def test_what_is_missing_is_named(self):
        for words, missing in [
            (("put",), "file"),
            (("get", "00ff"), "--out"),
            (("get", "--out", "x"), "hash"),
            (("match",), "hash"),
            (("session", "show"), "id"),
            (("session", "fork"), "id"),
            (("session", "rm"), "id"),
            (("slot", "show"), "slot"),
            (("drain", "server"), "name"),
            (("revoke",), "name"),
            (("certs",), "--secrets-dir"),
            (("token", "create", "--secrets-dir", "x"), "--tenant"),
        ]:
            self.refused(*words, says=(missing, "--help"))

    def test_numbers_have_a_range(self):
        for words in [
            ("status", "--timeout-ms", "0"),
            ("status", "--timeout-ms", "3600001"),
            ("status", "--timeout-ms", "soon"),
            ("session", "ls", "--limit", "0"),
            ("session", "ls", "--limit", "1000001"),
            ("put", "f", "--copies", "17"),
            ("put", "f", "--copies", "-1"),
            ("put", "f", "--block-tokens", "4294967296"),
            ("slot", "show", "1024"),
            ("slot", "abandon", "--yes", "1", "1024"),
            ("dev", "--servers", "17"),
            ("certs", "--secrets-dir", "x", "--days", "0"),
            ("certs", "--secrets-dir", "x", "--days", "3651"),
        ]:
            flag = next((w for w in words if w.startswith("--") and w != "--yes"), "slot")
            done = self.refused(*words)
            is_named = flag.lstrip("-") in done.stderr or words[-1] in done.stderr
            self.assertTrue(is_named, done.stderr)

    def test_hashes_are_checked_before_anybody_is_asked(self):
        for bad in ("", "0", "xyz", "00f", "0x00", "00 ff", "a" * 66):
            for words in (("match", bad), ("match", "00ff", bad), ("get", bad, "--out", "x")):
                self.refused(*words, says="is not a block hash: write 2 to 64 hexadecimal digits")
        for flag in ("--hash", "--parent"):
            self.refused("put", __file__, flag, "zz", says='"zz" is not a block hash')

    def test_contradictions_are_named(self):
        self.refused("put", "a", "b", "--hash", "00", says="give one file")
        self.refused("get", "00", "--out", "-", "--json", code=USAGE, says="both want stdout")
        self.refused("slot", "abandon", "--yes", says="name slots, or --all-lost")
        self.refused("slot", "abandon", "1", "--all-lost", "--yes", says="not both")
        self.refused("slot", "abandon", "1", says=("for good", "--yes"))


class Nobody(Case):
    def test_without_credentials_each_command_says_what_to_name(self):
        for words, needed in ASKING.items():
            is_client = words[0] in ("put", "get", "match")
            done = self.refused(
                *(*words, *needed),
                environment={"HOME": str(self.place)},
                code=USAGE if is_client else NOT_SO,
            )
            self.assertIn("TARN_ENDPOINT" if is_client else "--credentials", done.stderr, words)
            self.assertIn(f"{self.place}/.tarn/dev", done.stderr)
        self.refused("status", environment={"HOME": ""}, says="HOME is not set")

    def test_where_nobody_listens_each_ends_in_time_and_names_the_router(self):
        tenant = self.tenant()
        for words, needed in ASKING.items():
            begin = time.monotonic()
            done = self.refused(
                *(*words, *needed, "--credentials", tenant, "--timeout-ms", "60"),
                code=UNAVAILABLE,
            )
            self.assertLess(time.monotonic() - begin, 10, words)
            self.assertRegex(done.stderr, r"127\.0\.0\.1:1|router", words)

    def test_json_tells_the_error_too_and_nothing_else_is_on_stdout(self):
        tenant = self.tenant()
        for words, needed in ASKING.items():
            done = tarn(
                *(*words, *needed, "--json", "--credentials", tenant, "--timeout-ms", "60")
            )
            error = json.loads(done.stdout)
            self.assertEqual(set(error), {"error", "code"}, words)
            self.assertIn(error["code"], ("unavailable", "deadline_exceeded"), words)
            self.assertEqual(done.stderr, f"tarn: {error['error']}\n")

    def test_flags_win_over_the_environment_and_that_over_the_folder(self):
        tenant = self.tenant()
        common = ("session", "ls", "--timeout-ms", "60")
        for environment, flags, port in [
            ({}, ("--credentials", tenant), 1),
            ({"TARN_CREDENTIALS": str(tenant)}, (), 1),
            ({"TARN_CREDENTIALS": str(tenant), "TARN_ENDPOINT": "127.0.0.1:2"}, (), 2),
            ({"TARN_CREDENTIALS": "/nowhere", "TARN_ENDPOINT": "127.0.0.1:2"},
             ("--credentials", tenant, "--endpoint", "127.0.0.1:3"), 3),
        ]:  # fmt: skip
            self.refused(
                *common, *flags, environment=environment, code=UNAVAILABLE, says=f"127.0.0.1:{port}"
            )

    def test_all_routers_are_tried(self):
        tenant = self.tenant()
        done = tarn(
            *("session", "ls", "--credentials", tenant, "--timeout-ms", "60"),
            *("--endpoint", "127.0.0.1:1,127.0.0.1:2"),
        )
        self.assertIn("127.0.0.1:2", done.stderr)

    def test_an_endpoint_that_is_none_is_a_mistake_not_an_outage(self):
        tenant = self.tenant()
        for endpoint in ("host", ",", "plain://192.0.2.1:1"):
            self.refused("session", "ls", "--credentials", tenant, "--endpoint", endpoint)

    def test_a_token_that_others_can_read_is_not_used(self):
        tenant = self.tenant()
        (tenant / "token").chmod(0o644)
        done = self.refused("session", "ls", "--credentials", tenant, code=DENIED)
        self.assertIn("chmod", done.stderr)

    def test_a_reader_that_goes_away_is_no_error_message(self):
        for words in (["--help"], ["doctor", "--json", "--dram-bytes", "1MiB"]):
            with subprocess.Popen(
                [TARN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as child:
                child.stdout.close()
                text = child.stderr.read()
                child.wait(30)
            self.assertNotIn("terminate", text)
            self.assertNotIn("what()", text)


class Certs(Case):
    def names_in(self, folder):
        return {path.stem for path in folder.glob("*.key")}

    def test_names_are_words(self):
        for flag in ("--server", "--router"):
            for bad in ("A", "a b", "../x", "a/b", "x" * 200, "ä"):
                self.refused("certs", "--secrets-dir", self.place / "s", f"{flag}={bad}")
            for good in ("a", "a-1", "rack1.host-2", "x" * 60):
                done = tarn("certs", "--secrets-dir", self.place / "s", f"{flag}={good}")
                self.assertEqual(done.returncode, OK, done.stderr)

    def test_only_what_was_asked_for_is_issued(self):
        answer = self.answer("certs", "--secrets-dir", self.place / "s", "--server", "a")
        self.assertEqual(
            set(answer),
            {"secrets_dir", "certificates", "soonest_expiry_file", "soonest_expiry_days"},
        )
        self.assertEqual(set(answer["certificates"]), {"tarn://server/a", "tarn://admin/admin"})
        names = self.names_in(self.place / "s")
        self.assertEqual(names, {"ca", "token", "admin-admin", "server-a"})

    def test_again_adds_and_never_replaces_what_is_good(self):
        folder = self.secrets("--server", "a")
        before = {p.name: p.read_bytes() for p in folder.iterdir()}
        self.answer("certs", "--secrets-dir", folder, "--server", "b", "--router", "r")
        after = {p.name: p.read_bytes() for p in folder.iterdir()}
        self.assertEqual({k: after[k] for k in before}, before)
        self.assertEqual(self.names_in(folder) - {"ca", "token", "admin-admin"},
                         {"server-a", "server-b", "router-r"})  # fmt: skip

    def test_what_ends_soon_is_renewed(self):
        folder = self.secrets("--server", "a", "--days", "20")
        before = (folder / "server-a.pem").read_bytes()
        answer = self.answer("certs", "--secrets-dir", folder)
        self.assertNotEqual((folder / "server-a.pem").read_bytes(), before)
        self.assertGreaterEqual(answer["soonest_expiry_days"], 19)

    def test_all_is_its_owners_alone_even_with_a_careless_umask(self):
        folder = self.place / "s"
        done = tarn("certs", "--secrets-dir", folder, preexec_fn=lambda: os.umask(0))
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        self.assertEqual({stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}, {0o600})

    def test_a_folder_that_others_can_write_in_is_refused(self):
        folder = self.place / "open"
        folder.mkdir()
        folder.chmod(0o777)
        self.refused("certs", "--secrets-dir", folder, code=DENIED, says=str(folder))
        self.assertEqual(list(folder.iterdir()), [])

    def test_a_ca_without_its_key_issues_nothing(self):
        folder = self.secrets()
        (folder / "ca.key").unlink()
        before = (folder / "ca.pem").read_bytes()
        done = tarn("certs", "--secrets-dir", folder, "--server", "new")
        self.assertNotEqual(done.returncode, OK)
        self.assertIn("ca.key", done.stderr)
        self.assertEqual((folder / "ca.pem").read_bytes(), before)
        self.assertFalse((folder / "server-new.pem").exists())

    def test_a_file_where_the_folder_should_be_is_named(self):
        file = self.place / "file"
        file.write_text("x")
        done = tarn("certs", "--secrets-dir", file)
        self.assertNotEqual(done.returncode, OK)
        self.assertIn(str(file), done.stderr)
        self.assertEqual(file.read_text(), "x")


class Tokens(Case):
    def setUp(self):
        super().setUp()
        self.folder = self.secrets()

    def create(self, *flags):
        return ("token", "create", "--secrets-dir", self.folder, *flags)

    def test_time_to_live_is_read_as_people_write_it(self):
        for text, seconds in [
            *(("1s", 1), ("90s", 90), ("5min", 300), ("12h", 43200), ("30d", 2592000)),
            ("365d", 31536000),
        ]:
            before = time.time()
            answer = self.answer(*self.create("--tenant", "demo", "--ttl", text))
            self.assertEqual(set(answer), {"holder", "expires_unix_ms", "token"})
            self.assertAlmostEqual(answer["expires_unix_ms"] / 1000 - before, seconds, delta=30)
        for bad in ("", "0s", "999ms", "366d", "1y", "-1h", "1.5h", "forever", "1h "):
            self.refused(*self.create("--tenant", "demo", f"--ttl={bad}"), says="--ttl")

    def test_names_are_words(self):
        for bad in ("", "No Spaces", "a/b", "..", "x" * 200):
            self.refused(*self.create(f"--tenant={bad}"))
            self.refused(*self.create("--tenant", "demo", f"--worker={bad or '/'}"))
        holder = self.answer(*self.create("--tenant", "demo", "--worker", "gpu-1"))["holder"]
        self.assertEqual(holder, "tarn://worker/demo/gpu-1")

    def test_a_renewed_folder_keeps_its_endpoint(self):
        out = self.place / "tenant"
        first = self.answer(*self.create("--tenant", "demo", "--out", out, "--endpoint", "a:1"))
        self.assertEqual(set(first), {"holder", "expires_unix_ms", "folder"})
        before = (out / "token").read_text()
        self.answer(*self.create("--tenant", "demo", "--out", out))
        self.assertNotEqual((out / "token").read_text(), before)
        self.assertEqual((out / "endpoint").read_text(), "a:1\n")
        self.assertEqual(sorted(p.name for p in out.iterdir()), ["ca.pem", "endpoint", "token"])

    def test_no_two_tokens_are_alike(self):
        tokens = {tarn(*self.create("--tenant", "demo")).stdout for _ in range(3)}
        self.assertGreaterEqual(len(tokens), 2)
        for token in tokens:
            self.assertRegex(token, r"\Atarn1\.[\w.-]+\n\Z")

    def test_without_the_signing_key_there_is_none(self):
        (self.folder / "token.key").unlink()
        done = tarn(*self.create("--tenant", "demo"))
        self.assertNotEqual(done.returncode, OK)
        self.assertIn("token.key", done.stderr)
        self.assertEqual(done.stdout, "")


class Doctor(Case):
    def findings(self, *flags, code=None, **options):
        done = tarn("doctor", "--json", "--dram-bytes", "1MiB", "--listen", "127.0.0.1:0",
                    *flags, **options)  # fmt: skip
        if code is not None:
            self.assertEqual(done.returncode, code, done.stdout)
        report = json.loads(done.stdout)
        self.assertEqual(set(report), {"health", "findings"})
        for finding in report["findings"]:
            self.assertEqual(set(finding), {"name", "health", "what", "advice"})
            self.assertIn(finding["health"], ("ok", "warning", "problem"))
            if finding["health"] != "ok":
                self.assertGreater(len(finding["advice"]), 10, finding)
        order = ["ok", "warning", "problem"]
        worst = max((f["health"] for f in report["findings"]), key=order.index)
        self.assertEqual(report["health"], worst)
        self.assertEqual(done.returncode, NOT_SO if worst == "problem" else OK)
        found = {}
        for finding in report["findings"]:
            found.setdefault(finding["name"], finding)
        return found

    def test_knows_limits_of_the_process(self):
        def tighten():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

        found = self.findings("--credentials", self.secrets(), preexec_fn=tighten)
        self.assertEqual(found["memlock"]["health"], "warning")
        self.assertIn("64 KiB", found["memlock"]["what"])
        self.assertIn("LimitMEMLOCK=infinity", found["memlock"]["advice"])
        self.assertEqual(found["open files"]["health"], "warning")
        self.assertIn("LimitNOFILE=65536", found["open files"]["advice"])

    def test_wants_memory_that_is_there(self):
        done = tarn("doctor", "--json", "--dram-bytes", "1000TiB", "--listen", "127.0.0.1:0")
        memory = next(f for f in json.loads(done.stdout)["findings"] if f["name"] == "memory")
        self.assertEqual(memory["health"], "problem")
        self.assertIn("1000 TiB does not fit", memory["advice"])

    def test_sees_certificates_that_end_soon(self):
        folder = self.secrets("--days", "3")
        found = self.findings("--credentials", folder)
        self.assertEqual(found["expiry"]["health"], "warning")
        self.assertIn("tarn certs", found["expiry"]["advice"])

    def test_sees_a_certificate_that_has_ended(self):
        tenant = self.tenant()
        (tenant / "token").unlink()
        self.make_ended_certificate(tenant)
        found = self.findings("--credentials", tenant, code=NOT_SO)
        self.assertEqual(found["expiry"]["health"], "problem")
        self.assertIn("client.pem has ended", found["expiry"]["what"])

    def make_ended_certificate(self, folder):
        database = self.place / "ca"
        database.mkdir()
        (database / "index").touch()
        (database / "serial").write_text("01\n")
        (database / "config").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
        )
        steps = [
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-subj", "/CN=x", "-keyout", folder / "client.key", "-out", database / "request"],
            ["ca", "-batch", "-config", "config", "-selfsign", "-keyfile", folder / "client.key"]
            + ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext"]
            + ["-in", "request", "-out", folder / "client.pem"],
        ]
        for step in steps:
            subprocess.run(
                ["openssl", *map(str, step)], cwd=database, check=True, capture_output=True
            )
        (folder / "client.key").chmod(0o600)

    def test_sees_a_folder_without_all_that_it_needs(self):
        tenant = self.tenant()
        (tenant / "ca.pem").unlink()
        found = self.findings("--credentials", tenant, code=NOT_SO)
        self.assertIn("ca.pem", found["credentials"]["what"])
        self.assertIn("tarn token create", found["credentials"]["advice"])

    def test_tells_a_port_in_use_from_one_that_cannot_be(self):
        import socket

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            found = self.findings("--listen", address)
            self.assertEqual(found[f"port {address}"]["what"], "in use")
        found = self.findings("--listen", "192.0.2.1:7420", code=NOT_SO)
        self.assertEqual(found["port 192.0.2.1:7420"]["health"], "problem")

    def test_knows_a_healthy_etcd_from_what_only_answers(self):
        for body, health in [('{"health":"true"}', "ok"), ('{"health":"false"}', "problem"),
                             ("<html>", "problem")]:  # fmt: skip
            with OneAnswer(body) as address:
                found = self.findings("--etcd", address)
                self.assertEqual(found[f"etcd {address}"]["health"], health, body)
        found = self.findings("--etcd", "127.0.0.1:1", code=NOT_SO)
        self.assertIn("start etcd", found["etcd 127.0.0.1:1"]["advice"])

    def test_for_people_each_finding_is_a_line_with_its_advice_below(self):
        done = tarn("doctor", "--dram-bytes", "1MiB", "--listen", "127.0.0.1:0", "--etcd",
                    "127.0.0.1:1")  # fmt: skip
        self.assertEqual(done.returncode, NOT_SO)
        for line in done.stdout.splitlines():
            self.assertRegex(line, r"^(ok|warning|problem) +\S.*: |^         -> ")
        self.assertNotIn("looking at", done.stderr)


class OneAnswer:
    """Listens on loopback and gives whoever comes this HTTP body."""

    def __init__(self, body):
        import socket
        import threading

        self.reply = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        try:
            peer, _ = self.listener.accept()
        except OSError:
            return
        with peer:
            peer.recv(4096)
            peer.sendall(self.reply)

    def __enter__(self):
        self.thread.start()
        return "127.0.0.1:%d" % self.listener.getsockname()[1]

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(5)


if __name__ == "__main__":
    unittest.main()
