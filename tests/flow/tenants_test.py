# SPDX-License-Identifier: Apache-2.0
"""
Two tenants on one kmsd: how the second one is added, and that nothing crosses from one to the
other. The first is ACME (no prefix), the second one city.
"""
import base64
import datetime
import json
import os
import re
import shutil
import sqlite3
import ssl
import subprocess
import time
import uuid

import house

CURVE = ("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
PURPOSE = subprocess.run(
    [house.KMS, "init", "purpose"], env=house.ENVIRONMENT, capture_output=True, text=True, check=True).stdout.strip()


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def new_ca(folder):
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "ec", *CURVE, "-days", 9, "-subj", "/CN=another CA",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", folder / "ca.key", "-out", folder / "ca.pem")
    return folder


def issue(ca, path, name, purposes="clientAuth", key=None):
    """A certificate by the CA in a folder, over a new key or one that is there."""
    if key is None:
        key = path.with_suffix(".key")
        openssl("genpkey", "-algorithm", "EC", *CURVE[:2], "-out", key)
        key.chmod(0o600)
    request, extensions = path.with_suffix(".csr"), path.with_suffix(".ext")
    extensions.write_text(f"extendedKeyUsage={purposes}\n")
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca / "ca.pem", "-CAkey", ca / "ca.key", "-days", 9,
            "-extfile", extensions, "-out", path)
    return path


class Adding(house.Case):
    """kmsd --add-tenant, on a store that does not know the tenant whose files lie there."""

    @classmethod
    def setUpClass(cls):
        cls.house = house.House()
        cls.addClassCleanup(cls.house.close)
        before = cls.house.folder / "before"
        subprocess.run(["cp", "-a", cls.house.dir / "store", before], check=True)
        cls.house.demo("add-tenant", "city")
        shutil.rmtree(cls.house.dir / "store")
        before.rename(cls.house.dir / "store")
        cls.acme = cls.house.dir / "tenant"
        cls.city = cls.house.dir / "tenant-city"
        cls.file = json.loads((cls.city / "tenant.json").read_text())
        cls.n = 0

    def state(self):
        """All that the store holds."""
        type(self).n += 1
        copy = self.house.folder / f"state-{self.n}"
        shutil.copytree(self.house.dir / "store", copy)
        with sqlite3.connect(copy / "kmsd.db") as store:
            return list(store.iterdump())

    def write(self, file, ca):
        """A tenant file, signed with the key in a CA's folder."""
        type(self).n += 1
        path = self.house.folder / f"tenant-{self.n}.json"
        path.write_text(json.dumps(file))
        if ca is not None:
            openssl("dgst", "-sha256", "-sign", ca / "ca.key", "-out", f"{path}.sig", path)
        return path

    def refuse(self, path, code, words):
        before = self.state()
        result = self.house.kmsd("--add-tenant", path)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(words, result.stderr)
        self.assertEqual(self.state(), before)
        self.assertEqual(self.house.replay().returncode, 0)

    def copy(self, **changes):
        return {**json.loads(json.dumps(self.file)), **changes}

    def under(self, ca):
        """The tenant's file, with everybody's certificate from another CA."""
        people = [dict(person, certificate=issue(
            ca, self.house.folder / f"{uuid.uuid4()}.pem", person["name"],
            f"clientAuth,{PURPOSE}" if person["role"] == "storage" else "clientAuth").read_text(),
            expires=(datetime.datetime.utcnow() + datetime.timedelta(days=8)).strftime("%Y-%m-%dT%H:%M:%SZ"))
            for person in self.file["principals"]]
        return self.copy(principals=people, tenant=dict(self.file["tenant"], ca=(ca / "ca.pem").read_text()))

    def test_1_refused(self):
        refuse, write = self.refuse, self.write
        changed = self.copy(tenant=dict(self.file["tenant"], name="Another name"))
        path = write(changed, None)
        with self.subTest("no signature"):
            refuse(path, 10, f"{path}.sig")
        with self.subTest("a signature of other bytes"):
            shutil.copy(self.city / "tenant.json.sig", f"{path}.sig")
            refuse(path, 5, "not its signature by the tenant's CA")
        with self.subTest("signed by the first tenant's CA"):
            refuse(write(changed, self.acme / "ca"), 5, "not its signature by the tenant's CA")
        with self.subTest("people of another CA"):
            strangers = self.under(new_ca(self.house.folder / "another-ca"))
            strangers["tenant"] = self.file["tenant"]
            refuse(write(strangers, self.city / "ca"), 3, "not of this file's CA")
        for name, ca in (("first tenant", self.acme / "ca"), ("platform", self.house.dir / "platform/ca")):
            with self.subTest(f"everything under the {name}'s CA"):
                refuse(write(self.under(ca), ca), 4, "CA of its own")
        with self.subTest("a person of the first tenant"):
            theirs = self.copy()
            key = self.acme / "people/auditor-1.key"
            auditor = next(p for p in theirs["principals"] if p["role"] == "auditor")
            auditor["certificate"] = issue(
                self.city / "ca", self.house.folder / "theirs.pem", "auditor-1", key=key).read_text()
            auditor["expires"] = strangers["principals"][0]["expires"]
            refuse(write(theirs, self.city / "ca"), 4, "principal")
        with self.subTest("the first tenant's token"):
            tokens = json.loads((self.acme / "tenant.json").read_text())["tokens"]
            refuse(write(self.copy(tokens=tokens), self.city / "ca"), 4, "token")
        with self.subTest("the first tenant itself"):
            refuse(self.acme / "tenant.json", 4, "tenant")
        with self.subTest("kmsd is running"):
            self.house.start("acme", "system", "city")
            config = self.house.dir / "kmsd/kmsd.yaml"
            whole = config.read_text()
            config.write_text("".join(line for line in whole.splitlines(True) if "run/city/" not in line))
            self.house.start("kmsd")
            result = self.house.kmsd("--add-tenant", self.city / "tenant.json")
            self.house.stop("kmsd")
            self.assertEqual(result.returncode, 4, result.stderr)
            self.assertIn("another kmsd has it open", result.stderr)
            config.write_text(whole)

    def test_1_first_tenant_under_the_platforms_ca(self):
        """kmsd --init holds the first tenant to the same."""
        config = (self.house.dir / "kmsd/kmsd.yaml").read_text()
        (self.house.dir / "kmsd/other.yaml").write_text(config.replace("../store", "../other"))
        other = self.house.dir / "other"
        platform = ("--platform", self.house.dir / "platform/platform.json")
        owner = (self.house.dir / "store").stat()
        other.mkdir()
        os.chown(other, owner.st_uid, owner.st_gid)
        ca = self.house.dir / "platform/ca"
        path = self.write(self.under(ca), ca)
        result = self.house.kmsd(*platform, "--init", path, config="other.yaml")
        self.assertEqual((result.returncode, list(other.iterdir())), (4, []), result.stderr)
        self.assertIn("CA of its own", result.stderr)
        result = self.house.kmsd(*platform, "--init", self.acme / "tenant.json", config="other.yaml")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_2_added_once_and_a_person_expires(self):
        """The right file is taken, with an approver whose time is short."""
        short = self.copy()
        approver = next(p for p in short["principals"] if p["name"] == "city-approver-2")
        until = int(time.time()) + 20
        approver["expires"] = datetime.datetime.utcfromtimestamp(until).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = self.write(short, self.city / "ca")
        result = self.house.kmsd("--add-tenant", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.house.start()
        self.assertEqual(self.house.get("city-approver-2", "/v1/tenants")[0], 200)
        for tenant in ("", "city-"):
            self.house.run(f"{tenant}custodian-1", "key", "create", "--label", "k")
        time.sleep(max(0.0, until - time.time()) + 0.1)
        self.assertEqual(self.house.get("city-approver-2", "/v1/tenants")[0], 401)
        self.assertEqual(self.house.get("city-approver-1", "/v1/tenants")[0], 200)
        self.house.stop("kmsd")
        self.assertEqual(self.house.replay().returncode, 0)
        self.refuse(self.city / "tenant.json", 4, "tenant")


def routes():
    """Every operation of docs/openapi.yaml: method, path, operation, listener."""
    path = method = op = None
    for line in (house.SOURCE / "docs/openapi.yaml").read_text().splitlines():
        if match := re.fullmatch(r"  (/v1/\S*):", line):
            path = match[1]
        elif match := re.fullmatch(r"    (get|post):", line):
            method = match[1]
        elif match := re.fullmatch(r"      operationId: (\S+)", line):
            op = match[1]
        elif match := re.fullmatch(r"      x-face: (\S+)", line):
            yield method, path, op, "admin" if match[1] == "both" else match[1]


class Crossing(house.Case):
    ROLES = ("storage-1", "custodian-1", "approver-1", "auditor-1")
    CONTEXT = ("--context", "purpose=archive")

    @classmethod
    def setUpClass(cls):
        cls.house = house.House()
        cls.addClassCleanup(cls.house.close)
        cls.house.demo("add-tenant", "city")
        cls.house.start()
        cls.ids = {tenant: cls.things(tenant) for tenant in ("", "city-")}

    @classmethod
    def things(cls, tenant):
        """Ids of a tenant's things, by their collection's name."""
        custodian = f"{tenant}custodian-1"
        key = cls.house.json(custodian, "key", "create", "--label", f"{tenant}label")
        dataset = cls.house.json(
            custodian, "dataset", "add", "--label", f"{tenant}data", "--key", key["id"], "--medium", "volume",
            "--country", "JP", "--site", "tokyo-1")
        principals = cls.house.json(custodian, "principal", "list")["principals"]
        ending = cls.house.json(custodian, "key", "create", "--label", f"{tenant}ending")["id"]
        erasure = cls.house.json(custodian, "erase", "request", "--key", ending, "--yes")
        return {
            "tenants": [key["tenant"]],
            "tokens": key["tokens"],
            "keys": [key["id"]],
            "datasets": [dataset["id"]],
            "principals": [p["id"] for p in principals],
            "keks": [kek["id"] for kek in key["keks"]],
            "erasures": [erasure["id"]],
        }

    def id(self, what, tenant=""):
        return self.ids[tenant][what][0]

    def sealed_body(self, token, session=None):
        return {"token": token, "session": session or str(uuid.uuid4()), "record": "AAAA",
                "items": [{"context": {}, "wrapped_key": str(uuid.uuid4())}]}

    def asked_for_theirs(self):
        """Each operation that names a thing of ACME: op, path, body, listener."""
        for method, path, op, face in routes():
            body = None
            if op == "session.open":
                body = {"token": self.id("tokens"), "flight": "AAAA"}
            elif op == "dataset.add":
                body = {"key": self.id("keys"), "label": "x", "medium": "", "serial": "", "site": "",
                        "country": "JP", "first_write_unix_s": 0}
            elif op == "key.create":
                body = {"label": "x", "custody": "any", "delivery": "sealed", "tokens": [self.id("tokens")]}
            elif op in ("datakey", "wrap", "unwrap", "rewrap"):
                body = self.sealed_body(self.id("tokens"))
            elif op == "erase.plan":
                body = {"scope": "key", "subject": self.id("keys"), "versions": [], "wipe": False,
                        "window_s": 0, "valid_s": 3600}
            elif op in ("erase.approve", "erase.cancel"):
                body = {"spki": "AAAA", "signature": base64.b64encode(bytes(64)).decode()}
            elif "{id}" not in path or op == "ledger.uses":
                continue  # names nothing, or a number that everybody knows
            thing = self.ids[""].get(path.split("/")[2], [None])[0]
            data = b"" if method == "post" and body is None else body and json.dumps(body).encode()
            yield op, path.replace("{id}", str(thing)), data, face

    def denials(self, auditor="city-auditor-1"):
        return [u for u in self.house.uses(auditor) if u["res"] != "ok"]

    def person(self, name):
        people = self.house.json("city-auditor-1", "principal", "list")["principals"]
        return next(p["id"] for p in people if p["label"] == name)

    def test_both_work(self):
        for tenant in ("", "city-"):
            plain, sealed, out = (self.house.folder / f"{tenant}{n}" for n in ("plain", "sealed", "out"))
            plain.write_bytes(os.urandom(100000))
            storage = f"{tenant}storage-1"
            self.kms(storage, "encrypt", "--key", self.id("keys", tenant), *self.CONTEXT, plain, sealed)
            self.kms(storage, "decrypt", *self.CONTEXT, sealed, out)
            self.assertEqual(out.read_bytes(), plain.read_bytes())
        self.assertEqual(self.house.replay().returncode, 0)

    def test_everything_of_theirs_is_denied_and_recorded(self):
        known, asked = len(self.denials()), []
        for role in self.ROLES:
            actor = self.person(f"city-{role}")
            for op, path, body, face in self.asked_for_theirs():
                with self.subTest(role=role, op=op):
                    status, _, problem = self.house.get(f"city-{role}", path, body, face)
                    self.assertEqual((status, problem["type"].split(":")[-1]), (403, "denied"))
                asked.append((actor, op))
        self.assertGreater(len(asked), 4 * 12)
        recorded = [(u["actor"], u["op"]) for u in self.denials()[known:] if u["res"] == "denied"]
        self.assertEqual(sorted(recorded), sorted(asked))
        # ACME's own custodian is none the wiser: not its principals, not its ledger.
        theirs = self.ids["city-"]["principals"]
        self.assertEqual([u for u in self.house.uses() if u["actor"] in theirs], [])

    def test_their_principals_and_tokens_one_by_one(self):
        for what in ("principals", "tokens"):
            for thing in self.ids[""][what]:
                self.assertEqual(self.house.get("city-auditor-1", f"/v1/{what}/{thing}")[0], 403)
        system = next(t["id"] for t in self.house.json("operator-1", "token", "list")["tokens"] if "tenant" not in t)
        self.assertEqual(self.house.get("city-auditor-1", f"/v1/tokens/{system}")[0], 403)
        self.assertEqual(self.refused("city-custodian-1", "key", "create", "--label", "x", "--token", system).code, 3)

    def test_lists_show_nothing_of_theirs(self):
        names = [i for ids in self.ids[""].values() for i in ids] + ["ACME"]
        for role in self.ROLES:
            for method, path, op, face in routes():
                if method != "get" or "{id}" in path:
                    continue
                status, _, answer = self.house.get(f"city-{role}", path, listener=face)
                with self.subTest(role=role, op=op):
                    self.assertIn(status, (200, 403))
                    text = json.dumps(answer)
                    for entry in answer.get("entries", []):
                        text += base64.b64decode(entry.get("bytes", "")).decode()
                    self.assertEqual([n for n in names if n in text], [])

    def test_their_entries_are_leaf_hashes(self):
        def entries(who):
            found, start = [], 0
            while True:
                page = self.house.get(who, f"/v1/ledger/entries?from={start}&limit=256")[2]["entries"]
                if not page:
                    return found
                found += page
                start = page[-1]["seq"] + 1
        acme = entries("auditor-1")
        city = entries("city-auditor-1")[:len(acme)]
        self.assertEqual([e["leaf"] for e in acme], [e["leaf"] for e in city])
        owners = ["".join(n for n, e in (("a", a), ("c", c)) if "bytes" in e) for a, c in zip(acme, city)]
        self.assertNotIn("ac", owners)
        self.assertGreater(min(owners.count("a"), owners.count("c")), 2)
        batches = [e["seq"] for e in acme if b"use.batch" in base64.b64decode(e.get("bytes", ""))]
        self.assertTrue(batches)
        for seq in batches:
            self.assertEqual(self.house.get("city-auditor-1", f"/v1/ledger/uses/{seq}")[0], 404)

    def test_each_auditor_verifies(self):
        for tenant in ("", "city-"):
            self.kms(f"{tenant}storage-1", "datakey", "--key", self.id("keys", tenant), "--output-key",
                     self.house.folder / f"{uuid.uuid4()}")
            def well():
                report = self.house.verify(tenant=tenant)
                self.assertEqual({c["result"] for c in report["checks"]}, {"pass"}, report)
                self.assertTrue(any("of others" in f["text"] for f in report["findings"]), report)
            self.eventually(well)

    def test_a_file_of_theirs_does_not_open(self):
        plain, sealed, out = (self.house.folder / f"file-{n}" for n in ("plain", "sealed", "out"))
        plain.write_bytes(b"of ACME alone")
        self.kms("storage-1", "encrypt", "--key", self.id("keys"), *self.CONTEXT, plain, sealed)
        error = self.refused("city-storage-1", "decrypt", *self.CONTEXT, sealed, out)
        self.assertEqual(error.code, 5)  # the tenant is part of the context
        self.assertIn("context", error.text)
        # With ACME's pins as well, only city's certificate is left to be wrong.
        profile = (self.house.dir / "storage-1.yaml").read_text().replace(
            f"{self.house.dir}/tenant/people/", f"{self.house.dir}/tenant-city/people/city-")
        (self.house.dir / "thief.yaml").write_text(profile)
        self.assertEqual(self.refused("thief", "decrypt", *self.CONTEXT, sealed, out).code, 3)
        self.assertFalse(out.exists())

    def open_session(self, tenant):
        """A sealed session to the tenant's own token, by hand; its id."""
        people = self.house.dir / f"tenant{'-city' if tenant else ''}/people/{tenant}storage-1"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(f"{people}.pem", f"{people}.key")
        out = ssl.MemoryBIO()
        try:
            context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
        except ssl.SSLWantReadError:
            pass
        flight = base64.b64encode(out.read()).decode()
        status, _, answer = self.house.get(
            f"{tenant}storage-1", "/v1/sessions",
            json.dumps({"token": self.id("tokens", tenant), "flight": flight}).encode(), "data")
        self.assertEqual(status, 200, answer)
        return answer["session"]

    def test_their_session_is_not_ours(self):
        session, known = self.open_session(""), len(self.denials())
        for token in (self.id("tokens"), self.id("tokens", "city-")):
            body = json.dumps(self.sealed_body(token, session)).encode()
            status, _, problem = self.house.get(
                "city-storage-1", f"/v1/keys/{self.id('keys', 'city-')}/unwrap", body, "data")
            self.assertEqual(status, 403, problem)
        self.assertEqual(len(self.denials()), known + 2)

    def stranger(self, name, ca, key=None, purposes="clientAuth"):
        """A profile with a certificate that nobody registered."""
        cert = issue(ca, self.house.folder / f"{name}.pem", name, purposes, key)
        lines = (self.house.dir / "custodian-1.yaml").read_text().splitlines()
        change = {"certificate": cert, "key": key or cert.with_suffix(".key")}
        (self.house.dir / f"{name}.yaml").write_text("".join(
            f"{n}: '{change[n]}'\n" if (n := line.partition(":")[0]) in change else line + "\n" for line in lines))
        return name

    def test_certificates_that_are_nobody(self):
        demo = self.house.dir
        storage = f"clientAuth,{PURPOSE}"
        nobodies = (
            self.stranger("unregistered", demo / "tenant/ca"),
            self.stranger("unregistered-storage", demo / "tenant/ca", purposes=storage),
            self.stranger("platform-custodian-1", demo / "platform/ca", purposes=storage),
            # The keys of registered people, under the CA of somebody else.
            self.stranger("custodian-by-city", demo / "tenant-city/ca", demo / "tenant/people/custodian-1.key"),
            self.stranger("custodian-by-platform", demo / "platform/ca", demo / "tenant/people/custodian-1.key"),
            self.stranger("operator-by-acme", demo / "tenant/ca", demo / "platform/people/operator-1.key"),
        )
        for who in nobodies:
            with self.subTest(who=who):
                for listener in ("admin", "data"):
                    self.assertEqual(self.house.get(who, "/v1/status", listener=listener)[0], 401)
                self.assertEqual(self.refused(who, "key", "list").code, 3)
        own = self.stranger("own-ca", new_ca(self.house.folder / "own-ca"))
        with self.assertRaises(OSError):  # the handshake itself
            self.house.get(own, "/v1/status")
        # The positive control: the same file with the right certificate.
        again = self.stranger("again", demo / "tenant/ca", demo / "tenant/people/custodian-1.key")
        self.assertEqual(self.house.get(again, "/v1/keys")[0], 200)

    def test_the_operator_sees_links_and_nothing_else(self):
        listed = self.house.json("operator-1", "token", "list")["tokens"]
        self.assertEqual({t["id"] for t in listed} >= {self.id("tokens"), self.id("tokens", "city-")}, True)
        for what in ("keys", "datasets", "principals", "tenants"):
            self.assertEqual(self.house.get("operator-1", f"/v1/{what}")[0], 403)


if __name__ == "__main__":
    house.main()
