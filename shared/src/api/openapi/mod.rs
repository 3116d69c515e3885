//! The API's description in OpenAPI 3.1, made from the types of the wire and the rules of the domain.
//!
//! <https://spec.openapis.org/oas/v3.1.1.html>. `docs/openapi.json` is what [`json`] answers, and a test says so.

mod answers;
mod ids;
mod operations;
mod request;

use utoipa::{
    ToSchema,
    openapi::{
        Components, Info, License, OpenApi, OpenApiBuilder, Ref, RefOr, Schema, Server,
        security::{Http, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{Ack, Health, JobBody, JobWithExportBody, problem};
use crate::domain::RawCreateExport;

pub(super) use answers::urns;

/// The name of the way in which callers prove who they are.
const ID_TOKEN: &str = "firebase_id_token";

/// The description.
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

/// The description as a file.
///
/// # Panics
/// Never: names and values are texts.
#[must_use]
#[expect(clippy::expect_used, reason = "every map in it has texts as keys")]
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
        "Gets fine-tuned Gemma models out of training: the LoRA adapter as it is, merged with its base model, or as \
         GGUF; to Google Cloud Storage and the Hugging Face Hub. Every answer carries `Cache-Control: no-store` and \
         an `X-Request-Id`: yours, if you sent a plain one. `HEAD` works where `GET` does; `OPTIONS` answers 204; \
         either it or a 405 names the methods of a path in `Allow`. Problems are those of RFC 9457. What stands in \
         front of the service may answer with 429, 502, 503 or 504 of its own: try again a little later."
            .to_owned(),
    );
    info.license = Some(license);
    info
}

fn components() -> Components {
    let mut components = Components::new();
    for (name, schema) in answered() {
        components.schemas.insert(name, whole(schema));
    }
    for (name, schema) in named::<problem::Body<'_>>().into_iter().chain(named::<RawCreateExport>()) {
        components.schemas.insert(name, schema);
    }
    components.headers.extend(answers::headers());
    components.security_schemes.insert(ID_TOKEN.to_owned(), id_token().into());
    components
}

/// Everything that a success may consist of.
fn answered() -> Vec<(String, RefOr<Schema>)> {
    [named::<Health>(), named::<JobBody>(), named::<JobWithExportBody>(), named::<Ack>()].concat()
}

/// A type and all that it is made of, by name.
fn named<T: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut all = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut all);
    all
}

/// A reference to the schema of that type.
fn the<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// Our answers name every field, also where they hold null.
fn whole(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.required = object.properties.keys().cloned().collect();
            object.into()
        }
        RefOr::T(Schema::AllOf(mut all)) => {
            all.items = all.items.into_iter().map(whole).collect();
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
            "A Firebase ID token of the service's project, in exactly one header `Authorization: Bearer <token>`.",
        ))
        .build();
    SecurityScheme::Http(scheme)
}
