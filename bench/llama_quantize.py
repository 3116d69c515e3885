"""llama-quantize, by way of llama.cpp's Python package: llama_quantize.py BF16.gguf OUT.gguf THREADS"""

import sys

import llama_cpp

source, out, threads = sys.argv[1:]
options = llama_cpp.llama_model_quantize_default_params()
options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
options.nthread = int(threads)
sys.exit(llama_cpp.llama_model_quantize(source.encode(), out.encode(), options))
