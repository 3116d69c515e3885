"""Compares config_fields.json of the engine with the configuration classes of transformers and PEFT.

    .venv-peers/bin/python -m tools.compat.config_fields [--write]

The file of `gemma` has, for each class, the models whose configuration it is (classes, and values of `model_type`), the
classes of its sections, and the types of its fields. `other` has fields that transformers reads without declaring them,
that earlier versions wrote, or that have another type there; none changes what a model computes, or the engine reads it.
The file of `peft` has the fields of LoraConfig. With `--write`, everything but `models` and `other` is taken from
transformers and PEFT.
"""

import argparse
import dataclasses
import json
import sys
import types
import typing

import peft
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tools.common import ROOT, Results

FILE = ROOT / "engine/src/gemma/config_fields.json"
PEFT_FILE = ROOT / "engine/src/peft/config_fields.json"
BASE = "PreTrainedConfig"
# of deepseek-ai's DeepSpec, not of transformers
FOREIGN = {"Gemma4DSparkConfig"}
JSON_TYPES = {bool: "bool", int: "number", float: "number", str: "string", list: "list", tuple: "list", dict: "object"}
ORDER = ["number", "bool", "string", "list", "object", "null"]


def json_types(annotation):
    """The JSON types of an annotation."""
    if annotation is None or annotation is type(None):
        return {"null"}
    if annotation is torch.dtype or annotation is typing.Any:
        return set()
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(json_types, typing.get_args(annotation)))
    if origin is typing.Literal:
        return {JSON_TYPES[type(value)] for value in typing.get_args(annotation)}
    if origin is typing.Annotated:
        return json_types(typing.get_args(annotation)[0])
    kind = origin or annotation
    if kind in JSON_TYPES:
        return {JSON_TYPES[kind]}
    # a nested configuration, or a typed dictionary
    return {"object"}


def fields_of(kind):
    hints = typing.get_type_hints(kind, localns={"torch": torch})
    inherited = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}
    own = [f.name for f in dataclasses.fields(kind) if kind is transformers.PreTrainedConfig or f.name not in inherited]
    return {name: "|".join(sorted(json_types(hints[name]), key=ORDER.index)) for name in sorted(own)}


def sections_of(kind):
    """The class of each section."""
    sections = {}
    for name, spec in kind.sub_configs_defaults.items():
        chosen = spec.config_class
        if not issubclass(chosen, transformers.PreTrainedConfig):
            chosen = CONFIG_MAPPING[spec.model_type]
        sections[name] = chosen.__name__
    return sections


def class_of(name):
    """transformers' class of this name."""
    module = transformers if hasattr(transformers, name) else transformers.configuration_utils
    return getattr(module, name)


def config_class(model):
    """The name of a model's configuration class, by its own class or its `model_type`."""
    kind = getattr(transformers, model, None)
    return (kind.config_class if kind else CONFIG_MAPPING[model]).__name__


def compare(results, name, entry):
    kind = class_of(name)
    results.compared(f"{name} models", [m for m in entry["models"] if config_class(m) != name])
    for part, theirs in (("sections", sections_of(kind)), ("fields", fields_of(kind))):
        ours = entry[part]
        both = sorted(ours.items() ^ theirs.items())
        results.compared(f"{name} {part}", [f"{key}: {value}" for key, value in both])
    same = [field for field, types in entry["other"].items() if entry["fields"].get(field) == types]
    results.compared(f"{name} other fields", [f"{field} is a field of the class" for field in same])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the file")
    args = parser.parse_args()
    classes, results = json.loads(FILE.read_text()), Results()
    adapter, lora = json.loads(PEFT_FILE.read_text()), sorted(f.name for f in dataclasses.fields(peft.LoraConfig))
    for name, entry in classes.items():
        if name in FOREIGN:
            continue
        if args.write:
            entry |= {"sections": sections_of(class_of(name)), "fields": fields_of(class_of(name))}
        else:
            compare(results, name, entry)
    if args.write:
        FILE.write_text(json.dumps(classes, indent=2) + "\n")
        PEFT_FILE.write_text(json.dumps(adapter | {"fields": lora}, indent=2) + "\n")
        return 0
    results.compared("LoraConfig fields", sorted({*lora} ^ {*adapter["fields"]}))
    results.compared("LoraConfig other fields", sorted({*lora} & {*adapter["other"]}))
    return results.finish()


if __name__ == "__main__":
    sys.exit(main())
