"""torch, cuVS and FAISS on the calls that bench_gpu measured, on the same device: python3 peers.py RESULTS.json

What share of the true neighbours (by float64 distances) a peer finds is printed with its time: those that compute in float16 lose some. Times are
medians by CUDA events after the L2 cache was swept. A peer that is not installed is named and left out. Peers only search, so the merge with the
logits, which our times include, is theirs for nothing.
"""

import json
import os
import sys

REPETITIONS = 15
CHECKED_ROWS = 2


def median_ms(torch, sweep, work):
    times = []
    for repetition in range(-1, REPETITIONS):
        sweep.fill_(repetition & 255)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        if repetition >= 0:
            times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def torch_cdist(torch, keys):
    return lambda queries, k: torch.cdist(queries.to(keys.dtype), keys).topk(k, largest=False).indices


def torch_product(torch, keys):
    """Norms once, and a matrix product a call: what one would write by hand."""
    norms = torch.cat([block.float().square().sum(dim=1) for block in keys.split(1 << 16)]).to(keys.dtype)
    return lambda queries, k: torch.addmm(norms, queries.to(keys.dtype), keys.T, alpha=-2).topk(k, largest=False).indices


def cuvs_brute_force(torch, keys):
    from cuvs.common import Resources
    from cuvs.neighbors import brute_force

    data = keys.float() if keys.dtype == torch.bfloat16 else keys  # bfloat16 it does not take; the index does not keep it alive
    resources = Resources(stream=torch.cuda.current_stream().cuda_stream)  # without, every call makes its own and waits for the device
    index = brute_force.build(data, metric="sqeuclidean", resources=resources)
    room = {}

    def search(queries, k):
        shape = (len(queries), k)
        if shape not in room:
            room[shape] = [torch.empty(shape, dtype=dtype, device="cuda") for dtype in (torch.int64, torch.float32)]
        ids, distances = room[shape]
        brute_force.search(index, queries.to(data.dtype), k, neighbors=ids, distances=distances, resources=resources)
        return ids

    search.data = data
    return search


def faiss_flat(torch, keys):
    import faiss
    import faiss.contrib.torch_utils  # tensors in place of arrays, on torch's stream

    if not hasattr(faiss, "StandardGpuResources"):
        raise ImportError("this faiss was built without GPUs")
    resources = faiss.StandardGpuResources()
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = keys.dtype != torch.float32
    config.device = torch.cuda.current_device()
    index = faiss.GpuIndexFlatL2(resources, keys.shape[1], config)
    for block in keys.split(1 << 16):
        index.add(block.float())

    def search(queries, k):
        return index.search(queries, k)[1]

    search.resources = resources  # which the index uses and does not keep
    return search


PEERS = {"torch cdist": torch_cdist, "torch product": torch_product, "cuVS": cuvs_brute_force, "FAISS": faiss_flat}


def share_found(torch, keys, queries, ids, k):
    rows = queries[:CHECKED_ROWS]
    distances = torch.cat([torch.cdist(rows.double(), block.double()) for block in keys.split(1 << 16)], dim=1)
    true = distances.topk(k, largest=False).indices
    return sum(len(set(a.tolist()) & set(b.tolist())) for a, b in zip(true, ids[:CHECKED_ROWS])) / true.numel()


def measure(torch, points):
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    sweep = torch.empty(4 * getattr(properties, "L2_cache_size", 64 << 20), dtype=torch.uint8, device="cuda")
    dtypes = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    series, searches, missing = None, {}, {}
    for point in points:
        if series != (point["entries"], point["dim"], point["dtype"]):
            series, searches = (point["entries"], point["dim"], point["dtype"]), {}
            torch.cuda.empty_cache()
            keys = torch.empty(point["entries"], point["dim"], dtype=dtypes[point["dtype"]], device="cuda").uniform_(-1, 1)
            for name, build in PEERS.items():
                try:
                    searches[name] = build(torch, keys)
                except Exception as error:  # not installed, or for another CUDA
                    missing[name] = error
        queries = torch.empty(point["batch"], point["dim"], device="cuda").uniform_(-1, 1)
        said = []
        for name, search in searches.items():
            try:
                found = share_found(torch, keys, queries, search(queries, point["k"]), point["k"])
                time = median_ms(torch, sweep, lambda: search(queries, point["k"]))
                said.append(f"{name} {time / point['coldMs']:.2f} ({time:.3f} ms, {found:.1%} of the neighbours)")
            except Exception as error:  # out of memory, k too large, a dtype it does not take: its own limit, not ours
                said.append(f"{name} cannot ({(str(error) or repr(error)).splitlines()[0][:60]})")
        what = f"{point['entries']:8} x {point['dim']:5} {point['dtype']:4}  B {point['batch']:2}  k {point['k']:4}"
        print(f"{what}   ours {point['coldMs']:.3f} ms   " + "   ".join(said), flush=True)
    for name, error in missing.items():
        print(f"{name}: left out ({error})")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        points = json.load(file)
    try:
        import torch
    except ImportError:
        print("no torch here: there is nothing to compare with")
        return
    if not torch.cuda.is_available():
        sys.exit("peers.py: torch finds no CUDA device")
    torch.cuda.set_device(int(os.environ.get("RTD_CUDA_DEVICE", "0")))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; ratios are the peer's time over ours, cold; cuVS has bfloat16 as float32")
    with torch.cuda.stream(torch.cuda.Stream()), torch.inference_mode():
        measure(torch, points)


main()
