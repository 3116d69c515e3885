"""Changes of one field of `config.json` at a time, for every field of a configuration class of transformers."""

import copy

# a change that removes the field: the value is then that of the class
ABSENT = object()

# other values of fields that a rule by type does not give
VALUES = {
    "vocab_size": [640, 800],
    "hidden_size": [96],
    "intermediate_size": [160],
    "num_hidden_layers": [5, 8],
    "num_attention_heads": [4],
    "num_key_value_heads": [2],
    "head_dim": [64],
    "global_head_dim": [32, 128],
    "num_global_key_value_heads": [2],
    "sliding_window": [4, 16, None],
    "max_position_embeddings": [64, 4096],
    "rms_norm_eps": [1e-5, 0.1],
    "query_pre_attn_scalar": [16, 64],
    "attn_logit_softcapping": [None, 2.0, 50.0],
    "final_logit_softcapping": [None, 2.0, 20.0],
    "hidden_activation": ["gelu", "silu", "gelu_new", "gelu_fast", "relu", None],
    "hidden_act": ["gelu", "silu", "gelu_new", "gelu_fast", "relu"],
    "use_bidirectional_attention": [True, False, None, "all", "vision"],
    "dtype": ["float16", "bfloat16"],
    "torch_dtype": ["float16"],
    "is_causal": [False, True],
    "vocab_size_per_layer_input": [700, 800],
    "hidden_size_per_layer_input": [64, 0, None],
    "num_kv_shared_layers": [0, 1, 3],
    "altup_num_inputs": [2],
    "altup_active_idx": [1],
    "altup_coef_clip": [0.05, None],
    "laurel_rank": [32],
    "num_experts": [8],
    "top_k_experts": [1],
    "moe_intermediate_size": [64],
    "chunk_size_feed_forward": [8],
    "problem_type": ["regression"],
    "id2label": [{"0": "one", "1": "other", "2": "third"}],
    "label2id": [{"one": 0}],
    "attention_bias": [True],
    "attention_dropout": [0.3],
    "architectures": [],
    "model_type": [],
    "transformers_version": ["4.50.0", ABSENT],
    "text_config": [],
    "vision_config": [],
    "audio_config": [],
    "layer_types": [],
    "rope_parameters": [],
    "per_layer_config": [],
}
# fields that transformers reads, but does not save or has from elsewhere
UNSAVED = {
    "is_causal": True,
    "torch_dtype": "float32",
    "attn_implementation": None,
    "sliding_window_pattern": 6,
    "_sliding_window_pattern": 6,
}
# of these the class has values for a model of billions of parameters
NEVER_ABSENT = {
    "vocab_size",
    "vocab_size_per_layer_input",
    "hidden_size",
    "intermediate_size",
    "architectures",
    "model_type",
}


# fields whose type does not matter: neither transformers nor the engine reads them
UNTYPED = {
    *("architectures", "model_type", "transformers_version", "id2label", "label2id", "problem_type"),
    *("attn_implementation", "_name_or_path", "output_attentions", "output_hidden_states", "dtype"),
}
# types that a class declares besides that of its default
ALSO = {
    "attention_dropout": [type(None)],
    "bos_token_id": [type(None)],
    "eos_token_id": [list, type(None)],
    "pad_token_id": [type(None)],
    "use_bidirectional_attention": [type(None)],
    "return_dict": [type(None)],
    "layer_types": [type(None)],
    "rope_parameters": [type(None)],
    "intermediate_size": [int, list],
    "activation_sparsity_pattern": [float, list, type(None)],
    "num_experts": [type(None)],
    "top_k_experts": [type(None)],
    "moe_intermediate_size": [type(None)],
}


def other_values(field, value):
    """Plausible values other than `value`."""
    if field in VALUES:
        return [other for other in VALUES[field] if other is ABSENT or other != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value / 2, value * 2]
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        return [[item / 2 for item in value], value[0]] if value else []
    return []


def set_field(config, field, value):
    changed = copy.deepcopy(config)
    if value is ABSENT:
        changed.pop(field, None)
    else:
        changed[field] = value
    return changed


def simple_changes(config):
    for field, value in (UNSAVED | config).items():
        for other in other_values(field, value):
            name = "absent" if other is ABSENT else repr(other)
            yield f"{field} {name}", (field,), set_field(config, field, other)
        if field in config and field not in NEVER_ABSENT and ABSENT not in VALUES.get(field, ()):
            yield f"{field} absent", (field,), set_field(config, field, ABSENT)


# a value of each type in JSON
TYPES = [None, True, 0, 1.5, "true", ["x"], {"x": 1}]


def type_changes(config):
    """Values of other types. A whole number for another number is not one: versions before 5 take it."""
    for field, value in (UNSAVED | config).items():
        if field in UNTYPED:
            continue
        kinds = {type(value), *map(type, VALUES.get(field, ())), *ALSO.get(field, ())}
        kinds |= {int, float} if kinds & {int, float} else set()
        for other in TYPES:
            if type(other) not in kinds and value is not None:
                yield f"{field} {other!r}, of another type", (field,), set_field(config, field, other)


# values that no model can have
INVALID = {
    "sliding_window": [0, None],
    "num_experts": [1, None],
    "top_k_experts": [0, 5, None],
    "moe_intermediate_size": [None],
    "pad_token_id": [768, -769],
}


def invalid_changes(config):
    for field, values in INVALID.items():
        # without experts a model has none of their fields
        if field in config and not ("experts" in field or field.startswith("moe_")) or config.get("enable_moe_block"):
            for value in values:
                yield f"{field} {value!r}, invalid", (field,), set_field(config, field, value)


def layer_type_changes(config):
    layers = config["num_hidden_layers"]
    window, full = "sliding_attention", "full_attention"
    lists = {
        "all sliding": [window] * layers,
        "all global": [full] * layers,
        "every second": [full if n % 2 else window for n in range(layers)],
        "first global": [full] + [window] * (layers - 1),
        "another kind": ["chunked_attention"] * layers,
        "too short": [window] * (layers - 1),
    }
    for name, types in lists.items():
        if types != config.get("layer_types"):
            yield f"layer_types {name}", ("layer_types",), set_field(config, "layer_types", types)
    for field in ("sliding_window_pattern", "_sliding_window_pattern"):
        for period in (1, 2, 3):
            changed = set_field(set_field(config, "layer_types", ABSENT), field, period)
            yield f"{field} {period}, layer_types absent", (field, "layer_types"), changed


SCALINGS = [
    {"rope_type": "linear", "factor": 8.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    {"rope_type": "longrope", "short_factor": [2.0] * 16, "long_factor": [4.0] * 16, "factor": 4.0},
    {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    {"rope_type": "proportional", "partial_rotary_factor": 0.5},
    {"rope_type": "default", "partial_rotary_factor": 0.5},
]


def rope_changes(config):
    """RoPE as transformers 5 saves it, and in the fields of before."""
    parameters, names = config["rope_parameters"], ("rope_", "RoPE", "rope ", "partial_rotary_factor")
    # a family with layer types has the parameters of each
    parts = {kind: value for kind, value in parameters.items() if isinstance(value, dict)} or {None: parameters}
    for kind, part in parts.items():
        for change in [{"rope_theta": 500000.0}, *SCALINGS]:
            new = {**part, **change} if "rope_type" not in change else {"rope_theta": part["rope_theta"], **change}
            whole = new if kind is None else parameters | {kind: new}
            yield f"rope_parameters {kind or ''} {change}", names, set_field(config, "rope_parameters", whole)
        if kind is not None:
            rest = {other: value for other, value in parameters.items() if other != kind}
            yield f"rope_parameters without {kind}", names, set_field(config, "rope_parameters", rest)
            # one set of parameters for every layer, as in a family without layer types
            yield f"rope_parameters flat, of {kind}", names, set_field(config, "rope_parameters", part)
    legacy = set_field(config, "rope_parameters", ABSENT)
    yield "rope_parameters absent", names, legacy
    yield "rope_parameters None", names, set_field(config, "rope_parameters", None)
    for field in ("rope_theta", "rope_local_base_freq"):
        yield f"{field} 500000", names, set_field(legacy, field, 500000.0)
        yield f"{field} 500000 beside rope_parameters", names, set_field(config, field, 500000.0)
    for change in SCALINGS:
        scaled = set_field(legacy, "rope_scaling", change)
        yield f"rope_scaling {change}", names, scaled
        kind = change["rope_type"]
        old = {key: value for key, value in change.items() if key != "rope_type"} | {"type": kind}
        yield f"rope_scaling {old}", names, set_field(legacy, "rope_scaling", old)
    both = set_field(config, "rope_scaling", SCALINGS[0])
    yield f"rope_scaling {SCALINGS[0]} beside rope_parameters", names, both
    yield "partial_rotary_factor 0.5", names, set_field(config, "partial_rotary_factor", 0.5)


def per_layer_changes(config):
    names = ("per_layer_config",)
    for layer in ({"rms_norm_eps": 0.1}, {"sliding_window": 4}, {"head_dim": 64}, {"intermediate_size": 160}):
        changed = copy.deepcopy(config)
        changed.setdefault("per_layer_config", {})
        last = f"{config['num_hidden_layers'] - 1:02}"
        for number in ("00", last):
            entries = changed["per_layer_config"]
            key = next((key for key in entries if int(key) == int(number)), number)
            entries[key] = entries.get(key, {}) | layer
        yield f"per_layer_config {layer}", names, changed
    if "per_layer_config" in config:
        yield "per_layer_config absent", names, set_field(config, "per_layer_config", ABSENT)


def top_level_changes(config, section):
    """Fields of a section at the top level, where a multimodal class does not read them."""
    inner = config[section]
    for field, value in inner.items():
        if field not in NEVER_ABSENT and ABSENT not in VALUES.get(field, ()):
            moved = set_field(config, section, set_field(inner, field, ABSENT))
            yield f"{field} at the top level only", (field,), set_field(moved, field, value)
            without = set_field(config, section, set_field(inner, field, None))
            yield f"{field} at the top level, None in {section}", (field,), set_field(without, field, value)
    for field, value in (UNSAVED | inner).items():
        for other in [other for other in other_values(field, value) if other is not ABSENT][:1]:
            yield f"{field} {other!r} at the top level too", (field,), set_field(config, field, other)


def changes(config):
    """What is changed, names of which a refusal has one, and the changed configuration."""
    yield from simple_changes(config)
    yield from type_changes(config)
    yield from invalid_changes(config)
    yield from layer_type_changes(config)
    yield from rope_changes(config)
    yield from per_layer_changes(config)
