"""Python's safetensors opens the files of a store as they are, and cpp/store/format.md is all one needs to write them.

    python segment_test.py MAKE_STORE        where MAKE_STORE is the program of make_store.cpp
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import safetensors
import safetensors.numpy

MAKE_STORE = sys.argv.pop(1)
DIM, FIRST, ENTRIES, REMOVED = 7, 37, 42, [3, 40]
MASK = 2**64 - 1


def xxh64(data):
    """Straight from the specification, and not from checksum.cpp."""
    p1, p2, p3, p4, p5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

    def rotate(x, n):
        return (x << n | x >> 64 - n) & MASK

    def mix(lane, word):
        return rotate((lane + word * p2) & MASK, 31) * p1 & MASK

    def word(at, size):
        return int.from_bytes(data[at : at + size], "little")

    at = 0
    if len(data) >= 32:
        lanes = [(p1 + p2) & MASK, p2, 0, -p1 & MASK]
        while at + 32 <= len(data):
            lanes = [mix(lane, word(at + 8 * i, 8)) for i, lane in enumerate(lanes)]
            at += 32
        digest = sum(rotate(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            digest = ((digest ^ mix(0, lane)) * p1 + p4) & MASK
    else:
        digest = p5
    digest = (digest + len(data)) & MASK
    while at + 8 <= len(data):
        digest = (rotate(digest ^ mix(0, word(at, 8)), 27) * p1 + p4) & MASK
        at += 8
    if at + 4 <= len(data):
        digest = (rotate(digest ^ word(at, 4) * p1 & MASK, 23) * p2 + p3) & MASK
        at += 4
    for byte in data[at:]:
        digest = rotate(digest ^ byte * p5 & MASK, 11) * p1 & MASK
    digest = (digest ^ digest >> 33) * p2 & MASK
    digest = (digest ^ digest >> 29) * p3 & MASK
    return f"{digest ^ digest >> 32:016x}"


def expected_keys(ids):
    ids = ids[:, None].astype(np.int64)
    return ((ids * 7 + np.arange(DIM) * 3) % 32 / 4 - 2).astype(np.float32)


def run(*arguments):
    return subprocess.run([MAKE_STORE, *map(str, arguments)], capture_output=True, text=True)


class Segments(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name) / "store"

    def tearDown(self):
        self.folder.cleanup()

    def create(self, dtype):
        made = run("create", self.path, dtype)
        self.assertEqual(made.returncode, 0, made.stderr)
        return json.loads((self.path / "manifest.json").read_text())

    def check_columns(self, tensors, ids):
        np.testing.assert_array_equal(tensors["tokens"], ids * 11)
        np.testing.assert_array_equal(tensors["namespace"], ids % 3)
        np.testing.assert_array_equal(tensors["example"], ids // 4)
        np.testing.assert_array_equal(tensors["position"], ids % 4)
        self.assertEqual(tensors["tokens"].dtype, np.int32)
        for name in ("namespace", "example", "position"):
            self.assertEqual(tensors[name].dtype, np.uint32)

    def check_opens(self, dtype, numpy_dtype):
        manifest = self.create(dtype)
        first = 0
        for facts in manifest["segments"]:
            tensors = safetensors.numpy.load_file(self.path / facts["file"])
            self.assertEqual(sorted(tensors), ["example", "keys", "namespace", "position", "tokens"])
            ids = np.arange(first, first + facts["entries"])
            self.assertEqual(tensors["keys"].dtype, numpy_dtype)
            np.testing.assert_array_equal(tensors["keys"].astype(np.float32), expected_keys(ids))
            self.check_columns(tensors, ids)
            first += facts["entries"]
        self.assertEqual(first, ENTRIES)

    def test_float32_segments_open(self):
        self.check_opens("f32", np.float32)

    def test_float16_segments_open(self):
        self.check_opens("f16", np.float16)

    def test_bfloat16_segments_open(self):
        # NumPy has no bfloat16: the library's own reader, and the upper halves of float32.
        manifest = self.create("bf16")
        content = (self.path / manifest["segments"][0]["file"]).read_bytes()
        keys = dict(safetensors.deserialize(content))["keys"]
        self.assertEqual((keys["dtype"], list(keys["shape"])), ("BF16", [FIRST, DIM]))
        upper = np.frombuffer(bytes(keys["data"]), dtype="<u2").astype(np.uint32)
        np.testing.assert_array_equal((upper << 16).view(np.float32).reshape(FIRST, DIM), expected_keys(np.arange(FIRST)))

    def test_removed_ids_open(self):
        manifest = self.create("f16")
        removed = safetensors.numpy.load_file(self.path / manifest["removed"]["file"])
        self.assertEqual(list(removed), ["removed"])
        np.testing.assert_array_equal(removed["removed"], REMOVED)

    def test_keys_begin_at_multiples_of_64_bytes(self):
        for dtype in ("f32", "f16", "bf16"):
            with tempfile.TemporaryDirectory() as folder:
                self.path = pathlib.Path(folder) / "store"
                for facts in self.create(dtype)["segments"]:
                    content = (self.path / facts["file"]).read_bytes()
                    length = int.from_bytes(content[:8], "little")
                    header = json.loads(content[8 : 8 + length])
                    self.assertEqual((8 + length + header["keys"]["data_offsets"][0]) % 64, 0)

    def test_checksums_are_as_described(self):
        manifest = self.create("f16")
        text = (self.path / "manifest.json").read_bytes()
        self.assertEqual(xxh64(text[: text.rindex(b',\n"checksum":"')]), manifest["checksum"])
        for facts in (*manifest["segments"], manifest["removed"]):
            content = (self.path / facts["file"]).read_bytes()
            self.assertEqual(len(content), facts["bytes"])
            self.assertEqual(xxh64(content), facts["checksum"])

    def write_manifest(self, manifest):
        del manifest["checksum"]
        body = json.dumps(manifest)[:-1]
        text = body + ',\n"checksum":"' + xxh64(body.encode()) + '"}\n'
        (self.path / "manifest.json").write_text(text)

    def test_a_store_written_by_python_opens(self):
        manifest = self.create("f32")
        for facts in manifest["segments"]:
            file = self.path / facts["file"]
            safetensors.numpy.save_file(safetensors.numpy.load_file(file), file, metadata={"by": "python"})
            content = file.read_bytes()
            facts.update(bytes=len(content), checksum=xxh64(content))
        self.write_manifest(manifest)
        checked = run("check", self.path, "f32")
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_a_wrong_checksum_does_not(self):
        manifest = self.create("f32")
        manifest["segments"][0]["checksum"] = "0" * 16
        self.write_manifest(manifest)
        checked = run("check", self.path, "f32")
        self.assertNotEqual(checked.returncode, 0)
        self.assertIn("segment-000001.safetensors: checksum", checked.stderr)


result = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromTestCase(Segments))
failed = len(result.failures) + len(result.errors)
print(f"{result.testsRun - failed} passed, {failed} failed")
sys.exit(failed != 0)
