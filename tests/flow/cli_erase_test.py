#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kms erase against a double of kmsd that answers what a test wants: what people see before they sign,
that exactly that is signed, and that a false answer is neither signed nor written."""

import base64
import hashlib
import json
import os
import pty
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

KMS = Path(os.environ["KMS_BUILD"]) / "cli/kms"
ERASURE, TENANT, PERSON, KEY, TOKEN, KEK, CERT = (
    f"{n}0000000-0000-4000-8000-00000000000{n}" for n in range(1, 8))
P1363 = 64


def b64(data):
    return base64.b64encode(data).decode()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def uid(text):
    return uuid.UUID(text).bytes


def signed_bytes(scope, erasure=ERASURE):
    """kmsd-erase/1 of one KEK."""
    origin = b"kms.example/kmsd/1"
    return (
        b"kmsd-erase/1" + struct.pack(">H", len(origin)) + origin + uid(erasure) + uid(TENANT)
        + uid(PERSON) + b"\x02" + uid(KEY) + hashlib.sha256(scope).digest()
        + struct.pack(">QQBH", 1800000000, 1900000000, 0, 1)
        + uid(TOKEN) + uid(KEK) + uid(KEY) + struct.pack(">I", 3) + bytes(32))


SCOPE = canonical({
    "v": "kmsd-plan/1", "kind": "key", "subject": KEY,
    "keys": [{"id": KEY, "versions": [3], "stay": []}],
    "copies": [{"token": TOKEN, "kek": KEK, "key": KEY, "version": 3, "commitment": "00" * 32}],
    "tokens": [TOKEN], "wipes": [], "imports": [], "renews": [],
    "datasets": {"count": 2, "hash": "00" * 32, "rows": [
        {"id": KEY, "key": KEY, "kind": "volume", "serial": "S-77", "site": None, "country": "JP",
         "encrypted_since": 0}]},
    "backups": {"known": [], "statement": "no backup is known to kmsd"},
    "stays": ["the encrypted data itself"]})


def observed(*problems, notes=()):
    return canonical({
        "at": 1790000000000, "needed": 2, "problems": list(problems), "notes": list(notes),
        "uses": [{"key": KEY, "datakeys": 5, "wraps": 0, "unwraps": 7, "rewraps": 0, "first": 1, "last": 2}],
        "tokens": [{"token": TOKEN, "up": True, "needed": 2}],
        "leases": {"handed_out": 12, "returned": 11, "clients": 1, "last_end": None, "seen": 1}})


def plan(*problems):
    return {"scope": b64(SCOPE), "observed": b64(observed(*problems)),
            "bytes": "" if problems else b64(signed_bytes(SCOPE))}


def erasure(state="requested", done=0, scope=SCOPE, data=None):
    row = {
        "id": ERASURE, "tenant": TENANT, "requester": PERSON, "scope": "key", "subject": KEY,
        "state": state, "not_before_unix_s": 1, "expires_unix_s": 2, "requested_unix_ms": 3,
        "done_unix_ms": 0, "request_seq": 4, "intent_seq": 0, "final_seq": 0, "kek_count": 1,
        "destroyed_count": done, "wipe_count": 0, "wiped_count": 0, "renewed_count": 0, "cert_final": False,
        "cert_seq": 0, "cert_hash": "00" * 32, "bytes": b64(data or signed_bytes(SCOPE)),
        "certificate": "AA==", "signature": b64(bytes(64)), "approvals": []}
    copy = {"token": TOKEN, "kek": KEK, "key": KEY, "version": 3, "done": done > 0, "seq": 0,
            "token_up": True, "refused_unix_ms": 0, "refused": ""}
    return {"erasures": [row], "copies": [copy], "plan": b64(scope), "needed": 2}


class Double(BaseHTTPRequestHandler):
    answers, seen = {}, []
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.seen.append((self.command, self.path, json.loads(body) if body else None))
        made = self.answers.get((self.command, self.path.partition("?")[0]))
        if isinstance(made, list):
            made = made.pop(0) if len(made) > 1 else made[0]
        data = canonical(made if made is not None else {"type": "urn:kmsd:problem:denied",
                                                        "title": "x", "status": 403})
        self.send_response(200 if made is not None else 403)
        self.send_header("Content-Type", "application/json" if made else "application/problem+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, *_):
        pass


class Erase(unittest.TestCase):
    @classmethod
    def openssl(cls, *words, **more):
        return subprocess.run(["openssl", *words], cwd=cls.dir, check=True, capture_output=True, **more)

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.dir = Path(folder.name)
        for name, extension in [("server", "subjectAltName=DNS:localhost"), ("person", "keyUsage=digitalSignature")]:
            cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", extension)
        cls.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "approver.key")
        for key in cls.dir.glob("*.key"):
            key.chmod(0o600)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(cls.dir / "server.pem", cls.dir / "server.key")
        server = HTTPServer(("localhost", 0), Double)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        (cls.dir / "profile.yaml").write_text(
            f"admin_url: https://localhost:{server.server_address[1]}\nserver_ca: server.pem\n"
            "certificate: person.pem\nkey: person.key\n")

    def setUp(self):
        Double.seen.clear()
        Double.answers = {
            ("POST", "/v1/erasures/plan"): plan(),
            ("POST", "/v1/erasures"): erasure(),
            ("GET", f"/v1/erasures/{ERASURE}"): erasure(),
            ("POST", f"/v1/erasures/{ERASURE}/approve"): erasure(),
            ("POST", f"/v1/erasures/{ERASURE}/cancel"): erasure("cancelled"),
        }

    def run_kms(self, *words):
        return subprocess.run(
            [KMS, "erase", *words], cwd=self.dir, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "KMS_PROFILE": "profile.yaml"})

    def kms(self, *words):
        run = self.run_kms(*words)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def refused(self, code, what, *words):
        run = self.run_kms(*words)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        self.assertIn(what, run.stderr)
        return run

    def posted(self, path):
        return [body for method, at, body in Double.seen if (method, at) == ("POST", path)]

    def verify(self, message, body, key):
        """The signature that was sent is that key's, over exactly this message."""
        raw = base64.b64decode(body["signature"])
        self.assertEqual(len(raw), P1363)
        numbers = []
        for part in (raw[:32], raw[32:]):
            part = part.lstrip(b"\0")
            part = b"\0" + part if part[0] & 0x80 else part
            numbers.append(b"\x02" + bytes([len(part)]) + part)
        der = b"".join(numbers)
        (self.dir / "sig").write_bytes(b"\x30" + bytes([len(der)]) + der)
        (self.dir / "message").write_bytes(message)
        self.openssl("pkey", "-in", key, "-pubout", "-out", "public.pem")
        self.openssl("dgst", "-sha256", "-verify", "public.pem", "-signature", "sig", "message")

    # ---- plan

    def test_a_plan_lists_what_dies_and_what_stays(self):
        text = self.kms("plan", "--key", KEY, "--window", "12h", "--valid", "2d")
        for wanted in ["WHAT DIES", KEY, "S-77", "2 datasets", "... and 1 more", TOKEN, "WHAT STAYS",
                       "the encrypted data itself", "no backup is known", "12", "Next"]:
            self.assertIn(wanted, text)
        self.assertEqual(self.posted("/v1/erasures/plan"), [
            {"scope": "key", "subject": KEY, "versions": [], "wipe": False, "window_s": 43200,
             "valid_s": 172800}])

    def test_problems_are_shown_and_nothing_can_be_requested(self):
        Double.answers["POST", "/v1/erasures/plan"] = plan("dataset x shares its key; rewrap it first")
        text = self.kms("plan", "--dataset", KEY)
        self.assertIn("PROBLEMS", text)
        self.assertIn("rewrap it first", text)
        self.refused(2, "problems forbid", "request", "--key", KEY, "--yes")
        self.assertEqual(self.posted("/v1/erasures"), [])

    def test_a_plan_that_is_not_what_is_signed_is_refused(self):
        Double.answers["POST", "/v1/erasures/plan"] = {
            **plan(), "bytes": b64(signed_bytes(SCOPE + b" "))}
        self.refused(5, "not the one whose hash", "plan", "--key", KEY)

    def test_what_is_not_understood_is_refused_before_anything_is_asked(self):
        for what, *words in [
            ["one of --key, --dataset and --tenant"],
            ["one of --key, --dataset and --tenant", "--key", KEY, "--tenant"],
            ["one of --key, --dataset and --tenant", "--key", KEY, "--dataset", KEY],
            ["--versions belongs to --key", "--dataset", KEY, "--versions", "1"],
            ["--wipe belongs to --tenant", "--key", KEY, "--wipe"],
            ["--versions is a list", "--key", KEY, "--versions", "1,,2"],
            ["--versions is a list", "--key", KEY, "--versions", "0"],
            ["--versions is a list", "--key", KEY, "--versions", "1-3"],
            ["--versions is a list", "--key", KEY, "--versions", "1,"],
            ["--versions is a list", "--key", KEY, "--versions", "1001"],
            ["--versions is a list", "--key", KEY, "--versions", ",".join(["1"] * 101)],
            ["--window is a time", "--key", KEY, "--window", "1"],
            ["--window is a time", "--key", KEY, "--window", "91d"],
            ["--window is a time", "--key", KEY, "--window", "1w"],
            ["--window is a time", "--key", KEY, "--window", "-1d"],
            ["--valid is a time", "--key", KEY, "--valid", "1d "],
            ["leaves no time", "--key", KEY, "--valid", "0s"],
        ]:
            with self.subTest(words=words):
                self.refused(2, what, "plan", *words)
                self.refused(2, what, "request", "--yes", *words)
        self.assertEqual(Double.seen, [])
        self.kms("plan", "--key", KEY, "--versions", "1,1000", "--window", "90d", "--valid", "90s")
        self.assertEqual(self.posted("/v1/erasures/plan"), [
            {"scope": "versions", "subject": KEY, "versions": [1, 1000], "wipe": False,
             "window_s": 90 * 86400, "valid_s": 90}])

    def test_a_tenant_is_the_callers_own(self):
        Double.answers["GET", "/v1/tenants"] = {
            "tenants": [{"id": TENANT, "label": "A", "label_salt": "", "ca_pem": ""}]}
        self.kms("plan", "--tenant", "--wipe")
        self.assertEqual(self.posted("/v1/erasures/plan"), [
            {"scope": "tenant", "subject": TENANT, "versions": [], "wipe": True, "window_s": 86400,
             "valid_s": 604800}])

    # ---- request

    def test_a_request_signs_the_plans_bytes_with_the_certificates_key(self):
        kept = self.dir / "plan.json"
        self.kms("plan", "--key", KEY, "--output", "plan.json")
        self.addCleanup(kept.unlink)
        text = self.kms("request", "plan.json", "--yes")
        self.assertIn("suspended AT ONCE", text)
        body, = self.posted("/v1/erasures")
        self.assertEqual(base64.b64decode(body["bytes"]), signed_bytes(SCOPE))
        der = self.openssl("x509", "-in", "person.pem", "-outform", "DER").stdout
        self.assertEqual(base64.b64decode(body["certificate"]), der)
        self.verify(signed_bytes(SCOPE), body, "person.key")
        changed = json.loads(kept.read_text())
        changed["scope"]["stays"] = ["everything"]
        kept.write_text(json.dumps(changed))
        self.refused(5, "not the one whose hash", "request", "plan.json", "--yes")
        self.refused(2, "not both", "request", "plan.json", "--key", KEY, "--yes")

    def test_nothing_is_signed_without_a_yes_or_by_another_key(self):
        self.refused(2, "add --yes", "request", "--key", KEY)
        self.refused(2, "not the key of the profile's certificate", "request", "--key", KEY, "--yes",
                     "--sign-key", "approver.key")
        self.refused(2, "add --yes", "approve", ERASURE, "--sign-key", "approver.key")
        self.assertEqual([m for m, path, _ in Double.seen if m == "POST" and "plan" not in path], [])

    def typed(self, line, *words):
        """Exit code, with that line typed on a terminal."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execve(KMS, ["kms", "erase", *words],
                      {"PATH": os.environ["PATH"], "KMS_PROFILE": "profile.yaml"})
        shown = b""
        while b"to go on: " not in shown:
            shown += os.read(terminal, 65536)
        os.write(terminal, line)
        try:
            while os.read(terminal, 65536):
                pass
        except OSError:  # Linux: the other end is closed
            pass
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_only_yes_is_yes(self):
        approve = ("approve", ERASURE, "--sign-key", "approver.key")
        for line in (b"\n", b"y\n", b"YES\n", b"yes, please\n", b"\x04"):
            self.assertEqual(self.typed(line, *approve), 3, line)
        self.assertEqual(self.posted(f"/v1/erasures/{ERASURE}/approve"), [])
        self.assertEqual(self.typed(b"yes\n", *approve), 0)
        self.assertEqual(len(self.posted(f"/v1/erasures/{ERASURE}/approve")), 1)

    # ---- approve, cancel

    def test_an_approver_sees_and_signs_the_same_bytes(self):
        text = self.kms("approve", ERASURE, "--sign-key", "approver.key", "--yes")
        shown = text[:text.index("kmsd holds the plan")]
        for wanted in [ERASURE, TENANT, PERSON, KEY, TOKEN, KEK, "kms.example/kmsd/1",
                       "2027-01-15T08:00:00Z", hashlib.sha256(SCOPE).hexdigest(),
                       hashlib.sha256(signed_bytes(SCOPE)).hexdigest()]:
            self.assertIn(wanted, shown)
        body, = self.posted(f"/v1/erasures/{ERASURE}/approve")
        self.verify(signed_bytes(SCOPE), body, "approver.key")
        der = self.openssl("pkey", "-in", "approver.key", "-pubout", "-outform", "DER").stdout
        self.assertEqual(base64.b64decode(body["spki"]), der)

    def test_a_cancellation_signs_its_own_bytes(self):
        self.kms("cancel", ERASURE, "--sign-key", "approver.key", "--yes")
        body, = self.posted(f"/v1/erasures/{ERASURE}/cancel")
        message = b"kmsd-erase-cancel/1" + uid(ERASURE) + hashlib.sha256(signed_bytes(SCOPE)).digest()
        self.verify(message, body, "approver.key")

    def test_what_is_not_what_it_says_is_not_signed(self):
        path = ("GET", f"/v1/erasures/{ERASURE}")
        for code, what, answer in [
            (5, "not the one whose hash", erasure(scope=SCOPE + b" ")),
            (5, "of another erasure", erasure(data=signed_bytes(SCOPE, erasure=TENANT))),
            (5, "cannot be read", erasure(data=signed_bytes(SCOPE) + b"\0")),
            (5, "cannot be read", erasure(data=b"kmsd-erase-cancel/1" + bytes(48))),
        ]:
            for verb in ("approve", "cancel"):
                with self.subTest(what=what, verb=verb):
                    Double.answers[path] = answer
                    self.refused(code, what, verb, ERASURE, "--sign-key", "approver.key", "--yes")
        self.assertEqual([path for method, path, _ in Double.seen if method == "POST"], [])

    # ---- execute

    def test_what_is_refused_and_who_took_it_over_is_shown(self):
        answer = erasure("renewed")
        answer["erasures"][0]["renewed_count"] = 1
        answer["copies"][0].update(renewed=CERT, refused_unix_ms=1790000000000, refused="its approvals have expired")
        Double.answers["GET", f"/v1/erasures/{ERASURE}"] = answer
        text = self.kms("show", ERASURE)
        for words in (CERT, f"token {TOKEN} refused at 2026-09-21T14:13:20Z: its approvals have expired",
                      "is in another erasure", "stays provisional"):
            self.assertIn(words, text)

    def test_what_should_be_known_before_a_request_is_shown(self):
        old = {**json.loads(SCOPE), "renews": [CERT]}
        Double.answers["POST", "/v1/erasures/plan"] = {
            "scope": b64(canonical(old)), "observed": b64(observed(notes=["token X is not reached"])),
            "bytes": b64(signed_bytes(canonical(old)))}
        text = self.kms("plan", "--key", KEY)
        for words in ("TO KNOW", "token X is not reached", "it takes over", CERT, "kms erase request"):
            self.assertIn(words, text)

    def test_execution_goes_on_as_long_as_it_moves(self):
        path = ("POST", f"/v1/erasures/{ERASURE}/execute")
        Double.answers[path] = [erasure("executing", 1), erasure("done", 1)]
        self.assertIn("kms erase certificate", self.kms("execute", ERASURE))
        self.assertEqual(len(self.posted(path[1])), 2)
        Double.answers[path] = erasure("executing", 0)
        self.refused(8, "0 of 1 are destroyed", "execute", ERASURE)

    # ---- certificate

    def bundle(self, *names):
        Double.answers["GET", f"/v1/erasures/{ERASURE}/certificate"] = {
            "certificate": CERT, "files": [{"name": name, "bytes": b64(name.encode())} for name in names]}

    def test_a_bundle_is_a_folder_and_never_replaces_one(self):
        self.bundle("manifest", "entries/7.json", "entries/7.tlog-proof")
        self.assertIn("kms verify bundle", self.kms("certificate", ERASURE, "--output", "bundle"))
        made = self.dir / "bundle"
        self.assertEqual(sorted(str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()),
                         ["entries/7.json", "entries/7.tlog-proof", "manifest"])
        self.assertEqual((made / "entries/7.json").read_bytes(), b"entries/7.json")
        self.refused(4, "already", "certificate", ERASURE, "--output", "bundle")
        self.refused(2, "new folder", "certificate", ERASURE, "--output", "other/")

    def test_no_name_leads_out_of_the_folder(self):
        before = sorted(self.dir.iterdir())
        for name in ["../x", "/tmp/x", "a/../../x", "a//b", "./x", ".hidden", "a/", "", "a b",
                     "n" * 128, "a/b/c/d/e", "manifest\n", "a\\b"]:
            with self.subTest(name=name):
                self.bundle("manifest", name)
                self.refused(5, "not allowed", "certificate", ERASURE, "--output", "out")
                self.assertEqual(sorted(self.dir.iterdir()), before)
        self.bundle("manifest", "manifest")
        self.refused(5, "twice", "certificate", ERASURE, "--output", "out")
        self.bundle()
        self.refused(5, "", "certificate", ERASURE, "--output", "out")
        self.assertEqual(sorted(self.dir.iterdir()), before)


if __name__ == "__main__":
    unittest.main()
