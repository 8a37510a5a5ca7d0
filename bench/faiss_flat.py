"""FAISS's exact float32 search (IndexFlatL2) on a datastore's keys, with the split and the queries of cascade.ts, to be read beside its table.

    python3 -m venv build/faiss && build/faiss/bin/pip install faiss-cpu safetensors numpy
    build/faiss/bin/python bench/faiss_flat.py STORE
"""

import json
import statistics
import sys
import time
from pathlib import Path

import faiss
import numpy as np
from safetensors.numpy import load_file

QUERIES, ROUNDS = 1024, 15

store = Path(sys.argv[1])
segments = json.loads((store / "manifest.json").read_text())["segments"]
rows = np.concatenate([load_file(store / segment["file"])["keys"].astype(np.float32) for segment in segments])
keys, queries = np.ascontiguousarray(rows[:-QUERIES]), rows[-QUERIES:]
print(f"FAISS {faiss.__version__}, {len(keys)} keys of {keys.shape[1]} float32, median of {ROUNDS}")
index = faiss.IndexFlatL2(keys.shape[1])
index.add(keys)
for threads in (1, 2):
    faiss.omp_set_num_threads(threads)
    for k in (64, 1024):
        for batch in (1, 16, 64):
            times = []
            for turn in range(-2, ROUNDS):
                first = (turn + 2) * batch * 7 % (QUERIES - batch + 1)
                asked = np.ascontiguousarray(queries[first : first + batch])
                begin = time.perf_counter()
                index.search(asked, k)
                if turn >= 0:
                    times.append((time.perf_counter() - begin) * 1000)
            print(f"  {threads} thread{'s' if threads > 1 else ''}  k {k:4}  B {batch:2}  {statistics.median(times):.2f} ms")
