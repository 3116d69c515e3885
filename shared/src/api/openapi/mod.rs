//! The OpenAPI 3.1 description of the API, generated from the wire types and the domain's validation rules.
//!
//! <https://spec.openapis.org/oas/v3.1.1.html>. `docs/openapi.json` equals [`json`]; a test checks it.

mod ids;
mod operations;
mod request;
mod responses;

use utoipa::{
    ToSchema,
    openapi::{
        Components, Info, License, OpenApi, OpenApiBuilder, Ref, RefOr, Schema, Server,
        security::{Http, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{ExportStarted, HealthBody, HistoryBody, JobBody, JobWithExportBody, problem};
use crate::domain::{Plan, RawCreateExport};

pub(super) use responses::urns;

/// The name of the security scheme.
const ID_TOKEN: &str = "firebase_id_token";

/// The OpenAPI document.
#[must_use]
pub fn document() -> OpenApi {
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .paths(operations::paths())
        .components(Some(components()))
        .security(Some([SecurityRequirement::new(ID_TOKEN, NO_SCOPES)]))
        .build()
}

/// The OpenAPI document as pretty-printed JSON.
///
/// # Panics
/// Never: all map keys are strings.
#[must_use]
#[expect(clippy::expect_used, reason = "all map keys are strings")]
pub fn json() -> String {
    let mut text = document().to_pretty_json().expect("JSON");
    text.push('\n');
    text
}

const NO_SCOPES: [&str; 0] = [];

fn info() -> Info {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let mut info = Info::new("Export Service", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Exports fine-tuned Gemma models to Google Cloud Storage and the Hugging Face Hub: the LoRA adapter itself, \
         the adapter merged into its base model, or a GGUF file. Every response has `Cache-Control: no-store` and an \
         `X-Request-Id`; a valid `X-Request-Id` in the request is kept. `HEAD` is supported wherever `GET` is. \
         `OPTIONS` returns 204; it and a 405 list the supported methods in `Allow`. Errors are problem details (RFC \
         9457). Proxies in front of the service can return 429, 502, 503 or 504: retry later."
            .to_owned(),
    );
    info.license = Some(license);
    info
}

fn components() -> Components {
    let mut components = Components::new();
    for (name, schema) in response_schemas() {
        components.schemas.insert(name, with_all_required(schema));
    }
    for (name, schema) in
        schemas_of::<problem::ProblemBody<'_>>().into_iter().chain(schemas_of::<RawCreateExport>())
    {
        components.schemas.insert(name, schema);
    }
    components.headers.extend(responses::headers());
    components.security_schemes.insert(ID_TOKEN.to_owned(), id_token().into());
    components
}

/// The schemas of successful responses.
fn response_schemas() -> Vec<(String, RefOr<Schema>)> {
    [
        schemas_of::<HealthBody>(),
        schemas_of::<JobBody>(),
        schemas_of::<JobWithExportBody>(),
        schemas_of::<HistoryBody>(),
        schemas_of::<ExportStarted>(),
        schemas_of::<Plan>(),
    ]
    .concat()
}

/// The schema of a type and of every type that it refers to, by name.
fn schemas_of<T: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut all = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut all);
    all
}

/// A reference to the schema of `T`.
fn schema_ref<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// Responses contain every field, with null where there is no value.
fn with_all_required(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.required = object.properties.keys().cloned().collect();
            object.into()
        }
        RefOr::T(Schema::AllOf(mut all)) => {
            all.items = all.items.into_iter().map(with_all_required).collect();
            RefOr::T(Schema::AllOf(all))
        }
        other @ (RefOr::Ref(_) | RefOr::T(_)) => other,
    }
}

fn id_token() -> SecurityScheme {
    let scheme: Http = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A Firebase ID token of the service's project, in exactly one `Authorization: Bearer <token>` header.",
        ))
        .build();
    SecurityScheme::Http(scheme)
}
