"""Writes GGUF version 3 files: header, key-value pairs, tensor table, aligned tensor data. Little endian.

Layout after the public description of the format (ggml, docs/gguf.md):
  "GGUF" u32 version=3 u64 tensor_count u64 pair_count
  pair:    string key, u32 type, value          string: u64 length + UTF-8 bytes
  array:   u32 element type, u64 count, elements
  tensor:  string name, u32 dimensions, u64 each (fastest first), u32 type, u64 offset from the data's start
"""
import struct

import numpy

ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_F32, TENSOR_F16 = 0, 1
SCALAR_FORMAT = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}


def string_bytes(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(value_type, value):
    return string_bytes(value) if value_type == STRING else struct.pack(SCALAR_FORMAT[value_type], value)


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


class GgufWriter:
    def __init__(self):
        self.pairs = []
        self.tensors = []

    def add(self, key, value_type, value):
        self.pairs.append(string_bytes(key) + struct.pack("<I", value_type) + value_bytes(value_type, value))

    def add_array(self, key, element_type, values):
        head = struct.pack("<IIQ", ARRAY, element_type, len(values))
        self.pairs.append(string_bytes(key) + head + b"".join(value_bytes(element_type, value) for value in values))

    def add_tensor(self, name, array):
        """Matrices become 16-bit floats, vectors (norm weights) stay 32-bit, as llama.cpp wants them."""
        tensor_type, dtype = (TENSOR_F16, numpy.float16) if array.ndim == 2 else (TENSOR_F32, numpy.float32)
        data = numpy.ascontiguousarray(array.astype(dtype)).tobytes()
        self.tensors.append((name, array.shape[::-1], tensor_type, data))

    def write(self, path):
        table, blobs, offset = [], [], 0
        for name, dimensions, tensor_type, data in self.tensors:
            table.append(string_bytes(name) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
            table.append(struct.pack("<IQ", tensor_type, offset))
            blobs.append(data + padding(len(data)))
            offset += len(blobs[-1])
        counts = struct.pack("<IQQ", 3, len(self.tensors), len(self.pairs))
        head = b"GGUF" + counts + b"".join(self.pairs) + b"".join(table)
        with open(path, "wb") as file:
            file.write(head + padding(len(head)) + b"".join(blobs))
