"""rtd_ctypes.py, which the example with torch uses, on a CUDA binary with the emulated device in it: device pointers are the host's there.

    ctypes_test.py FOLDER_OF_EXAMPLES LIBRTD STAND_IN PROBE
"""

import ctypes
import math
import os
import sys
import tempfile
import unittest

EXAMPLES, LIBRARY, STAND_IN, PROBE = sys.argv[1:5]
sys.path.insert(0, EXAMPLES)
import rtd_ctypes as rtd  # noqa: E402

DIM, VOCABULARY = 8, 20


def floats(rows):
    return (ctypes.c_float * sum(map(len, rows)))(*(x for row in rows for x in row))


def matrix(memory, columns):
    made = rtd.Matrix(ctypes.addressof(memory), len(memory) // columns, columns, 0, rtd.F32)
    made.memory = memory  # an address alone keeps nothing alive
    return made


class Plans(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = rtd.Library(LIBRARY)

    def setUp(self):
        self.keys = [[float(i == j) for j in range(DIM)] for i in range(4)]
        self.index = rtd.Index(self.library, DIM)
        self.index.add(matrix(floats(self.keys), DIM), [3, 5, 7, 9])

    def tearDown(self):
        self.index.close()

    def test_a_plan_moves_each_row_towards_what_followed_its_nearest_key(self):
        plan = rtd.Plan(self.index, max_rows=4, max_k=1, vocabulary=VOCABULARY)
        plan.set_rows(k=1, reference_weight=0.5, temperature=1.0)
        queries, logits = floats([self.keys[2], self.keys[0]]), floats([[0.0] * VOCABULARY] * 2)
        ids = (ctypes.c_uint32 * 2)()
        plan.enqueue(matrix(queries, DIM), matrix(logits, VOCABULARY), rtd.Hits(ids=ctypes.addressof(ids), capacity=1))
        plan.close()
        self.assertEqual(list(ids), [2, 0])
        for row, token in ((0, 7), (1, 3)):
            values = logits[row * VOCABULARY : (row + 1) * VOCABULARY]
            share = math.exp(values[token]) / sum(map(math.exp, values))
            self.assertAlmostEqual(share, 0.5 / VOCABULARY + 0.5, places=6)
            self.assertEqual([v for t, v in enumerate(values) if t != token], [0.0] * (VOCABULARY - 1))

    def test_options_have_the_layout_of_the_header(self):
        plan = rtd.Plan(self.index, max_rows=1, max_k=4, vocabulary=VOCABULARY)
        spaces = (ctypes.c_uint32 * 1)(1)  # nothing is in it
        plan.set_rows(k=4, reference_weight=1.0, temperature=1.0, namespaces=spaces, namespace_count=1)
        logits, counts = floats([[0.0] * VOCABULARY]), (ctypes.c_uint32 * 1)(9)
        plan.enqueue(matrix(floats(self.keys[:1]), DIM), matrix(logits, VOCABULARY), rtd.Hits(counts=ctypes.addressof(counts)))
        plan.close()
        self.assertEqual((list(counts), list(logits)), ([0], [0.0] * VOCABULARY))

    def test_errors_say_what_was_wrong(self):
        with self.assertRaisesRegex(rtd.RtdError, "max_rows is 65; give 1..64"):
            rtd.Plan(self.index, max_rows=65, max_k=1, vocabulary=VOCABULARY)
        with self.assertRaisesRegex(rtd.RtdError, "the emulated device has none"):
            rtd.Plan(self.index, max_rows=1, max_k=1, vocabulary=VOCABULARY, stream=64)

    def test_the_example_with_torch_is_python(self):
        with open(os.path.join(EXAMPLES, "decoder_step.py")) as source:
            compile(source.read(), source.name, "exec")


with tempfile.TemporaryDirectory() as folder:
    os.symlink(STAND_IN, os.path.join(folder, "module.so"))
    os.symlink(PROBE, os.path.join(folder, "rtd-cuda-probe"))
    os.environ["RTD_CUDA_LIBRARY"] = os.path.join(folder, "module.so")
    result = unittest.main(argv=sys.argv[:1], exit=False).result
failed = len(result.failures) + len(result.errors)
print(f"{result.testsRun - failed} passed, {failed} failed")
sys.exit(failed != 0)
