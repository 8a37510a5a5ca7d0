"""Compiles every kernel for every architecture of its family and checks what the compiler made of it.

    check_kernels.py NVCC_ROOT OUT [sm ...]      NVCC_ROOT holds bin/nvcc; without sm: all

Fails on a warning, a spill, more registers than the budget, or a scan loop that fences, or lacks 128-bit asynchronous copies or 128-bit (16-bit keys:
64-bit) loads from shared memory. Counts are those of the scan loop. Prints one line a kernel and a last line "N passed, N failed".
"""
import os
import re
import subprocess
import sys

FAMILIES = {"large": [80, 87, 90, 100, 103], "medium": [86, 89, 120, 121], "small": [75]}
REGISTERS = {1: 128, 4: 255, 16: 255}  # queries a pass: what the launch bounds leave two blocks, or one, an SM
NAME = re.compile(r"6ConfigI(f|NS\d*_4HalfE|NS\d*_5BrainE)Lb([01])ELi(\d+)ELi\d+ELi(\d+)ELi\d+E")
COUNTED = ["LDGSTS", "LDS.128", "LDS.64", "LDG.E.128", "FADD", "FFMA", "BAR.SYNC", "MEMBAR"]


def name_of(mangled):
    key, dot, queries, stages = NAME.search(mangled).groups()
    key = "f32" if key == "f" else "f16" if "Half" in key else "bf16"
    return key, int(queries), f"{key:4} {'dot' if dot == '1' else 'l2 '} Q={queries:2} stages={stages}"


def compile_family(root, out, family, sm):
    source, cubin = os.path.dirname(os.path.abspath(__file__)), os.path.join(out, f"{family}-sm_{sm}.cubin")
    command = [f"{root}/bin/nvcc", "-std=c++20", "-O3", f"-arch=sm_{sm}", f"-I{source}", f"-I{source}/../cpp", "-Werror", "all-warnings"]
    compiled = subprocess.run([*command, "-Xptxas", "-v", "-cubin", "-o", cubin, f"{source}/search_fuse_{family}.cu"], capture_output=True, text=True)
    if compiled.returncode != 0:
        print(compiled.stdout + compiled.stderr)
        return None
    sass = subprocess.run([f"{root}/bin/cuobjdump", "-sass", cubin], capture_output=True, text=True, check=True)
    return compiled.stderr, sass.stdout


def usage_of(log):
    usage, kernel, spilled = {}, None, 0
    for line in log.splitlines():
        if found := re.search(r"Compiling entry function '(\S+)'", line):
            kernel = found[1]
        elif found := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilled = int(found[1]) + int(found[2])
        elif found := re.search(r"Used (\d+) registers", line):
            usage[kernel] = (int(found[1]), spilled)
    return usage


def scan_loop(lines):
    """Of (address, instruction) pairs those of the scan loop: the shortest way back that holds copies, a barrier and arithmetic."""
    best = None
    for address, text in lines:
        target = re.match(r"(?:@!?U?P\w+ )?\s*BRA(?:\.\w+)*.*?(0x[0-9a-f]+)", text)
        if not target or int(target[1], 16) >= address:
            continue
        body = [t for at, t in lines if int(target[1], 16) <= at <= address]
        has = [any(word in t for t in body) for word in ("BAR.SYNC", "FFMA")] + [any("LDGSTS" in t or "LDG.E.128" in t for t in body)]
        if all(has) and (best is None or len(body) < len(best)):
            best = body
    return best or []


def instructions_of(sass):
    """For each kernel: counts in its scan loop, and of local memory anywhere."""
    kernels, kernel = {}, None
    for line in sass.splitlines():
        if found := re.search(r"Function : (\S+)", line):
            kernel = kernels.setdefault(found[1], [])
        elif found := re.search(r"^\s+/\*([0-9a-f]{4,5})\*/\s+(.*?);", line):
            kernel.append((int(found[1], 16), found[2]))
    counts = {}
    for kernel, lines in kernels.items():
        loop = scan_loop(lines)
        counts[kernel] = {word: sum(word in text.replace("LDS.U.", "LDS.") for text in loop) for word in COUNTED}  # sm_75 writes LDS.U.128
        counts[kernel]["all"] = len(loop)
        counts[kernel]["local"] = sum("LDL" in text or "STL" in text for _, text in lines)
    return counts


def faults_of(key, queries, sm, registers, spilled, count):
    if count["all"] == 0:
        yield "no scan loop found"
    if spilled or count["local"]:
        yield f"{spilled} bytes spilled"
    if registers > REGISTERS[queries]:
        yield f"{registers} registers, budget {REGISTERS[queries]}"
    if count["MEMBAR"]:
        yield "a fence"
    if sm >= 80 and count["LDGSTS"] == 0:
        yield "no asynchronous copies"
    if sm < 80 and count["LDG.E.128"] == 0:
        yield "no 128-bit loads"
    if count["LDS.128"] == 0 or (key != "f32" and count["LDS.64"] == 0):
        yield "narrow loads from shared memory"


def main():
    root, out, wanted = sys.argv[1], sys.argv[2], [int(sm) for sm in sys.argv[3:]]
    os.makedirs(out, exist_ok=True)
    passed = failed = 0
    for family, architectures in FAMILIES.items():
        for sm in architectures:
            if wanted and sm not in wanted:
                continue
            compiled = compile_family(root, out, family, sm)
            if compiled is None:
                failed += 1
                continue
            counts = instructions_of(compiled[1])
            for kernel, (registers, spilled) in usage_of(compiled[0]).items():
                key, queries, name = name_of(kernel)
                faults = list(faults_of(key, queries, sm, registers, spilled, counts[kernel]))
                seen = " ".join(f"{k} {v}" for k, v in counts[kernel].items() if v)
                print(f"sm_{sm:<3} {name}: {registers} registers; {seen}{'  FAILED: ' + ', '.join(faults) if faults else ''}")
                passed, failed = passed + (not faults), failed + bool(faults)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
