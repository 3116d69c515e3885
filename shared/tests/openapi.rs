//! The API's description, beside what the code does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fs};

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use shared::{
    api::{ProblemKind, openapi},
    domain::{CreateExport, ExportId, HubRepo, JobId, Quantization, RawCreateExport, UserId},
};

/// Whether a value has the form of that schema of the document.
fn schema(name: &str) -> impl Fn(&Value) -> bool {
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    let root =
        json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let validator = jsonschema::draft202012::new(&root).unwrap();
    move |value| validator.is_valid(value)
}

#[test]
fn the_document_in_the_repository_is_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(path, openapi::json()).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == openapi::json(),
        "docs/openapi.json is not what the code says: `make openapi` writes it anew"
    );
}

#[test]
fn the_page_for_people_names_every_problem_and_every_field_of_a_request() {
    let page = include_str!("../../docs/API.md");
    for kind in ProblemKind::ALL {
        let (status, urn) = (kind.status().as_str().to_owned(), kind.urn());
        let code = urn.rsplit(':').next().unwrap();
        let named =
            |line: &str| line.starts_with(&format!("| {status} |")) && line.contains(&format!("`{code}`"));
        assert!(page.lines().any(named), "{status} {code}");
    }
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    let fields = document["components"]["schemas"]["CreateExport"]["properties"].as_object().unwrap();
    for field in fields.keys() {
        assert!(page.contains(&format!("\n| `{field}` |")), "{field}");
    }
}

#[test]
fn the_examples_are_requests_that_the_service_takes() {
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    let content = &document["paths"]["/exports"]["post"]["requestBody"]["content"]["application/json"];
    let (examples, documented) = (content["examples"].as_object().unwrap(), schema("CreateExport"));
    for (name, example) in examples {
        let raw: RawCreateExport = serde_json::from_value(example["value"].clone()).unwrap();
        assert!(documented(&example["value"]) && CreateExport::try_from(raw).is_ok(), "{name}");
    }
}

#[test]
fn a_blank_is_what_the_service_takes_for_one() {
    let blank = schema("Blank");
    for text in ('\0'..='\u{3100}').map(String::from) {
        assert_eq!(blank(&json!(text)), text.trim().is_empty(), "{text:?}");
    }
}

#[test]
fn limits_of_length_are_the_services() {
    let (job, user, repo) = (schema("JobId"), schema("UserId"), schema("HubRepo"));
    for over in [0, 1] {
        let x = |most: usize| "x".repeat(most + over);
        let taken = over == 0;
        assert_eq!(
            (x(JobId::MAX_BYTES).parse::<JobId>().is_ok(), job(&json!(x(JobId::MAX_BYTES)))),
            (taken, taken)
        );
        assert_eq!(
            (x(UserId::MAX_CHARS).parse::<UserId>().is_ok(), user(&json!(x(UserId::MAX_CHARS)))),
            (taken, taken)
        );
        let name = format!("a/{}", x(HubRepo::MAX_CHARS - 2));
        assert_eq!((name.parse::<HubRepo>().is_ok(), repo(&json!(name))), (taken, taken));
    }
    let export = json!(ExportId::random());
    assert!(schema("ExportId")(&export));
}

/// A request's body, made of what people and programs send by mistake.
fn bodies() -> impl Strategy<Value = Value> {
    let odd = || {
        let odd =
            [json!(null), json!(7), json!(true), json!([]), json!({}), json!(""), json!(" \n"), json!("x/y")];
        select(odd.to_vec())
    };
    let field = |good: Vec<Value>| prop_oneof![3 => select(good).prop_map(Some), 1 => odd().prop_map(Some), 2 => Just(None)];
    let token = |text: String| json!(text);
    let quantizations = Quantization::ALL.map(|quantization| json!(quantization)).to_vec();
    let most = CreateExport::MAX_HF_TOKEN;
    let tokens =
        ["hf_x".to_owned(), "x".repeat(most), "x".repeat(most + 1), "a b".to_owned(), "hf_ü".to_owned()];
    (
        field(vec![json!("job-1"), json!("."), json!("a/b"), json!("__x__"), json!("ü 東")]),
        field(vec![json!("adapter"), json!("merged"), json!("gguf"), json!("GGUF")]),
        field(vec![
            json!(["gcs"]),
            json!(["hf_hub"]),
            json!(["hf_hub", "gcs", "gcs"]),
            json!(["s3"]),
            json!([null]),
        ]),
        field(vec![json!("ada/gemma"), json!("ada/x--y"), json!("ada/x.git"), json!("a/b/c")]),
        field(tokens.map(token).to_vec()),
        field(vec![json!(true), json!(false), json!("yes"), json!(0)]),
        field([quantizations, vec![json!("q9_9"), json!("Q8_0")]].concat()),
        field(vec![json!("unknown")]),
    )
        .prop_map(|(job, kind, destination, repo, token, private, quantization, unknown)| {
            let fields = [
                ("job_id", job),
                ("export_type", kind),
                ("destination", destination),
                ("hf_repo_id", repo),
                ("hf_token", token),
                ("hf_private", private),
                ("quantization", quantization),
                ("unknown", unknown),
            ];
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_body_has_the_documented_form_exactly_if_the_service_takes_it(body in bodies()) {
        thread_local!(static DOCUMENTED: Box<dyn Fn(&Value) -> bool> = Box::new(schema("CreateExport")));
        let raw: RawCreateExport = serde_json::from_value(body.clone()).unwrap();
        let taken = CreateExport::try_from(raw);
        prop_assert_eq!(DOCUMENTED.with(|documented| documented(&body)), taken.is_ok(), "{} {:?}", body, taken);
    }

    #[test]
    fn an_id_has_the_documented_form_exactly_if_the_service_takes_it(
        text in "[a_.\\-/\u{0}\n\u{7f}\u{85}\u{2028}ü]{0,7}|__[a_.]{0,3}__",
    ) {
        thread_local!(static DOCUMENTED: Box<dyn Fn(&Value) -> bool> = Box::new(schema("JobId")));
        let documented = DOCUMENTED.with(|documented| documented(&json!(text)));
        prop_assert_eq!(documented, text.parse::<JobId>().is_ok(), "{:?}", text);
    }

    #[test]
    fn a_repository_has_the_documented_form_exactly_if_the_service_takes_it(
        text in "[aB_.\\-]{0,6}/[a9_.\\-]{0,6}(\\.git)?|[a/\n]{0,5}",
    ) {
        thread_local!(static DOCUMENTED: Box<dyn Fn(&Value) -> bool> = Box::new(schema("HubRepo")));
        let documented = DOCUMENTED.with(|documented| documented(&json!(text)));
        prop_assert_eq!(documented, text.parse::<HubRepo>().is_ok(), "{:?}", text);
    }
}
