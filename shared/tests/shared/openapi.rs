//! Compares the OpenAPI document with the behavior of the code.

use std::{env, fs};

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use shared::{
    api::{ProblemKind, openapi},
    domain::{CreateExport, ExportId, HubRepo, JobId, Quantization, RawCreateExport, UserId},
};

/// A validator for that schema of the document.
fn schema(name: &str) -> impl Fn(&Value) -> bool {
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    let root =
        json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let validator = jsonschema::draft202012::new(&root).unwrap();
    move |value| validator.is_valid(value)
}

#[test]
fn the_document_in_the_repository_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(path, openapi::json()).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(kept == openapi::json(), "docs/openapi.json is out of date: run `make openapi`");
}

#[test]
fn api_md_documents_every_problem_type_and_every_request_field() {
    let page = include_str!("../../../docs/API.md");
    for kind in ProblemKind::ALL {
        let (status, urn) = (kind.status().as_str().to_owned(), kind.urn());
        let code = urn.rsplit(':').next().unwrap();
        let documents =
            |line: &str| line.starts_with(&format!("| {status} |")) && line.contains(&format!("`{code}`"));
        assert!(page.lines().any(documents), "{status} {code}");
    }
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    let fields = document["components"]["schemas"]["CreateExport"]["properties"].as_object().unwrap();
    for field in fields.keys() {
        assert!(page.contains(&format!("\n| `{field}` |")), "{field}");
    }
}

#[test]
fn the_examples_are_valid_requests() {
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    let content = &document["paths"]["/exports"]["post"]["requestBody"]["content"]["application/json"];
    let (examples, documented) = (content["examples"].as_object().unwrap(), schema("CreateExport"));
    for (name, example) in examples {
        let raw: RawCreateExport = serde_json::from_value(example["value"].clone()).unwrap();
        assert!(documented(&example["value"]) && CreateExport::try_from(raw).is_ok(), "{name}");
    }
}

#[test]
fn the_blank_schema_matches_the_whitespace_of_the_service() {
    let blank = schema("Blank");
    for text in ('\0'..='\u{3100}').map(String::from) {
        assert_eq!(blank(&json!(text)), text.trim().is_empty(), "{text:?}");
    }
}

#[test]
fn length_limits_match_the_service() {
    let (job, user, repo) = (schema("JobId"), schema("UserId"), schema("HubRepo"));
    for over in [0, 1] {
        let x = |most: usize| "x".repeat(most + over);
        let accepted = over == 0;
        assert_eq!(
            (x(JobId::MAX_BYTES).parse::<JobId>().is_ok(), job(&json!(x(JobId::MAX_BYTES)))),
            (accepted, accepted)
        );
        assert_eq!(
            (x(UserId::MAX_CHARS).parse::<UserId>().is_ok(), user(&json!(x(UserId::MAX_CHARS)))),
            (accepted, accepted)
        );
        let name = format!("a/{}", x(HubRepo::MAX_CHARS - 2));
        assert_eq!((name.parse::<HubRepo>().is_ok(), repo(&json!(name))), (accepted, accepted));
    }
    let export = json!(ExportId::random());
    assert!(schema("ExportId")(&export));
}

/// Request bodies with valid values and with typical mistakes.
fn bodies() -> impl Strategy<Value = Value> {
    let invalid = || {
        let values =
            [json!(null), json!(7), json!(true), json!([]), json!({}), json!(""), json!(" \n"), json!("x/y")];
        select(values.to_vec())
    };
    let field = |good: Vec<Value>| prop_oneof![3 => select(good).prop_map(Some), 1 => invalid().prop_map(Some), 2 => Just(None)];
    let file_url = || {
        field(vec![json!("gs://b/i.gguf"), json!("gs://b/"), json!("file:///a/i.dat"), json!("https://b/i")])
    };
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
        field(vec![json!("model"), json!("lora"), json!("LORA")]),
        (file_url(), file_url(), file_url()),
        field(vec![json!(4_000_000_000_u64), json!(4e9), json!(0), json!(1.5), json!((1_u64 << 50) + 1)]),
    )
        .prop_map(
            |(job, kind, destination, repo, token, private, quantization, gguf_kind, files, max_bytes)| {
                let (imatrix, prompts, calibration) = files;
                let fields = [
                    ("job_id", job),
                    ("export_type", kind),
                    ("destination", destination),
                    ("hf_repo_id", repo),
                    ("hf_token", token),
                    ("hf_private", private),
                    ("quantization", quantization),
                    ("gguf_kind", gguf_kind),
                    ("imatrix", imatrix),
                    ("prompts_uri", prompts),
                    ("max_bytes", max_bytes),
                    ("calibration_uri", calibration),
                    ("unknown", Some(json!("ignored"))),
                ];
                fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
            },
        )
}

/// Every value of a field, among them none.
fn with_each(bodies: &[Value], field: &str, values: &[Value]) -> Vec<Value> {
    let with = |body: &Value, value: &Value| {
        let mut body = body.clone();
        body[field] = value.clone();
        body
    };
    let of_body =
        |body: &Value| values.iter().map(|value| with(body, value)).chain([body.clone()]).collect::<Vec<_>>();
    bodies.iter().flat_map(of_body).collect()
}

#[test]
fn the_fields_of_a_gguf_match_the_schema_if_and_only_if_the_service_accepts_them_together() {
    let documented = schema("CreateExport");
    let kinds = ["adapter", "merged", "gguf"].map(|kind| json!({"job_id": "job-1", "export_type": kind}));
    let (null, blank) = (json!(null), json!(" \u{2028}"));
    let bodies = with_each(&kinds, "gguf_kind", &[null.clone(), json!("model"), json!("lora")]);
    let types = [null.clone(), blank.clone(), json!("q8_0"), json!("q4_0"), json!("Q4_0")];
    let bodies = with_each(&bodies, "quantization", &types);
    let several = [null.clone(), json!(["f16"]), json!(["q8_0", "q4_0"]), json!(["Q8_0", "Q4_0"])];
    let bodies = with_each(&bodies, "quantizations", &several);
    let files = [null, blank, json!("gs://b/i.gguf")];
    let bodies = with_each(&bodies, "imatrix", &files);
    let bodies = with_each(&bodies, "calibration_uri", &files[..1]);
    let bodies = with_each(&bodies, "calibration_uri", &files[2..]);
    let bodies = with_each(&bodies, "max_bytes", &[json!(null), json!(4_000)]);
    for body in with_each(&bodies, "prompts_uri", &files) {
        let raw: RawCreateExport = serde_json::from_value(body.clone()).unwrap();
        let parsed = CreateExport::try_from(raw);
        assert_eq!(documented(&body), parsed.is_ok(), "{body} {parsed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_body_matches_the_schema_if_and_only_if_the_service_accepts_it(body in bodies()) {
        thread_local!(static DOCUMENTED: Box<dyn Fn(&Value) -> bool> = Box::new(schema("CreateExport")));
        let raw: RawCreateExport = serde_json::from_value(body.clone()).unwrap();
        let parsed = CreateExport::try_from(raw);
        prop_assert_eq!(DOCUMENTED.with(|documented| documented(&body)), parsed.is_ok(), "{} {:?}", body, parsed);
    }

    #[test]
    fn an_id_matches_the_schema_if_and_only_if_the_service_accepts_it(
        text in "[a_.\\-/\u{0}\n\u{7f}\u{85}\u{2028}ü]{0,7}|__[a_.]{0,3}__",
    ) {
        thread_local!(static DOCUMENTED: Box<dyn Fn(&Value) -> bool> = Box::new(schema("JobId")));
        let documented = DOCUMENTED.with(|documented| documented(&json!(text)));
        prop_assert_eq!(documented, text.parse::<JobId>().is_ok(), "{:?}", text);
    }

    #[test]
    fn a_repository_matches_the_schema_if_and_only_if_the_service_accepts_it(
        text in "[aB_.\\-]{0,6}/[a9_.\\-]{0,6}(\\.git)?|[a/\n]{0,5}",
    ) {
        thread_local!(static DOCUMENTED: Box<dyn Fn(&Value) -> bool> = Box::new(schema("HubRepo")));
        let documented = DOCUMENTED.with(|documented| documented(&json!(text)));
        prop_assert_eq!(documented, text.parse::<HubRepo>().is_ok(), "{:?}", text);
    }
}
