"""Loads models by name with transformers and PEFT: predict.py BASE ADAPTER_FOLDER REPO…, the Hub in HF_ENDPOINT, the token in
HF_TOKEN.

Prints JSON: for each repository the largest difference of its logits from those of base and adapter, as PEFT applies them (in
float32) and as PEFT merges them (in the base's type), and the least effect that the adapter has on the base's.
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

base_name, adapter_folder, *repos = sys.argv[1:]
tokens = torch.tensor([[2, 7, 11, 3, 29, 5, 17, 8, 23, 41]])


def load(name, dtype):
    return AutoModelForCausalLM.from_pretrained(name, dtype=dtype).eval()


def logits(model):
    with torch.no_grad():
        return model(tokens).logits.float()


def difference(first, second):
    return (first - second).abs().max().item()


def with_adapter(dtype):
    return PeftModel.from_pretrained(load(base_name, dtype), adapter_folder).eval()


applied = logits(with_adapter(torch.float32))
merged = logits(with_adapter("auto").merge_and_unload())
found = {
    repo: {
        "applied": difference(logits(load(repo, torch.float32)), applied),
        "merged": difference(logits(load(repo, "auto")), merged),
    }
    for repo in repos
}
base = logits(load(base_name, torch.float32))
effect = min(difference(applied, base), difference(merged, base))
print(json.dumps({"effect": effect, "repos": found}))
