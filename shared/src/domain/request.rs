//! The request to create an export: parsing and validation.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    ArtifactKind, Destination, Destinations, GgufKind, HubRepo, InvalidRequest, JobId, Quantization,
    body_field::BodyField, file_url, max_bytes,
};

/// The request body before validation: all fields are optional, unknown fields are ignored. A value of the wrong type
/// is recorded without the value, so that the error can name the field without quoting a secret.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawCreateExport {
    job_id: BodyField<String>,
    export_type: BodyField<String>,
    destination: BodyField<Vec<String>>,
    hf_token: BodyField<SecretString>,
    hf_repo_id: BodyField<String>,
    hf_private: BodyField<bool>,
    quantization: BodyField<String>,
    quantizations: BodyField<Vec<String>>,
    gguf_kind: BodyField<String>,
    imatrix: BodyField<String>,
    prompts_uri: BodyField<String>,
    max_bytes: BodyField<f64>,
    calibration_uri: BodyField<String>,
}

/// A validated request: what to export and where to.
#[derive(Debug)]
pub struct CreateExport {
    /// The training job.
    pub job_id: JobId,
    /// The artifact type.
    pub kind: ArtifactKind,
    /// The destinations.
    pub destinations: Destinations,
    /// The access token of the Hub, if sent. It is also used to read gated base models.
    pub hf_token: Option<SecretString>,
    /// The repository on the Hub, if sent.
    pub hf_repo: Option<HubRepo>,
    /// Whether that repository must be private.
    pub hf_private: bool,
    /// The quantization types of a GGUF, each once; empty for other types, and with `max_bytes`.
    pub quantizations: Vec<Quantization>,
    /// What a GGUF has; [`GgufKind::Model`] for other types.
    pub gguf_kind: GgufKind,
    /// The URL of an importance matrix for a GGUF, if sent.
    pub imatrix: Option<String>,
    /// The URL of the prompts with which survival is measured, if sent.
    pub prompts_uri: Option<String>,
    /// The size for which the types of a GGUF are chosen by tensor, if sent.
    pub max_bytes: Option<u64>,
    /// The URL of the text that an importance matrix is computed from, if sent.
    pub calibration_uri: Option<String>,
}

impl CreateExport {
    /// The longest accepted access token of the Hub, in bytes. A token that a person makes has 37; one of a sign-in by OAuth is a
    /// JSON Web Token, which names scopes and organizations.
    pub const MAX_HF_TOKEN: usize = 4_096;

    /// The most quantization types of one export.
    pub const MAX_QUANTIZATIONS: usize = 8;
}

impl TryFrom<RawCreateExport> for CreateExport {
    type Error = InvalidRequest;

    fn try_from(raw: RawCreateExport) -> Result<Self, InvalidRequest> {
        let job_id = parse_job_id(raw.job_id.into_value("job_id", "a string")?)?;
        let kind = parse_kind(raw.export_type.into_value("export_type", "a string")?.as_deref())?;
        let destinations = Destinations::parse(
            raw.destination.into_non_null("destination", "an array of gcs, hf_hub or both")?,
        )?;
        let hf_token = parse_hf_token(raw.hf_token.into_value("hf_token", "a string")?)?;
        let hf_repo = parse_hf_repo(raw.hf_repo_id.into_value("hf_repo_id", "a string")?.as_deref())?;
        let hf_private = raw.hf_private.into_value("hf_private", "true or false")?.unwrap_or(true);
        let one = raw.quantization.into_value("quantization", "a string")?;
        let several = raw.quantizations.into_value("quantizations", "an array of quantization types")?;
        let gguf_kind = parse_gguf_kind(kind, raw.gguf_kind.into_value("gguf_kind", "a string")?.as_deref())?;
        let max_bytes =
            max_bytes::parse((kind, gguf_kind), raw.max_bytes.into_value("max_bytes", "a number of bytes")?)?;
        let quantizations = match max_bytes {
            Some(_) => max_bytes::check_types(one.as_deref(), several.as_ref()).map(|()| Vec::new())?,
            None => parse_quantizations((kind, gguf_kind), one.as_deref(), several)?,
        };
        let uses_imatrix = max_bytes.is_some() || quantizations.iter().any(|one| one.uses_imatrix());
        let imatrix = parse_file("imatrix", raw.imatrix)?;
        let calibration_uri = parse_file("calibration_uri", raw.calibration_uri)?;
        for (field, file) in [("imatrix", &imatrix), ("calibration_uri", &calibration_uri)] {
            if file.is_some() {
                file_url::check_imatrix(field, (kind, gguf_kind), uses_imatrix)?;
            }
        }
        if imatrix.is_some() && calibration_uri.is_some() {
            let problem = "computes the importance matrix that imatrix gives: omit one of them";
            return Err(InvalidRequest::new("calibration_uri", problem));
        }
        let prompts_uri = parse_file("prompts_uri", raw.prompts_uri)?;
        if prompts_uri.is_some() {
            file_url::check_prompts(kind, gguf_kind)?;
        }
        if destinations.contains(Destination::HfHub) {
            if hf_repo.is_none() {
                return Err(InvalidRequest::new("hf_repo_id", "is required if destination contains hf_hub"));
            }
            if hf_token.is_none() {
                return Err(InvalidRequest::new("hf_token", "is required if destination contains hf_hub"));
            }
        }
        Ok(Self {
            job_id,
            kind,
            destinations,
            hf_token,
            hf_repo,
            hf_private,
            quantizations,
            gguf_kind,
            imatrix,
            prompts_uri,
            max_bytes,
            calibration_uri,
        })
    }
}

fn parse_job_id(id: Option<String>) -> Result<JobId, InvalidRequest> {
    let field = "job_id";
    let id = id.ok_or_else(|| InvalidRequest::new(field, "is required"))?;
    id.parse().map_err(|e: super::InvalidId| InvalidRequest::new(field, e.to_string()))
}

/// Trims the token and rejects characters that are invalid in a header or in an environment variable: the token is used
/// in both.
fn parse_hf_token(token: Option<SecretString>) -> Result<Option<SecretString>, InvalidRequest> {
    let Some(token) = token else { return Ok(None) };
    match non_blank(Some(token.expose_secret())) {
        None => Ok(None),
        Some(text)
            if text.len() <= CreateExport::MAX_HF_TOKEN && text.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            let token = SecretString::from(text);
            redaction::register(&token);
            Ok(Some(token))
        }
        Some(_) => Err(InvalidRequest::new("hf_token", "must be an access token of the Hugging Face Hub")),
    }
}

/// The trimmed string, or `None` if it is absent or blank.
fn non_blank(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn parse_kind(name: Option<&str>) -> Result<ArtifactKind, InvalidRequest> {
    match name {
        Some("adapter") => Ok(ArtifactKind::Adapter),
        Some("merged") => Ok(ArtifactKind::Merged),
        Some("gguf") => Ok(ArtifactKind::Gguf),
        Some(_) => Err(InvalidRequest::new("export_type", "must be adapter, merged or gguf")),
        None => Err(InvalidRequest::new("export_type", "is required: adapter, merged or gguf")),
    }
}

fn parse_hf_repo(name: Option<&str>) -> Result<Option<HubRepo>, InvalidRequest> {
    non_blank(name)
        .map(str::parse)
        .transpose()
        .map_err(|e: super::InvalidId| InvalidRequest::new("hf_repo_id", e.to_string()))
}

fn parse_file(field: &'static str, url: BodyField<String>) -> Result<Option<String>, InvalidRequest> {
    file_url::parse(field, url.into_value(field, "a string")?.as_deref())
}

fn parse_gguf_kind(kind: ArtifactKind, name: Option<&str>) -> Result<GgufKind, InvalidRequest> {
    const FIELD: &str = "gguf_kind";
    match name {
        None => Ok(GgufKind::default()),
        Some(_) if kind != ArtifactKind::Gguf => {
            Err(InvalidRequest::new(FIELD, "is only valid with export_type gguf: omit it"))
        }
        Some("model") => Ok(GgufKind::Model),
        Some("lora") => Ok(GgufKind::Lora),
        Some(_) => Err(InvalidRequest::new(FIELD, "must be model or lora")),
    }
}

/// The types of `quantization` or `quantizations`; without both, the default of a GGUF.
fn parse_quantizations(
    (kind, gguf_kind): (ArtifactKind, GgufKind),
    one: Option<&str>,
    several: Option<Vec<String>>,
) -> Result<Vec<Quantization>, InvalidRequest> {
    const FIELD: &str = "quantizations";
    let one = non_blank(one);
    let field = if several.is_some() { FIELD } else { "quantization" };
    if kind != ArtifactKind::Gguf && (one.is_some() || several.is_some()) {
        return Err(InvalidRequest::new(field, "is only valid with export_type gguf: omit it"));
    }
    let allowed = Quantization::of(gguf_kind);
    let parse = |name: &str| {
        let known = name.trim().parse().ok().filter(|known| allowed.contains(known));
        known.ok_or_else(|| {
            let all = allowed.iter().map(|quantization| quantization.as_str()).collect::<Vec<_>>().join(", ");
            let rule = if field == FIELD { "must contain only" } else { "must be one of" };
            let of_lora = if gguf_kind == GgufKind::Lora { " with gguf_kind lora" } else { "" };
            InvalidRequest::new(field, format!("{rule} {all}{of_lora}"))
        })
    };
    match (kind, one, several) {
        (ArtifactKind::Gguf, None, None) => Ok(vec![Quantization::default_of(gguf_kind)]),
        (_, None, None) => Ok(Vec::new()),
        (_, Some(one), None) => Ok(vec![parse(one)?]),
        (_, Some(_), Some(_)) => {
            Err(InvalidRequest::new(FIELD, "is sent instead of quantization: omit one of them"))
        }
        (_, None, Some(names)) => {
            let types = names.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>()?;
            let is_repeated = types.iter().enumerate().any(|(at, name)| types[..at].contains(name));
            if types.is_empty() || types.len() > CreateExport::MAX_QUANTIZATIONS || is_repeated {
                let most = CreateExport::MAX_QUANTIZATIONS;
                return Err(InvalidRequest::new(FIELD, format!("must have 1 to {most} types, each once")));
            }
            Ok(types)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CANARY: &str = "hf_canary";

    fn request(body: &Value) -> Result<CreateExport, InvalidRequest> {
        serde_json::from_value::<RawCreateExport>(body.clone()).unwrap().try_into()
    }

    /// A request that is valid, with `change` merged into it.
    fn with(change: &Value) -> Value {
        let mut body = json!({"job_id": "job-1", "export_type": "gguf", "hf_token": CANARY});
        let fields = body.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        body
    }

    #[test]
    fn an_error_names_the_field_and_never_contains_the_token() {
        let long = "x".repeat(1_501);
        let hub = json!(["hf_hub"]);
        let table = [
            ("job_id", json!({"job_id": null})),
            ("job_id", json!({"job_id": 7})),
            ("job_id", json!({"job_id": ""})),
            ("job_id", json!({"job_id": "a/b"})),
            ("job_id", json!({"job_id": "."})),
            ("job_id", json!({"job_id": ".."})),
            ("job_id", json!({"job_id": "__x__"})),
            ("job_id", json!({"job_id": "a\u{0}b"})),
            ("job_id", json!({"job_id": long})),
            ("export_type", json!({"export_type": null})),
            ("export_type", json!({"export_type": ""})),
            ("export_type", json!({"export_type": "GGUF"})),
            ("export_type", json!({"export_type": ["gguf"]})),
            ("destination", json!({"destination": null})),
            ("destination", json!({"destination": []})),
            ("destination", json!({"destination": "gcs"})),
            ("destination", json!({"destination": ["gcs", "s3"]})),
            ("destination", json!({"destination": ["gcs", null]})),
            ("hf_repo_id", json!({"destination": hub})),
            ("hf_repo_id", json!({"destination": hub, "hf_repo_id": " "})),
            ("hf_repo_id", json!({"destination": hub, "hf_repo_id": "no-owner"})),
            ("hf_repo_id", json!({"hf_repo_id": "a/../b"})),
            ("hf_repo_id", json!({"hf_repo_id": {}})),
            ("hf_token", json!({"destination": hub, "hf_repo_id": "a/b", "hf_token": ""})),
            ("hf_token", json!({"destination": hub, "hf_repo_id": "a/b", "hf_token": "  \t"})),
            ("hf_token", json!({"hf_token": [CANARY]})),
            ("hf_token", json!({"hf_token": {"value": CANARY}})),
            ("hf_token", json!({"hf_token": format!("{CANARY}\n{CANARY}")})),
            ("hf_token", json!({"hf_token": format!("{CANARY}\u{0}")})),
            ("hf_token", json!({"hf_token": format!("{CANARY}ü")})),
            ("hf_token", json!({"hf_token": CANARY.repeat(CreateExport::MAX_HF_TOKEN)})),
            ("hf_private", json!({"hf_private": "yes"})),
            ("quantization", json!({"quantization": "q4_9"})),
            ("quantization", json!({"quantization": 8})),
            ("quantization", json!({"export_type": "merged", "quantization": "q8_0"})),
            ("quantization", json!({"export_type": "adapter", "quantization": "f16"})),
            ("quantizations", json!({"quantizations": []})),
            ("quantizations", json!({"quantizations": "q8_0"})),
            ("quantizations", json!({"quantizations": ["q8_0", null]})),
            ("quantizations", json!({"quantizations": ["q8_0", "q9_0"]})),
            ("quantizations", json!({"quantizations": ["q8_0", "Q8_0"]})),
            (
                "quantizations",
                json!({"quantizations": Quantization::ALL[..9].iter().map(|q| q.as_str()).collect::<Vec<_>>()}),
            ),
            ("quantizations", json!({"quantizations": ["q8_0"], "quantization": "q8_0"})),
            ("quantizations", json!({"export_type": "merged", "quantizations": ["q8_0"]})),
            ("gguf_kind", json!({"gguf_kind": "LORA"})),
            ("gguf_kind", json!({"gguf_kind": ["lora"]})),
            ("gguf_kind", json!({"export_type": "merged", "gguf_kind": "model"})),
            ("quantization", json!({"gguf_kind": "lora", "quantization": "q4_0"})),
            ("imatrix", json!({"imatrix": "gs://b/i.gguf"})),
            ("imatrix", json!({"imatrix": "gs://b/i.gguf", "quantizations": ["f16", "q8_0"]})),
            ("imatrix", json!({"imatrix": "gs://b/i.gguf", "gguf_kind": "lora"})),
            ("imatrix", json!({"imatrix": "gs://b/i.gguf", "export_type": "merged"})),
            ("imatrix", json!({"imatrix": "https://b/i.gguf", "quantization": "q4_0"})),
            ("imatrix", json!({"imatrix": "gs://b/", "quantization": "q4_0"})),
            ("imatrix", json!({"imatrix": "gs:///i.gguf", "quantization": "q4_0"})),
            ("imatrix", json!({"imatrix": ["gs://b/i.gguf"], "quantization": "q4_0"})),
            ("quantizations", json!({"gguf_kind": "lora", "quantizations": ["f16", "q6_k"]})),
            ("prompts_uri", json!({"prompts_uri": "gs://b/p.jsonl", "export_type": "adapter"})),
            ("prompts_uri", json!({"prompts_uri": "gs://b/p.jsonl", "gguf_kind": "lora"})),
            ("prompts_uri", json!({"prompts_uri": "https://b/p.jsonl"})),
            ("prompts_uri", json!({"prompts_uri": "gs://b/prompts/"})),
            ("prompts_uri", json!({"prompts_uri": "gs://b/a/../p.jsonl"})),
            ("prompts_uri", json!({"prompts_uri": "file:///b/./p.jsonl"})),
            ("prompts_uri", json!({"prompts_uri": "gs://b//p.jsonl"})),
            ("prompts_uri", json!({"prompts_uri": ["gs://b/p.jsonl"]})),
            ("calibration_uri", json!({"calibration_uri": "gs://b/t.txt"})),
            ("calibration_uri", json!({"calibration_uri": "gs://b/t.txt", "gguf_kind": "lora"})),
            ("calibration_uri", json!({"calibration_uri": "gs://b/t.txt", "export_type": "merged"})),
            ("calibration_uri", json!({"calibration_uri": "t.txt", "quantization": "q4_0"})),
            (
                "calibration_uri",
                json!({"calibration_uri": "gs://b/t.txt", "imatrix": "gs://b/i.gguf", "quantization": "q4_0"}),
            ),
            ("max_bytes", json!({"max_bytes": 0})),
            ("max_bytes", json!({"max_bytes": -1})),
            ("max_bytes", json!({"max_bytes": 1.5})),
            ("max_bytes", json!({"max_bytes": (1_u64 << 50) + 1})),
            ("max_bytes", json!({"max_bytes": "4GB"})),
            ("max_bytes", json!({"max_bytes": 4_000, "export_type": "merged"})),
            ("max_bytes", json!({"max_bytes": 4_000, "gguf_kind": "lora"})),
            ("max_bytes", json!({"max_bytes": 4_000, "quantization": "q4_0"})),
            ("max_bytes", json!({"max_bytes": 4_000, "quantizations": ["q4_0"]})),
        ];
        for (field, change) in table {
            let error = request(&with(&change)).expect_err(&format!("{change} must be rejected"));
            assert_eq!(error.field, field, "{change}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{change}");
        }
    }

    #[test]
    fn omitted_fields_have_defaults() {
        let request = request(&json!({"job_id": "job-1", "export_type": "gguf"})).unwrap();
        assert_eq!(request.destinations.as_slice(), [Destination::Gcs]);
        assert_eq!(request.quantizations, [Quantization::Q8_0]);
        assert!(request.hf_private && request.hf_token.is_none() && request.hf_repo.is_none());
    }

    #[test]
    fn an_adapter_as_gguf_has_the_default_of_the_command() {
        let lora = request(&with(&json!({"gguf_kind": "lora"}))).unwrap();
        assert_eq!((lora.gguf_kind, lora.quantizations), (GgufKind::Lora, vec![Quantization::F32]));
        let model = request(&with(&json!({"gguf_kind": null}))).unwrap();
        assert_eq!((model.gguf_kind, model.quantizations), (GgufKind::Model, vec![Quantization::Q8_0]));
    }

    #[test]
    fn null_and_blank_count_as_omitted() {
        let blanks = json!({"hf_token": " ", "hf_repo_id": "", "hf_private": null,
            "export_type": "merged", "quantization": ""});
        let request = request(&with(&blanks)).unwrap();
        assert!(request.hf_private && request.hf_token.is_none() && request.hf_repo.is_none());
        assert_eq!(request.quantizations, []);
    }

    #[test]
    fn prompts_are_of_a_merged_model_or_a_gguf_of_one() {
        for kind in ["merged", "gguf"] {
            let request =
                request(&with(&json!({"export_type": kind, "prompts_uri": " gs://b/p.txt "}))).unwrap();
            assert_eq!(request.prompts_uri.as_deref(), Some("gs://b/p.txt"), "{kind}");
        }
        assert_eq!(request(&with(&json!({"prompts_uri": " "}))).unwrap().prompts_uri, None);
    }

    #[test]
    fn types_for_a_size_have_no_name() {
        for size in [json!(4_000_000_000_u64), json!(4e9), json!(1_u64 << 50)] {
            let fields = json!({"max_bytes": size, "quantization": " ", "imatrix": "gs://b/i.gguf"});
            let request = request(&with(&fields)).unwrap();
            assert_eq!(
                (request.max_bytes, request.quantizations.len()),
                (size.as_f64().map(|n| n as u64), 0)
            );
        }
    }

    #[test]
    fn several_quantizations_keep_their_order() {
        let request = request(&with(&json!({"quantizations": ["Q4_K_M", " q8_0"]}))).unwrap();
        assert_eq!(request.quantizations, [Quantization::Q4_K_M, Quantization::Q8_0]);
    }

    #[test]
    fn unknown_fields_and_duplicate_destinations_are_ignored() {
        let change =
            json!({"destination": ["hf_hub", "gcs", "hf_hub"], "hf_repo_id": " ada/gemma ", "x": {"y": [1]}});
        let request = request(&with(&change)).unwrap();
        assert_eq!(request.destinations.as_slice(), [Destination::Gcs, Destination::HfHub]);
        assert_eq!(request.hf_repo.unwrap().as_str(), "ada/gemma");
    }

    #[test]
    fn the_token_is_trimmed_and_not_in_debug_output() {
        let request = request(&with(&json!({"hf_token": format!(" {CANARY}\n")}))).unwrap();
        assert_eq!(request.hf_token.as_ref().unwrap().expose_secret(), CANARY);
        assert!(!format!("{request:?}").contains("canary"));
        let raw: RawCreateExport = serde_json::from_value(with(&json!({}))).unwrap();
        assert!(!format!("{raw:?}").contains("canary"));
    }

    #[test]
    fn the_error_of_a_malformed_body_does_not_contain_the_token() {
        let twice = format!(r#"{{"hf_token":"{CANARY}","hf_token":"{CANARY}"}}"#);
        let error = serde_json::from_str::<RawCreateExport>(&twice).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }

    #[test]
    fn quantization_types_serialize_as_their_names() {
        for quantization in Quantization::ALL {
            assert_eq!(serde_json::to_value(quantization).unwrap(), quantization.as_str());
        }
    }
}
