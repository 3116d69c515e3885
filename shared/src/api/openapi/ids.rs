//! Schemas of the ids and names that [`crate::domain`] parses.

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

use crate::domain::{ExportId, HubRepo, JobId, Quantization, UserId};

/// A string schema.
pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

impl ToSchema for JobId {}

impl PartialSchema for JobId {
    /// Control characters are those of Unicode category Cc, as in `char::is_control`.
    fn schema() -> RefOr<Schema> {
        text()
            .description(Some(format!(
                "Id of a training job: a Firestore document id without control characters, at most {} bytes of UTF-8.",
                Self::MAX_BYTES
            )))
            .min_length(Some(1))
            .max_length(Some(Self::MAX_BYTES))
            .pattern(Some(r"^(?!\.\.?$)(?!__[^/]*__$)[^/\u0000-\u001f\u007f-\u009f]+$"))
            .examples([Value::from("ada-recipes")])
            .into()
    }
}

impl ToSchema for ExportId {}

impl PartialSchema for ExportId {
    fn schema() -> RefOr<Schema> {
        text()
            .description(Some("Id of an export, a UUID."))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .into()
    }
}

impl ToSchema for UserId {}

impl PartialSchema for UserId {
    fn schema() -> RefOr<Schema> {
        text()
            .description(Some("User id (uid) in Firebase Authentication."))
            .min_length(Some(1))
            .max_length(Some(Self::MAX_CHARS))
            .into()
    }
}

impl ToSchema for HubRepo {}

impl PartialSchema for HubRepo {
    fn schema() -> RefOr<Schema> {
        let part = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?";
        text()
            .description(Some(
                "A repository on the Hugging Face Hub, `owner/name`, with the naming rules of the Hub.",
            ))
            .max_length(Some(Self::MAX_CHARS))
            .pattern(Some(format!(r"^(?!.*--)(?!.*\.\.)(?!.*\.git$){part}/{part}$")))
            .examples([Value::from("ada/recipes-gguf")])
            .into()
    }
}

impl ToSchema for Quantization {}

impl PartialSchema for Quantization {
    fn schema() -> RefOr<Schema> {
        text()
            .description(Some(
                "Quantization type of a GGUF file, named as in llama.cpp; the most precise first.",
            ))
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}
