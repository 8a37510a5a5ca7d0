"""The part of rtd.h that a decoder on a GPU needs, over ctypes. Nothing but the standard library; decoder_step.py uses it with torch.

Pointers are those of the index's device: tensor.data_ptr() on a CUDA index. Errors of the library are raised as RtdError.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_void_p

ABI_VERSION = 1
F32, F16 = 0, 1


class Matrix(Structure):
    """rtd_matrix and rtd_mutable_matrix: rows x columns numbers, row_stride elements apart (0: columns)."""

    _fields_ = [("data", c_void_p), ("rows", c_size_t), ("columns", c_size_t), ("row_stride", c_size_t), ("dtype", c_uint32)]


class Hits(Structure):
    """rtd_hits: room for `capacity` hits a row; any pointer may be None."""

    _fields_ = [("ids", c_void_p), ("distances", c_void_p), ("tokens", c_void_p), ("counts", c_void_p), ("capacity", c_uint32)]


class Options(Structure):
    """A struct that begins with its own size; what is not given is zero, the default."""

    def __init__(self, **values):
        super().__init__(struct_size=ctypes.sizeof(self), **values)


class IndexOptions(Options):
    _fields_ = [
        ("struct_size", c_uint32),
        ("dim", c_uint32),
        ("metric", c_uint32),
        ("dtype", c_uint32),
        ("heads", c_uint32),
        ("backend", c_char_p),
        ("threads", c_uint32),
    ]


class RowOptions(Options):
    _fields_ = [
        ("struct_size", c_uint32),
        ("k", c_uint32),
        ("reference_weight", c_float),
        ("temperature", c_float),
        ("max_distance", c_float),
        ("flags", c_uint32),
        ("namespaces", POINTER(c_uint32)),
        ("namespace_count", c_uint32),
        ("reserved", c_uint32),
        ("seeds", POINTER(c_uint32)),
        ("seed_count", c_size_t),
    ]


class PlanOptions(Options):
    _fields_ = [
        ("struct_size", c_uint32),
        ("max_rows", c_uint32),
        ("max_k", c_uint32),
        ("vocabulary", c_uint32),
        ("stream", c_void_p),
    ]


class RtdError(Exception):
    """What a call returned unless that was RTD_OK: its status, and a message that says what to do."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Library:
    """librtd, loaded."""

    def __init__(self, path="librtd.so"):
        self.c = ctypes.CDLL(path)
        self.c.rtd_last_error.restype = c_char_p
        self.c.rtd_index_release.argtypes = self.c.rtd_plan_release.argtypes = [c_void_p]
        self.c.rtd_index_release.restype = self.c.rtd_plan_release.restype = None
        version = self.c.rtd_abi_version()
        if version != ABI_VERSION:
            raise RuntimeError(f"{path} has ABI version {version}; these structs are those of {ABI_VERSION}")

    def call(self, name, *arguments):
        status = getattr(self.c, name)(*arguments)
        if status != 0:
            raise RtdError(status, self.c.rtd_last_error().decode())


class Index:
    """Keys [n, dim] and the tokens that followed them."""

    def __init__(self, library, dim, backend="cuda"):
        self.library, self.handle = library, c_void_p()
        library.call("rtd_index_create", byref(IndexOptions(dim=dim, backend=backend.encode())), byref(self.handle))

    def add(self, keys, tokens):
        """keys: Matrix of the host, in any dtype; tokens: a list of as many integers."""
        self.library.call("rtd_index_add", self.handle, byref(keys), (c_int32 * len(tokens))(*tokens), None, None)

    def close(self):
        self.library.c.rtd_index_release(self.handle)
        self.handle = c_void_p()


class Plan:
    """Launches on one stream (torch.cuda.Stream.cuda_stream; 0: the default stream), one after the other."""

    def __init__(self, index, max_rows, max_k, vocabulary, stream=0):
        self.library, self.handle = index.library, c_void_p()
        options = PlanOptions(max_rows=max_rows, max_k=max_k, vocabulary=vocabulary, stream=stream)
        self.library.call("rtd_plan_create", index.handle, byref(options), byref(self.handle))

    def set_rows(self, **options):
        """Options of all rows: k, reference_weight, temperature, ..."""
        self.library.call("rtd_plan_set_rows", self.handle, byref(RowOptions(**options)), c_size_t(1))

    def refresh(self):
        """Shows the plan what was added to or removed from its index."""
        self.library.call("rtd_plan_refresh", self.handle)

    def enqueue(self, queries, logits=None, hits=None, statuses=None):
        """Searches for queries [B, dim] and rewrites logits [B, V], when the stream gets there. Keep the memory until then."""
        reference = [None if struct is None else byref(struct) for struct in (queries, logits, hits)]
        self.library.call("rtd_plan_enqueue", self.handle, *reference, c_void_p(statuses))

    def close(self):
        self.library.c.rtd_plan_release(self.handle)
        self.handle = c_void_p()
