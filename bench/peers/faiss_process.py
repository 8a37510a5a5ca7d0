"""FAISS beside the benchmark suite: a process that answers requests, a line of JSON each, and times its own searches.

    {"load": {"n": , "d": , "m": , "metric": "l2sq" | "dot", "ivf": true | false}}   then n + m rows of float32 follow: keys, then queries
    {"search": {"first": , "batch": , "k": , "threads": }}                           queries [first, first + batch)

Answers are {"version": } at the beginning, {"loaded": n}, and {"ms": , "ids": [batch x k]}.
"""

import json
import sys
import time

import faiss
import numpy as np

BLOCK = 65536  # rows that are taken at a time, so that keys lie in memory once


def read_rows(count: int, d: int) -> np.ndarray:
    data = sys.stdin.buffer.read(count * d * 4)
    return np.frombuffer(data, dtype=np.float32).reshape(count, d)


def load(n: int, d: int, m: int, metric: str, ivf: bool) -> tuple[faiss.Index, np.ndarray]:
    kind = faiss.METRIC_INNER_PRODUCT if metric == "dot" else faiss.METRIC_L2
    if ivf:
        lists = max(1, int(n**0.5))
        index = faiss.IndexIVFFlat(faiss.IndexFlat(d, kind), d, lists, kind)
        index.nprobe = 16
        keys = read_rows(n, d)
        index.train(keys[:: max(1, n // (40 * lists))])
        index.add(keys)
    else:
        index = faiss.IndexFlat(d, kind)
        for begin in range(0, n, BLOCK):
            index.add(read_rows(min(BLOCK, n - begin), d))
    return index, read_rows(m, d)


def answer(**values: object) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    answer(version=faiss.__version__)
    index = queries = None
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        if "load" in request:
            index, queries = load(**request["load"])
            answer(loaded=index.ntotal)
            continue
        wanted = request["search"]
        faiss.omp_set_num_threads(wanted["threads"])
        asked = np.ascontiguousarray(queries[wanted["first"] : wanted["first"] + wanted["batch"]])
        begin = time.perf_counter()
        _, ids = index.search(asked, wanted["k"])
        milliseconds = (time.perf_counter() - begin) * 1000
        answer(ms=milliseconds, ids=ids.ravel().tolist())


main()
