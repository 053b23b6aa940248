"""Receipts, plans and ledgers, as the commands of `ovir` make and show them."""

import json
import unittest

import ovir
from support import SOURCE, FolderTest


class Receipts(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "receipt"
        self.said = self.ovir_json("run", "-p", "Once upon a time", "-n", 40, "--stages", 2,
                                   "--receipt", self.path)

    def test_are_verified_as_the_auditor_does(self):
        verdict = ovir.verify_receipt(self.path, any_signer=True)
        self.assertTrue(verdict)
        self.assertEqual(verdict.failures, [])
        self.assertEqual(verdict.receipt["transcript"], self.said["transcript"])
        again = ovir.Model(threads=1).run("Once upon a time", max_tokens=40)
        self.assertEqual(again.transcript, verdict.receipt["transcript"])
        self.assertEqual(ovir.read_receipt(self.path.read_bytes()), verdict.receipt)

    def test_count_only_the_signers_that_are_named(self):
        lead = ovir.read_receipt(self.path)["lead"]
        self.assertTrue(ovir.verify_receipt(self.path, signers=[lead]).ok)
        for who in ({}, {"signers": []}, {"signers": ["ab" * 32]}):
            verdict = ovir.verify_receipt(self.path, **who)
            self.assertFalse(verdict.ok, who)
            self.assertNotEqual(verdict.failures, [])
        for code, who in (("malformed", {"signers": ["no key"]}),
                          ("invalid_argument", {"signers": [lead], "any_signer": True}),
                          ("not_found", {"ledger_head": self.folder / "none"})):
            with self.assertRaises(ovir.OvirError) as refused:
                ovir.verify_receipt(self.path, **who)
            self.assertEqual(refused.exception.code, code)

    def test_of_which_a_byte_was_changed_hold_no_more(self):
        honest = self.path.read_bytes()
        found = set()
        for at in range(0, len(honest), max(1, len(honest) // 60)):
            forged = bytearray(honest)
            forged[at] ^= 0x10
            try:
                verdict = ovir.verify_receipt(forged, any_signer=True)
                self.assertFalse(verdict.ok, at)
                found.add("wrong")
            except ovir.OvirError as e:
                self.assertIn(e.code, ("malformed", "unsupported", "over_limit"), at)
                found.add("refused")
        self.assertEqual(found, {"wrong", "refused"})

    def test_are_no_other_files(self):
        for bytes_ in (b"", b"a receipt", self.path.read_bytes()[:-9]):
            with self.assertRaises(ovir.OvirError) as refused:
                ovir.verify_receipt(bytes_, any_signer=True)
            self.assertEqual(refused.exception.code, "malformed")
        with self.assertRaises(ovir.OvirError) as missing:
            ovir.verify_receipt(self.folder / "none")
        self.assertEqual(missing.exception.code, "not_found")


class Plans(FolderTest):
    def test_are_those_of_ovir_plan(self):
        file = SOURCE / "config" / "cluster.toml"
        for options, parameters in (([], {}), (["--context", 64, "--requests", 3, "--batch"],
                                               {"context": 64, "requests": 3, "batch": True})):
            said = self.ovir_json("plan", "--cluster", file, *options)
            plan = ovir.make_plan(file, **parameters)
            names = ("node", "first_layer", "last_layer", "weight_bytes", "kv_bytes", "buffer_bytes",
                     "memory_bytes")
            self.assertEqual([[one[name] for name in names] for one in plan["stages"]],
                             [[one[name] for name in names] for one in said["stages"]])
            self.assertEqual(plan["why"], said["why"])
            self.assertAlmostEqual(plan["speed"]["tokens_per_second"], said["speed"]["decode_tps"])

    def test_name_what_is_wrong_with_a_cluster(self):
        wrong = self.folder / "wrong.toml"
        wrong.write_text("[[node]]\nname = 5\n")
        for code, path, how in (("malformed", wrong, {}), ("not_found", self.folder / "none", {}),
                                ("invalid_argument", SOURCE / "config" / "cluster.toml", {"requests": 0})):
            with self.assertRaises(ovir.OvirError) as refused:
                ovir.make_plan(path, **how)
            self.assertEqual(refused.exception.code, code)


class Ledgers(FolderTest):
    def setUp(self):
        super().setUp()
        self.ledger = self.folder / "ledger"
        self.key = json.loads(self.ovir("keygen", "--json"))
        key = next(v for v in self.key.values() if isinstance(v, str) and len(v) == 64)
        self.public = key
        self.ovir("ledger", "create", "--ledger", self.ledger, "--policy", SOURCE / "config" / "ledger.toml",
                  "--mint-key", key)
        self.ovir("ledger", "mint", "--ledger", self.ledger, key, "100")
        self.ovir("ledger", "stake", "--ledger", self.ledger, "12.5")
        self.ovir("ledger", "transfer", "--ledger", self.ledger, "ab" * 32, "3")

    def test_have_the_balances_and_entries_that_the_commands_show(self):
        said = self.ovir_json("ledger", "balance", "--ledger", self.ledger)
        book = ovir.Ledger(self.ledger)
        names = ("free", "pending", "stake", "earned", "nonce", "ejected")
        self.assertEqual(book.balances(), {one["account"]: {name: one[name] for name in names}
                                           for one in said["accounts"]})
        self.assertEqual(book.balances()[self.public]["stake"], 12_500_000)
        summary = book.summary()
        self.assertEqual(summary["minted"], said["minted"])
        self.assertEqual(summary["keepers"], [self.public])
        log = self.ovir_json("ledger", "log", "--ledger", self.ledger)["entries"]
        entries = book.entries()
        self.assertEqual(len(entries), summary["size"])
        self.assertEqual([(e["index"], e["time"], e["kind"], e["id"]) for e in entries],
                         [(e["entry"], e["time"], e["kind"], e["id"]) for e in log])
        self.assertEqual([[(m["from"], m["to"], m["amount"]) for m in e["movements"]] for e in entries],
                         [[(m["from"], m["to"], m["amount"]) for m in e["movements"]] for e in log])
        self.assertEqual(book.entries(1, 2), entries[1:3])

    def test_are_only_read(self):
        before = {one: one.read_bytes() for one in self.ledger.iterdir()}
        ovir.Ledger(self.ledger / "log").summary()
        self.assertEqual({one: one.read_bytes() for one in self.ledger.iterdir()}, before)

    def test_that_were_changed_are_refused_with_the_entry(self):
        log = self.ledger / "log"
        honest = log.read_bytes()
        place = honest.index(bytes.fromhex("ab" * 32))
        log.write_bytes(honest[:place] + b"\xac" + honest[place + 1:])
        for look in (ovir.Ledger(log).balances, ovir.Ledger(log).entries):
            with self.assertRaises(ovir.OvirError) as refused:
                look()
            self.assertEqual(refused.exception.code, "digest_mismatch")
        with self.assertRaises(ovir.OvirError) as missing:
            ovir.Ledger(self.folder).balances()
        self.assertEqual(missing.exception.code, "not_found")


