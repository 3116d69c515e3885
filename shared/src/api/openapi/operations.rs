//! The operations: their parameters, bodies and all response statuses.

use utoipa::openapi::{
    Array, ContentBuilder, HttpMethod, ObjectBuilder, PathItem, Paths, PathsBuilder, Ref, RefOr, Required,
    Schema, Type,
    example::ExampleBuilder,
    link::LinkBuilder,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItemBuilder},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::AdditionalProperties,
    security::SecurityRequirement,
};

use super::{
    ids::text,
    request,
    responses::{ResponsesByStatus, responses},
    schema_ref,
};
use crate::{
    api::{
        ExportBody, ExportStarted, HealthBody, HistoryBody, JobBody, JobWithExportBody, ProblemKind as Kind,
        REPLAYED,
    },
    domain::{ExportId, IdempotencyKey, JobId, PageSize, Plan, RawCreateExport},
};

pub(super) fn paths() -> Paths {
    let exports =
        PathItemBuilder::from(get_and_head(&list_jobs())).operation(HttpMethod::Post, create_export());
    PathsBuilder::new()
        .path("/health", get_and_head(&get_health()))
        .path("/exports", exports.build())
        .path("/plans", PathItemBuilder::new().operation(HttpMethod::Post, plan_export()).build())
        .path("/exports/{job_id}", get_and_head(&get_job()))
        .path(
            "/exports/{job_id}/cancel",
            PathItemBuilder::new().operation(HttpMethod::Post, cancel_export()).build(),
        )
        .path("/exports/{job_id}/history", get_and_head(&list_exports()))
        .path("/exports/{job_id}/history/{export_id}", get_and_head(&get_export()))
        .build()
}

/// A path with this GET operation and the HEAD operation that corresponds to it.
fn get_and_head(get: &Operation) -> PathItem {
    let mut head = get.clone();
    head.operation_id = get.operation_id.as_ref().map(|id| format!("{id}Head"));
    head.summary = get.summary.as_ref().map(|summary| format!("{summary} (headers only)"));
    head.description = Some("Same as GET, without a response body.".to_owned());
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
            response.links.clear();
        }
    }
    PathItemBuilder::new().operation(HttpMethod::Get, get.clone()).operation(HttpMethod::Head, head).build()
}

fn operation(id: &str, summary: &str, description: &str, responses: ResponsesByStatus) -> OperationBuilder {
    let mut operation =
        OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).description(Some(description));
    for (status, response) in responses {
        operation = operation.response(status, response);
    }
    operation
}

fn get_health() -> Operation {
    let responses = responses("The service is running.", schema_ref::<HealthBody>(), &[Kind::Internal]);
    let description = "Requires no token and checks no other service.";
    operation("getHealth", "Check that the service is running", description, responses)
        .security(SecurityRequirement::default())
        .build()
}

fn list_jobs() -> Operation {
    let mut responses = responses(
        "The jobs.",
        Array::new(schema_ref::<JobBody>()),
        &[Kind::InvalidRequest, Kind::Unauthenticated, Kind::UnverifiedApp, Kind::Internal],
    );
    add_header(&mut responses, "Link", "NextPage");
    link_to_get_job(&mut responses, "$response.body#/0/job_id");
    let description = "The completed training jobs of the authenticated user, newest first. Only completed jobs can be exported. Without parameters, all of them.";
    operation("listJobs", "List the training jobs that can be exported", description, responses)
        .parameter(query("page_size", "The number of jobs.", page_size()))
        .parameter(query("page_token", "The token in the `Link` of the page before.", schema_ref::<JobId>()))
        .build()
}

fn create_export() -> Operation {
    let mut responses = responses(
        "The export's record exists and is `running`; its job is starting.",
        schema_ref::<ExportStarted>(),
        &of_a_job(&[
            Kind::NotCompleted,
            Kind::BodyTooSlow,
            Kind::BodyTooLarge,
            Kind::NotJson,
            Kind::KeyReused,
            Kind::TooManyExports,
        ]),
    );
    link_to_get_job(&mut responses, "$request.body#/job_id");
    add_rate_limits(&mut responses);
    add_header(&mut responses, "Location", "ExportPath");
    add_header(&mut responses, REPLAYED, "Replayed");
    let description = "Errors are checked in this order: 401, 413, 415, 400 (invalid request), 422, 404, 403, 400 (job not completed), 429.";
    operation("createExport", "Start an export", description, responses)
        .parameter(idempotency_key())
        .request_body(Some(body()))
        .build()
}

fn plan_export() -> Operation {
    let kinds = of_a_job(&[
        Kind::NotCompleted,
        Kind::BodyTooSlow,
        Kind::BodyTooLarge,
        Kind::NotJson,
        Kind::CannotBeExported,
        Kind::HubUnavailable,
    ]);
    let mut responses = responses("What the export would make.", schema_ref::<Plan>(), &kinds);
    add_retry_after(&mut responses, "503");
    let description = "Starts nothing. What the export's job would refuse is refused with the same text. Only headers and small \
         files are read. `hf_token` is used to look at the base model and the repository, and not stored.";
    operation("planExport", "Look at what an export would make", description, responses)
        .request_body(Some(body()))
        .build()
}

fn get_job() -> Operation {
    let kinds = of_a_job(&[]);
    let responses = responses("The job.", schema_ref::<JobWithExportBody>(), &kinds);
    let description = "A training job of the authenticated user, of any status, and its latest export. In this \
         response `artifacts.file` holds download links. They need no sign-in and expire after 15 minutes. Poll every \
         10 seconds while `latest_export.status` is `running`.";
    operation("getJob", "Get a training job and its latest export", description, responses)
        .parameter(job_id())
        .build()
}

fn list_exports() -> Operation {
    let kinds = of_a_job(&[]);
    let responses = responses("A page of the exports.", schema_ref::<HistoryBody>(), &kinds);
    let description = "The exports of a training job of the authenticated user, newest first.";
    operation("listExports", "List the exports of a training job", description, responses)
        .parameter(job_id())
        .parameter(query("page_size", "The number of exports.", page_size()))
        .parameter(query("page_token", "`next_page_token` of the page before.", schema_ref::<ExportId>()))
        .build()
}

fn get_export() -> Operation {
    let kinds = of_a_job(&[Kind::NoSuchExport]);
    let responses = responses("The export.", schema_ref::<ExportBody>(), &kinds);
    let description =
        "An export of a training job of the authenticated user, also when another has begun since.";
    operation("getExport", "Get an export", description, responses)
        .parameter(job_id())
        .parameter(
            ParameterBuilder::new()
                .name("export_id")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("The id of the export."))
                .schema(Some(schema_ref::<ExportId>())),
        )
        .build()
}

fn cancel_export() -> Operation {
    let kinds = of_a_job(&[
        Kind::NoSuchExport,
        Kind::NotRunning,
        Kind::BodyTooSlow,
        Kind::BodyTooLarge,
        Kind::NotJson,
    ]);
    let responses = responses("The export, which has failed.", schema_ref::<ExportBody>(), &kinds);
    let description = "Cancels an export of a training job of the authenticated user. It ends as `failed` with the code \
         `cancelled` at once; its job stops within 15 seconds, and its files are removed.";
    let schema = ObjectBuilder::new()
        .property("export_id", schema_ref::<ExportId>())
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let body = RequestBodyBuilder::new()
        .description(Some(
            "The export to cancel. Without a body or with an empty object, the newest one that is running.",
        ))
        .required(Some(Required::False))
        .content("application/json", ContentBuilder::new().schema(Some(schema)).build())
        .build();
    operation("cancelExport", "Cancel an export", description, responses)
        .parameter(job_id())
        .request_body(Some(body))
        .build()
}

/// The problems of every operation on a training job of the caller, and `more`.
fn of_a_job(more: &[Kind]) -> Vec<Kind> {
    let always = [
        Kind::InvalidRequest,
        Kind::Unauthenticated,
        Kind::UnverifiedApp,
        Kind::NotOwner,
        Kind::NoSuchJob,
        Kind::Internal,
    ];
    Kind::ALL.into_iter().filter(|kind| always.contains(kind) || more.contains(kind)).collect()
}

fn page_size() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(PageSize::MAX))
        .default(Some(PageSize::DEFAULT.get().into()))
}

fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn idempotency_key() -> Parameter {
    let description = "A request that is repeated with its key within 24 hours starts nothing: it gets the response of the \
         first, with the header `Idempotent-Replayed: true`.";
    ParameterBuilder::new()
        .name(IdempotencyKey::HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text().pattern(Some(format!("^[!-~]{{1,{}}}$", IdempotencyKey::MAX_CHARS)))))
        .build()
}

fn job_id() -> Parameter {
    ParameterBuilder::new()
        .name("job_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The id of the training job."))
        .schema(Some(schema_ref::<JobId>()))
        .build()
}

fn body() -> RequestBody {
    let examples =
        request::examples().map(|(name, value)| (name, ExampleBuilder::new().value(Some(value)).build()));
    let content = ContentBuilder::new()
        .schema(Some(schema_ref::<RawCreateExport>()))
        .examples_from_iter(examples)
        .build();
    RequestBodyBuilder::new()
        .description(Some("At most 16 KiB. Media types that end in `+json` are also accepted."))
        .required(Some(Required::True))
        .content("application/json", content)
        .build()
}

/// Adds a header to the 200.
fn add_header(responses: &mut ResponsesByStatus, name: &str, component: &str) {
    if let Some(success) = responses.get_mut("200") {
        let header = RefOr::Ref(Ref::new(format!("#/components/headers/{component}")));
        success.headers.insert(name.to_owned(), header);
    }
}

/// Adds the headers of the caller's limits to all responses. Those of a 200 and a 429 also have what is left.
fn add_rate_limits(responses: &mut ResponsesByStatus) {
    let header = |name: &str| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
    for (status, response) in &mut *responses {
        response.headers.insert("RateLimit-Policy".to_owned(), header("RateLimitPolicy"));
        if matches!(status.as_str(), "200" | "429") {
            response.headers.insert("RateLimit".to_owned(), header("RateLimit"));
        }
    }
    add_retry_after(responses, "429");
}

fn add_retry_after(responses: &mut ResponsesByStatus, status: &str) {
    if let Some(response) = responses.get_mut(status) {
        let header = RefOr::Ref(Ref::new("#/components/headers/RetryAfter"));
        response.headers.insert("Retry-After".to_owned(), header);
    }
}

/// Adds an OpenAPI link from the 200 to `getJob`. `job_id` is the runtime expression that yields the job id.
fn link_to_get_job(responses: &mut ResponsesByStatus, job_id: &str) {
    let link = LinkBuilder::new()
        .operation_id("getJob")
        .parameter("job_id", job_id)
        .description("The job and the state of its latest export.");
    if let Some(success) = responses.get_mut("200") {
        success.links.insert("job".to_owned(), link.build().into());
    }
}
