"""Merges an adapter into its base the usual way: peft_merge.py BASE ADAPTER OUT"""

import pathlib
import shutil
import sys

import peft
import transformers

base, adapter, out = map(pathlib.Path, sys.argv[1:])
model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="auto")
peft.PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
for file in ("tokenizer.model", "tokenizer_config.json"):
    shutil.copy(base / file, out)
