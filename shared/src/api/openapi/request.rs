//! Schema of the body of `POST /exports`, from which [`crate::domain::CreateExport`] is parsed. It has every rule that
//! JSON Schema can express; it cannot express the body's size, duplicate field names, and a length in bytes.

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema, Type,
        extensions::Extensions,
        schema::{AnyOfBuilder, ArrayBuilder, SchemaType},
    },
};

use super::{ids::text, schema_ref, schemas_of};
use crate::domain::{
    ArtifactKind, CreateExport, Destination, Destinations, GgufKind, HubRepo, JobId, MAX_BYTES_LIMIT,
    MAX_FILE_URL, Quantization, RawCreateExport,
};

/// The characters of `char::is_whitespace`, as a character class of an ECMA-262 regular expression.
const WHITESPACE: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// A blank string, which is treated as an omitted field. The schema is named `Blank`.
struct BlankText;

impl ToSchema for BlankText {
    fn name() -> std::borrow::Cow<'static, str> {
        "Blank".into()
    }
}

impl PartialSchema for BlankText {
    fn schema() -> RefOr<Schema> {
        let description = "Empty or only whitespace: the same as an omitted field.";
        text().description(Some(description)).pattern(Some(format!("^[{WHITESPACE}]*$"))).into()
    }
}

impl ToSchema for RawCreateExport {
    fn name() -> std::borrow::Cow<'static, str> {
        "CreateExport".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(schemas_of::<JobId>());
        schemas.extend(schemas_of::<ArtifactKind>());
        schemas.extend(schemas_of::<Destinations>());
        schemas.extend(schemas_of::<HubRepo>());
        schemas.extend(schemas_of::<Quantization>());
        schemas.extend(schemas_of::<GgufKind>());
        schemas.extend(schemas_of::<BlankText>());
    }
}

impl PartialSchema for RawCreateExport {
    fn schema() -> RefOr<Schema> {
        let token = text().pattern(Some(format!("^[!-~]{{1,{}}}$", CreateExport::MAX_HF_TOKEN)));
        ObjectBuilder::new()
            .description(Some(
                "What to export and where to. Unknown fields are ignored; duplicate fields are rejected. Leading and \
                 trailing whitespace of `hf_repo_id`, `hf_token` and quantization types is removed.",
            ))
            .property("job_id", schema_ref::<JobId>())
            .required("job_id")
            .property("export_type", schema_ref::<ArtifactKind>())
            .required("export_type")
            .property("destination", destination())
            .property(
                "hf_repo_id",
                optional(schema_ref::<HubRepo>())
                    .description(Some("The repository on the Hub. Required if `destination` contains `hf_hub`.")),
            )
            .property(
                "hf_token",
                optional(token).description(Some(
                    "An access token of the Hub. Required if `destination` contains `hf_hub`, and for gated base \
                     models. It is passed to the export job only and never stored.",
                )),
            )
            .property("hf_private", hf_private())
            .property(
                "quantization",
                optional(schema_ref::<Quantization>())
                    .item(upper_case_quantization())
                    .description(Some(format!("Only with `export_type` `gguf`. Default: `{}`.", Quantization::DEFAULT))),
            )
            .property("quantizations", quantizations())
            .property("gguf_kind", gguf_kind())
            .property("imatrix", file_url(IMATRIX))
            .property("prompts_uri", file_url(PROMPTS))
            .property("max_bytes", max_bytes())
            .property("calibration_uri", file_url(CALIBRATION))
            .extensions(Some(Extensions::from_iter([("anyOf", combinations())])))
            .into()
    }
}

/// `schema`, or one of the values that count as omitted: null and a blank string.
fn optional(schema: impl Into<RefOr<Schema>>) -> AnyOfBuilder {
    AnyOfBuilder::new()
        .item(schema)
        .item(schema_ref::<BlankText>())
        .item(ObjectBuilder::new().schema_type(Type::Null))
}

/// The names as llama.cpp's tools write them.
fn upper_case_quantization() -> ObjectBuilder {
    text().enum_values(Some(Quantization::ALL.map(|quantization| quantization.as_str().to_ascii_uppercase())))
}

fn quantizations() -> AnyOfBuilder {
    let array = |item: RefOr<Schema>| {
        let array = ArrayBuilder::new().items(item).min_items(Some(1)).unique_items(true);
        array.max_items(Some(CreateExport::MAX_QUANTIZATIONS))
    };
    AnyOfBuilder::new()
        .item(array(schema_ref::<Quantization>().into()))
        .item(array(upper_case_quantization().into()))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(
            "Several types in one export, each once: a file each, from as few passes over the weights as possible. Only with \
             `export_type` `gguf`, and instead of `quantization`.",
        ))
}

fn gguf_kind() -> AnyOfBuilder {
    AnyOfBuilder::new()
        .item(schema_ref::<GgufKind>())
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(format!(
            "Only with `export_type` `gguf`. `lora` writes the adapter alone, for llama.cpp's `--lora`: as {}; default: `{}`. \
             Default: `model`.",
            Quantization::OF_LORA.map(|quantization| format!("`{quantization}`")).join(", "),
            Quantization::default_of(GgufKind::Lora)
        )))
}

/// The URL of a file in a bucket.
fn file_url(description: &str) -> AnyOfBuilder {
    let url = text()
        .max_length(Some(MAX_FILE_URL))
        .pattern(Some(r"^(gs://[^/\u0000-\u001f\u007f-\u009f]+/|file:///)[^\u0000-\u001f\u007f-\u009f]*[^/\u0000-\u001f\u007f-\u009f]$"));
    optional(url).description(Some(description))
}

const IMATRIX: &str = "The importance matrix that llama.cpp's `llama-imatrix` wrote, below the folder of the adapter or of the base \
                       models. Only with `export_type` `gguf` and a quantization type below 8 bits.";

const CALIBRATION: &str = "The text that an importance matrix of this fine-tune is computed from, instead of `imatrix`: a text, or JSON \
                           Lines of a training set in chat form, below the folder of the adapter or of the base models. Only with \
                           `export_type` `gguf` and a quantization type below 8 bits, or `max_bytes`.";

const PROMPTS: &str = "The prompts with which survival of the fine-tune is measured, instead of a few fixed texts: a text with one a \
                       line, or JSON Lines of a training set in chat form, below the folder of the adapter or of the base models. \
                       Only with `export_type` `merged` or `gguf`, of a model with an adapter.";

fn max_bytes() -> AnyOfBuilder {
    let bytes = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_BYTES_LIMIT as usize));
    AnyOfBuilder::new()
        .item(bytes)
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(
            "The size of the GGUF file in bytes, at the most: instead of `quantization`, types are chosen by tensor so that the error \
             is least. Only with `export_type` `gguf`.",
        ))
}

fn destination() -> AnyOfBuilder {
    AnyOfBuilder::new()
        .item(schema_ref::<Destinations>())
        .default(Some(json!(Destinations::default())))
        .description(Some("Where to export to. Default: `gcs`."))
}

fn hf_private() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::Boolean, Type::Null]))
        .default(Some(true.into()))
        .description(Some("Whether the repository on the Hub is private."))
}

/// The rules between fields: `quantization` or `quantizations` only with `gguf`, and `hf_repo_id` and `hf_token` with
/// `hf_hub`. They are written as the valid combinations, because tools can generate requests from that form.
fn combinations() -> Value {
    let (gguf, merged) = (json!({ "const": ArtifactKind::Gguf }), json!({ "const": ArtifactKind::Merged }));
    let quantization = [json!(schema_ref::<Quantization>()), json!(upper_case_quantization().build())];
    let no_quantization = json!({ "not": { "anyOf": quantization } });
    let none = json!({ "type": "null" });
    let without_hub = json!({ "not": { "type": "array", "contains": { "const": Destination::HfHub } } });
    let repo = json!(schema_ref::<HubRepo>());
    let token = json!({ "type": "string", "pattern": "[!-~]" });
    let (lora, no_lora) = (json!({ "const": GgufKind::Lora }), json!({ "not": { "const": GgufKind::Lora } }));
    let of_lora = either_case(&Quantization::OF_LORA);
    let no_file = json!({ "anyOf": [{ "type": "null" }, json!(schema_ref::<BlankText>())] });
    let uses_imatrix: Vec<_> = Quantization::ALL.into_iter().filter(|one| one.uses_imatrix()).collect();
    let uses_imatrix = either_case(&uses_imatrix);
    // rules for fields, and the field without which a default would be taken that uses no matrix
    let with_imatrix = [
        (
            json!({
                "export_type": gguf, "gguf_kind": no_lora, "quantization": uses_imatrix, "quantizations": none,
                "max_bytes": none,
            }),
            Some("quantization"),
        ),
        (
            json!({
                "export_type": gguf, "gguf_kind": no_lora, "quantization": no_quantization,
                "quantizations": { "type": "array", "contains": uses_imatrix }, "max_bytes": none,
            }),
            Some("quantizations"),
        ),
        (
            json!({
                "export_type": gguf, "gguf_kind": no_lora, "quantization": no_quantization, "quantizations": none,
                "max_bytes": { "type": "integer" },
            }),
            Some("max_bytes"),
        ),
    ];
    let without_imatrix = [
        json!({ "export_type": gguf, "gguf_kind": no_lora, "quantizations": none }),
        json!({ "export_type": gguf, "gguf_kind": no_lora, "quantization": no_quantization }),
        json!({ "export_type": merged, "gguf_kind": none, "quantization": no_quantization, "quantizations": none }),
    ];
    // for which no prompts are used
    let without_model = [
        json!({ "export_type": gguf, "gguf_kind": lora, "quantization": of_lora, "quantizations": none }),
        json!({ "export_type": gguf, "gguf_kind": lora, "quantization": no_quantization, "quantizations": none }),
        json!({
            "export_type": gguf, "gguf_kind": lora, "quantization": no_quantization,
            "quantizations": { "type": "array", "items": of_lora },
        }),
        json!({ "gguf_kind": none, "quantization": no_quantization, "quantizations": none }),
    ];
    let without_model = without_model.map(|mut kind| {
        kind["prompts_uri"] = no_file.clone();
        kind
    });
    let with_imatrix = with_imatrix.into_iter().flat_map(|(kind, field)| {
        // one of both at the most
        ["imatrix", "calibration_uri"].map(|omitted| {
            let mut kind = kind.clone();
            kind[omitted] = no_file.clone();
            (kind, field)
        })
    });
    let without_imatrix = without_imatrix.into_iter().chain(without_model).map(|mut kind| {
        kind["imatrix"] = no_file.clone();
        kind["calibration_uri"] = no_file.clone();
        kind["max_bytes"] = none.clone();
        (kind, None)
    });
    let kinds: Vec<_> = with_imatrix.chain(without_imatrix).collect();
    let destinations = [
        (json!({ "destination": without_hub }), vec![]),
        (json!({ "hf_repo_id": repo, "hf_token": token }), vec!["hf_repo_id", "hf_token"]),
    ];
    let combined = |(destination, fields): &(Value, Vec<&str>), (kind, field): &(Value, Option<&str>)| {
        let parts = [kind, destination].into_iter().filter_map(Value::as_object).flatten();
        let properties: serde_json::Map<_, _> =
            parts.map(|(name, rule)| (name.clone(), rule.clone())).collect();
        let required: Vec<_> = fields.iter().chain(field).collect();
        match required.is_empty() {
            true => json!({ "properties": properties }),
            false => json!({ "properties": properties, "required": required }),
        }
    };
    let of_destination = |destination| kinds.iter().map(move |kind| combined(destination, kind));
    destinations.iter().flat_map(of_destination).collect()
}

/// The names of these types, in lower and in upper case.
fn either_case(types: &[Quantization]) -> Value {
    let names = types.iter().map(|one| one.as_str().to_owned());
    let in_upper_case = types.iter().map(|one| one.as_str().to_ascii_uppercase());
    json!({ "enum": names.chain(in_upper_case).collect::<Vec<_>>() })
}

/// Example requests.
pub(super) fn examples() -> [(&'static str, Value); 5] {
    [
        ("adapter", json!({ "job_id": "ada-recipes", "export_type": "adapter" })),
        ("gguf", json!({ "job_id": "ada-recipes", "export_type": "gguf", "quantization": "q4_k_m" })),
        (
            "gguf in several types",
            json!({ "job_id": "ada-recipes", "export_type": "gguf", "quantizations": ["q8_0", "q4_k_m"] }),
        ),
        ("adapter as gguf", json!({ "job_id": "ada-recipes", "export_type": "gguf", "gguf_kind": "lora" })),
        (
            "merged, to the Hub as well",
            json!({
                "job_id": "ada-recipes", "export_type": "merged", "destination": ["gcs", "hf_hub"],
                "hf_repo_id": "ada/recipes", "hf_token": "hf_your_token", "hf_private": false,
            }),
        ),
    ]
}
