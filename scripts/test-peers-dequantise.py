"""Makes engine/tests/fixtures/dequantised.json: random blocks of each type, and what gguf-py says they stand for.

    .venv-peers/bin/python scripts/test-peers-dequantise.py > engine/tests/fixtures/dequantised.json
"""

import hashlib
import json

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# where the f16 scales lie in a block; random bytes there could be no numbers
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
BLOCKS = 5

random = numpy.random.default_rng(7)
cases = {}
for name, places in SCALES.items():
    kind = GGMLQuantizationType[name]
    _, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (BLOCKS, size), dtype=numpy.uint8)
    for place in places:
        scales = random.normal(0, 0.01, BLOCKS).astype(numpy.float16)
        blocks[:, place : place + 2] = scales.view(numpy.uint8).reshape(BLOCKS, 2)
    values = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
    cases[name] = {"bytes": blocks.tobytes().hex(), "sha256": hashlib.sha256(values.tobytes()).hexdigest()}
print(json.dumps(cases, indent=1))
