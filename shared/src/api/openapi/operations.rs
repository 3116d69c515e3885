//! The routes: what each takes, and every status with which it answers.

use utoipa::openapi::{
    Array, ContentBuilder, HttpMethod, PathItem, Paths, PathsBuilder, Required,
    example::ExampleBuilder,
    link::LinkBuilder,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItemBuilder},
    request_body::{RequestBody, RequestBodyBuilder},
    security::SecurityRequirement,
};

use super::{
    answers::{Answers, answers},
    request, the,
};
use crate::{
    api::{Ack, Health, JobBody, JobWithExportBody, ProblemKind as Kind},
    domain::{JobId, RawCreateExport},
};

pub(super) fn paths() -> Paths {
    let exports = PathItemBuilder::from(readable(&list_jobs())).operation(HttpMethod::Post, create_export());
    PathsBuilder::new()
        .path("/health", readable(&get_health()))
        .path("/exports", exports.build())
        .path("/exports/{job_id}", readable(&get_job()))
        .build()
}

/// GET, and HEAD with it.
fn readable(get: &Operation) -> PathItem {
    let mut head = get.clone();
    head.operation_id = get.operation_id.as_ref().map(|id| format!("{id}Head"));
    head.summary = get.summary.as_ref().map(|summary| format!("{summary}: the headers"));
    head.description = Some("As GET, without a body.".to_owned());
    for response in head.responses.responses.values_mut() {
        if let utoipa::openapi::RefOr::T(response) = response {
            response.content.clear();
            response.links.clear();
        }
    }
    PathItemBuilder::new().operation(HttpMethod::Get, get.clone()).operation(HttpMethod::Head, head).build()
}

fn operation(id: &str, summary: &str, description: &str, answers: Answers) -> OperationBuilder {
    let mut operation =
        OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)).description(Some(description));
    for (status, answer) in answers {
        operation = operation.response(status, answer);
    }
    operation
}

fn get_health() -> Operation {
    let answers = answers("The service answers.", the::<Health>(), &[Kind::Internal]);
    let description = "Needs no token and asks nobody.";
    operation("getHealth", "Whether the service is up", description, answers)
        .security(SecurityRequirement::default())
        .build()
}

fn list_jobs() -> Operation {
    let mut answers =
        answers("The jobs.", Array::new(the::<JobBody>()), &[Kind::Unauthenticated, Kind::Internal]);
    follow(&mut answers, "$response.body#/0/job_id");
    let description =
        "The caller's training jobs that are completed, newest first: those that can be exported.";
    operation("listJobs", "List the training jobs that can be exported", description, answers).build()
}

fn create_export() -> Operation {
    let mut answers = answers(
        "The export's record exists and is `running`; its job is on the way.",
        the::<Ack>(),
        &[
            Kind::InvalidRequest,
            Kind::NotCompleted,
            Kind::Unauthenticated,
            Kind::NotOwner,
            Kind::NoSuchJob,
            Kind::BodyTooSlow,
            Kind::BodyTooLarge,
            Kind::NotJson,
            Kind::Internal,
        ],
    );
    follow(&mut answers, "$request.body#/job_id");
    let description = "Checked in this order: 401, 413, 415, 400 by itself, 404, 403, 400 not completed.";
    operation("createExport", "Start an export", description, answers).request_body(Some(body())).build()
}

fn get_job() -> Operation {
    let kinds =
        [Kind::InvalidRequest, Kind::Unauthenticated, Kind::NotOwner, Kind::NoSuchJob, Kind::Internal];
    let answers = answers("The job.", the::<JobWithExportBody>(), &kinds);
    let description = "One of the caller's training jobs, of any status, and its latest export. Here \
         `artifacts.file` holds links that a browser can open: they work for 15 minutes, for whoever holds them. Ask \
         every 10 seconds while `latest_export.status` is `running`.";
    operation("getJob", "A training job and its latest export", description, answers)
        .parameter(job_id())
        .build()
}

fn job_id() -> Parameter {
    ParameterBuilder::new()
        .name("job_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The training job."))
        .schema(Some(the::<JobId>()))
        .build()
}

fn body() -> RequestBody {
    let examples =
        request::examples().map(|(name, value)| (name, ExampleBuilder::new().value(Some(value)).build()));
    let content =
        ContentBuilder::new().schema(Some(the::<RawCreateExport>())).examples_from_iter(examples).build();
    RequestBodyBuilder::new()
        .description(Some("At most 16 KiB. Types that end in `+json` are taken as well."))
        .required(Some(Required::True))
        .content("application/json", content)
        .build()
}

/// Says where in the answer or its request the id of a job stands, to be asked for next.
fn follow(answers: &mut Answers, job_id: &str) {
    let link = LinkBuilder::new()
        .operation_id("getJob")
        .parameter("job_id", job_id)
        .description("How the job and its latest export stand.");
    if let Some(found) = answers.get_mut("200") {
        found.links.insert("job".to_owned(), link.build().into());
    }
}
