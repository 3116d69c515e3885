"""Makes engine/tests/fixtures/imatrix: what llama.cpp quantises with an importance matrix, for every type.

Run in the environment of scripts/test-peers, with the path of the `export` binary.
"""

import ctypes
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

FIXTURES = pathlib.Path(__file__).parent.parent / "engine/tests/fixtures"
OUT = FIXTURES / "imatrix"
CASES = {"gemma3-micro": OUT, "families/gemma4-moe": OUT / "experts"}
# numbers of llama_ftype
TYPES = dict(q4_0=2, q4_1=3, q5_0=8, q5_1=9, q2_k=10, q3_k_s=11, q3_k_m=12, q3_k_l=13, q4_k_s=14, q4_k_m=15,
             q5_k_s=16, q5_k_m=17, q6_k=18, iq4_nl=25, iq4_xs=30)


def write_dat(path, entries):
    with open(path, "wb") as file:
        file.write(struct.pack("<i", len(entries)))
        for name, values in entries.items():
            file.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, values.size))
            file.write(values.tobytes())
        file.write(struct.pack("<ii", 5, 4) + b"wiki")


def write_gguf(path, entries):
    out = gguf.GGUFWriter(path, "imatrix")
    out.add_type("imatrix")
    out.add_array("imatrix.datasets", ["wiki"])
    out.add_uint32("imatrix.chunk_count", 5)
    out.add_uint32("imatrix.chunk_size", 512)
    for name, values in entries.items():
        out.add_tensor(name + ".in_sum2", values * 4)
        out.add_tensor(name + ".counts", np.full((len(values), 1), 4.0, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def quantise(source, target, kind, entries):
    entry = llama_cpp.llama_cpp.llama_model_imatrix_data
    pointer = ctypes.POINTER(ctypes.c_float)
    rows = [entry(n.encode(), v.ctypes.data_as(pointer), v.size) for n, v in entries.items()]
    table = (entry * (len(rows) + 1))(*rows, entry(None, None, 0))
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.nthread = kind, 2
    options.imatrix = ctypes.cast(table, ctypes.POINTER(entry))
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)) == 0
    read = gguf.GGUFReader(target)
    return {t.name: {"type": t.tensor_type.name, "sha256": hashlib.sha256(t.data.tobytes()).hexdigest()}
            for t in read.tensors}


def importances(tensor, random):
    """Of each column, for each expert."""
    columns, _, *experts = (int(n) for n in tensor.shape)
    return random.gamma(0.5, 2.0, (*experts, columns) if experts else (1, columns)).astype(np.float32)


def make(program, case, out):
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "bf16.gguf"
        adapter = ["--adapter", case / "adapter"] if (case / "adapter").exists() else []
        subprocess.run([program, "gguf", "--base", case / "base", *adapter, "--quant", "bf16", "--out", source],
                       check=True)
        random = np.random.default_rng(3)
        entries = {t.name: importances(t, random)
                   for t in gguf.GGUFReader(source).tensors if len(t.shape) > 1 and t.name != "token_embd.weight"}
        write_dat(out / "imatrix.dat", entries)
        write_gguf(out / "imatrix.gguf", entries)
        target = pathlib.Path(folder) / "out.gguf"
        expected = {name: quantise(source, target, kind, entries) for name, kind in TYPES.items()}
        (out / "quantised.json").write_text(json.dumps(expected, indent=1) + "\n")


def main(program):
    for case, out in CASES.items():
        make(program, FIXTURES / case, out)


if __name__ == "__main__":
    main(sys.argv[1])
