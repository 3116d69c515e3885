//! The body of `POST /exports`: what [`crate::domain::CreateExport`] is made from, with every rule that a schema can
//! hold. What it cannot: the body's size, a name that stands twice, and a job id's length in bytes.

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema, Type,
        extensions::Extensions,
        schema::{AnyOfBuilder, SchemaType},
    },
};

use super::{ids::text, named, the};
use crate::domain::{
    ArtifactKind, CreateExport, Destination, Destinations, HubRepo, JobId, Quantization, RawCreateExport,
};

/// What `char::is_whitespace` takes for a blank, as a class of a regular expression of ECMA-262.
const BLANK: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// Text of nothing but blanks, which means "left out".
struct Blank;

impl ToSchema for Blank {}

impl PartialSchema for Blank {
    fn schema() -> RefOr<Schema> {
        let description = "Nothing but blanks: means the same as leaving the field out.";
        text().description(Some(description)).pattern(Some(format!("^[{BLANK}]*$"))).into()
    }
}

impl ToSchema for RawCreateExport {
    fn name() -> std::borrow::Cow<'static, str> {
        "CreateExport".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(named::<JobId>());
        schemas.extend(named::<ArtifactKind>());
        schemas.extend(named::<Destinations>());
        schemas.extend(named::<HubRepo>());
        schemas.extend(named::<Quantization>());
        schemas.extend(named::<Blank>());
    }
}

impl PartialSchema for RawCreateExport {
    fn schema() -> RefOr<Schema> {
        let token = text().pattern(Some(format!("^[!-~]{{1,{}}}$", CreateExport::MAX_HF_TOKEN)));
        ObjectBuilder::new()
            .description(Some(
                "What to export and where to. Unknown fields are ignored; no field may stand twice. Blanks around \
                 `hf_repo_id`, `hf_token` and `quantization` are dropped.",
            ))
            .property("job_id", the::<JobId>())
            .required("job_id")
            .property("export_type", the::<ArtifactKind>())
            .required("export_type")
            .property("destination", destination())
            .property(
                "hf_repo_id",
                optional(the::<HubRepo>())
                    .description(Some("The repository on the Hub. Required when `destination` names `hf_hub`.")),
            )
            .property(
                "hf_token",
                optional(token).description(Some(
                    "An access token of the Hub. Required when `destination` names `hf_hub`, and for gated base \
                     models. Goes to the export's job and nowhere else.",
                )),
            )
            .property("hf_private", hf_private())
            .property(
                "quantization",
                optional(the::<Quantization>())
                    .description(Some(format!("With `export_type` `gguf` only; `{}` if left out.", Quantization::DEFAULT))),
            )
            .extensions(Some(Extensions::from_iter([("anyOf", combinations())])))
            .into()
    }
}

/// That, or left out in one of the ways in which people leave something out.
fn optional(schema: impl Into<RefOr<Schema>>) -> AnyOfBuilder {
    AnyOfBuilder::new().item(schema).item(the::<Blank>()).item(ObjectBuilder::new().schema_type(Type::Null))
}

fn destination() -> AnyOfBuilder {
    AnyOfBuilder::new()
        .item(the::<Destinations>())
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .default(Some(json!(Destinations::default())))
        .description(Some("Where to; `gcs` if left out."))
}

fn hf_private() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::Boolean, Type::Null]))
        .default(Some(true.into()))
        .description(Some("Whether the repository on the Hub is to be private."))
}

/// What the fields ask of each other: a quantization goes with a GGUF only, and the Hub asks where to and who. Spelled
/// out as the four that there are, because that is the form from which programs can make up requests.
fn combinations() -> Value {
    let gguf = json!({ "const": ArtifactKind::Gguf });
    let none = json!({ "not": the::<Quantization>() });
    let elsewhere = json!({ "not": { "type": "array", "contains": { "const": Destination::HfHub } } });
    let repo = json!(the::<HubRepo>());
    let token = json!({ "type": "string", "pattern": "[!-~]" });
    let both = ["hf_repo_id", "hf_token"];
    json!([
        { "properties": { "export_type": gguf, "destination": elsewhere } },
        { "properties": { "quantization": none, "destination": elsewhere } },
        { "properties": { "export_type": gguf, "hf_repo_id": repo, "hf_token": token }, "required": both },
        { "properties": { "quantization": none, "hf_repo_id": repo, "hf_token": token }, "required": both },
    ])
}

/// Requests to begin with.
pub(super) fn examples() -> [(&'static str, Value); 3] {
    [
        ("adapter", json!({ "job_id": "ada-recipes", "export_type": "adapter" })),
        ("gguf", json!({ "job_id": "ada-recipes", "export_type": "gguf", "quantization": "q4_k_m" })),
        (
            "merged, to the Hub as well",
            json!({
                "job_id": "ada-recipes", "export_type": "merged", "destination": ["gcs", "hf_hub"],
                "hf_repo_id": "ada/recipes", "hf_token": "hf_your_token", "hf_private": false,
            }),
        ),
    ]
}
