//! `POST /exports`, from what arrives to what may be acted on.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{ArtifactKind, HubRepo, JobId, Quantization, UnknownQuantization};

/// Where an export goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Google Cloud Storage.
    Gcs,
    /// The Hugging Face Hub.
    HfHub,
}

/// One or both destinations, each once, in the order of [`Destination`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(min_items = 1, description = "One or both; repetitions are dropped.")
)]
#[serde(transparent)]
pub struct Destinations(Vec<Destination>);

/// Google Cloud Storage, as for a request that names no destination.
impl Default for Destinations {
    fn default() -> Self {
        Self(vec![Destination::Gcs])
    }
}

impl Destinations {
    /// Collapses repetitions; `None` when there is no destination at all.
    #[must_use]
    pub fn new(mut all: Vec<Destination>) -> Option<Self> {
        all.sort_unstable();
        all.dedup();
        (!all.is_empty()).then_some(Self(all))
    }

    /// Whether the export goes there.
    #[must_use]
    pub fn contains(&self, destination: Destination) -> bool {
        self.0.contains(&destination)
    }

    /// Every destination, each once.
    #[must_use]
    pub fn as_slice(&self) -> &[Destination] {
        &self.0
    }
}

/// Why a request is wrong by itself: the field, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidRequest {
    /// The field, as the caller wrote it.
    pub field: &'static str,
    /// What it must be. Never holds the value: it may be a secret.
    pub reason: String,
}

impl InvalidRequest {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// The body as it may arrive: everything optional, blanks allowed, unknown fields ignored. A value of the wrong
/// type is kept as such, so that the answer can name its field without ever repeating the value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawCreateExport {
    job_id: Field<String>,
    export_type: Field<String>,
    destination: Field<Vec<String>>,
    hf_token: Field<SecretString>,
    hf_repo_id: Field<String>,
    hf_private: Field<bool>,
    quantization: Field<String>,
}

/// One field of a body: absent (or null), of its type, or of another.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field<T> {
    Given(Option<T>),
    OfAnotherType(IgnoredAny),
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self::Given(None)
    }
}

impl<T> Field<T> {
    fn named(self, field: &'static str, expected: &str) -> Result<Option<T>, InvalidRequest> {
        match self {
            Self::Given(value) => Ok(value),
            Self::OfAnotherType(_) => Err(InvalidRequest::new(field, format!("must be {expected}"))),
        }
    }
}

/// What to export and where to, known to be complete and consistent.
#[derive(Debug)]
pub struct CreateExport {
    /// The training job.
    pub job_id: JobId,
    /// What to make of it.
    pub kind: ArtifactKind,
    /// Where to put it.
    pub destinations: Destinations,
    /// The token for the Hub, if the caller sent one (also used to read gated base models).
    pub hf_token: Option<SecretString>,
    /// The repository on the Hub, if the caller named one.
    pub hf_repo: Option<HubRepo>,
    /// Whether that repository is to be private.
    pub hf_private: bool,
    /// The type of a GGUF's matrices; `None` for the other kinds.
    pub quantization: Option<Quantization>,
}

impl CreateExport {
    /// The longest token taken for one of the Hub's, in bytes; theirs have 37.
    pub const MAX_HF_TOKEN: usize = 1_024;
}

impl TryFrom<RawCreateExport> for CreateExport {
    type Error = InvalidRequest;

    fn try_from(raw: RawCreateExport) -> Result<Self, InvalidRequest> {
        let job_id = job_named(raw.job_id.named("job_id", "a string")?)?;
        let kind = kind_named(raw.export_type.named("export_type", "a string")?.as_deref())?;
        let destinations =
            destinations_named(raw.destination.named("destination", "an array of gcs, hf_hub or both")?)?;
        let hf_token = token_given(raw.hf_token.named("hf_token", "a string")?)?;
        let hf_repo = repo_named(raw.hf_repo_id.named("hf_repo_id", "a string")?.as_deref())?;
        let hf_private = raw.hf_private.named("hf_private", "true or false")?.unwrap_or(true);
        let quantization =
            quantization_for(kind, raw.quantization.named("quantization", "a string")?.as_deref())?;
        if destinations.contains(Destination::HfHub) {
            if hf_repo.is_none() {
                return Err(InvalidRequest::new("hf_repo_id", "is required when destination names hf_hub"));
            }
            if hf_token.is_none() {
                return Err(InvalidRequest::new("hf_token", "is required when destination names hf_hub"));
            }
        }
        Ok(Self { job_id, kind, destinations, hf_token, hf_repo, hf_private, quantization })
    }
}

fn job_named(id: Option<String>) -> Result<JobId, InvalidRequest> {
    let field = "job_id";
    let id = id.ok_or_else(|| InvalidRequest::new(field, "is required"))?;
    id.parse().map_err(|e: super::InvalidId| InvalidRequest::new(field, e.to_string()))
}

/// The token without the blanks around it. It becomes a header and a variable of the job's environment, so it must
/// be fit for both.
fn token_given(token: Option<SecretString>) -> Result<Option<SecretString>, InvalidRequest> {
    let Some(token) = token else { return Ok(None) };
    match given(Some(token.expose_secret())) {
        None => Ok(None),
        Some(text)
            if text.len() <= CreateExport::MAX_HF_TOKEN && text.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(text.into()))
        }
        Some(_) => Err(InvalidRequest::new("hf_token", "must be an access token of the Hugging Face Hub")),
    }
}

/// A text that was given: neither absent nor blank.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn kind_named(name: Option<&str>) -> Result<ArtifactKind, InvalidRequest> {
    match name {
        Some("adapter") => Ok(ArtifactKind::Adapter),
        Some("merged") => Ok(ArtifactKind::Merged),
        Some("gguf") => Ok(ArtifactKind::Gguf),
        Some(_) => Err(InvalidRequest::new("export_type", "must be adapter, merged or gguf")),
        None => Err(InvalidRequest::new("export_type", "is required: adapter, merged or gguf")),
    }
}

fn destinations_named(names: Option<Vec<String>>) -> Result<Destinations, InvalidRequest> {
    let Some(names) = names else { return Ok(Destinations::default()) };
    let all = names
        .iter()
        .map(|name| match name.as_str() {
            "gcs" => Ok(Destination::Gcs),
            "hf_hub" => Ok(Destination::HfHub),
            _ => Err(InvalidRequest::new("destination", "must hold gcs, hf_hub or both")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Destinations::new(all)
        .ok_or_else(|| InvalidRequest::new("destination", "must not be empty: gcs, hf_hub or both"))
}

fn repo_named(name: Option<&str>) -> Result<Option<HubRepo>, InvalidRequest> {
    given(name)
        .map(str::parse)
        .transpose()
        .map_err(|e: super::InvalidId| InvalidRequest::new("hf_repo_id", e.to_string()))
}

fn quantization_for(kind: ArtifactKind, name: Option<&str>) -> Result<Option<Quantization>, InvalidRequest> {
    let field = "quantization";
    match (kind, given(name)) {
        (ArtifactKind::Adapter | ArtifactKind::Merged, None) => Ok(None),
        (ArtifactKind::Adapter | ArtifactKind::Merged, Some(_)) => {
            Err(InvalidRequest::new(field, "goes with export_type gguf only: leave it out"))
        }
        (ArtifactKind::Gguf, None) => Ok(Some(Quantization::DEFAULT)),
        (ArtifactKind::Gguf, Some(name)) => name.parse().map(Some).map_err(|_: UnknownQuantization| {
            let all = Quantization::ALL.map(Quantization::as_str).join(", ");
            InvalidRequest::new(field, format!("must be one of {all}"))
        }),
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
    fn each_rule_names_its_field_and_never_shows_the_token() {
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
            ("hf_token", json!({"hf_token": CANARY.repeat(200)})),
            ("hf_private", json!({"hf_private": "yes"})),
            ("quantization", json!({"quantization": "q4_9"})),
            ("quantization", json!({"quantization": 8})),
            ("quantization", json!({"export_type": "merged", "quantization": "q8_0"})),
            ("quantization", json!({"export_type": "adapter", "quantization": "f16"})),
        ];
        for (field, change) in table {
            let error = request(&with(&change)).expect_err(&format!("{change} must be refused"));
            assert_eq!(error.field, field, "{change}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{change}");
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let request = request(&json!({"job_id": "job-1", "export_type": "gguf"})).unwrap();
        assert_eq!(request.destinations.as_slice(), [Destination::Gcs]);
        assert_eq!(request.quantization, Some(Quantization::Q8_0));
        assert!(request.hf_private && request.hf_token.is_none() && request.hf_repo.is_none());
    }

    #[test]
    fn nulls_and_blanks_mean_not_given() {
        let blanks = json!({"destination": null, "hf_token": " ", "hf_repo_id": "", "hf_private": null,
            "export_type": "merged", "quantization": ""});
        let request = request(&with(&blanks)).unwrap();
        assert!(request.hf_private && request.hf_token.is_none() && request.hf_repo.is_none());
        assert_eq!(request.quantization, None);
    }

    #[test]
    fn unknown_fields_are_ignored_and_destinations_collapse() {
        let change =
            json!({"destination": ["hf_hub", "gcs", "hf_hub"], "hf_repo_id": " ada/gemma ", "x": {"y": [1]}});
        let request = request(&with(&change)).unwrap();
        assert_eq!(request.destinations.as_slice(), [Destination::Gcs, Destination::HfHub]);
        assert_eq!(request.hf_repo.unwrap().as_str(), "ada/gemma");
    }

    #[test]
    fn the_token_is_kept_without_blanks_around_it_and_out_of_debug() {
        let request = request(&with(&json!({"hf_token": format!(" {CANARY}\n")}))).unwrap();
        assert_eq!(request.hf_token.as_ref().unwrap().expose_secret(), CANARY);
        assert!(!format!("{request:?}").contains("canary"));
        let raw: RawCreateExport = serde_json::from_value(with(&json!({}))).unwrap();
        assert!(!format!("{raw:?}").contains("canary"));
    }

    #[test]
    fn an_unreadable_body_is_an_error_that_does_not_show_the_token() {
        let twice = format!(r#"{{"hf_token":"{CANARY}","hf_token":"{CANARY}"}}"#);
        let error = serde_json::from_str::<RawCreateExport>(&twice).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }

    #[test]
    fn every_quantization_has_the_name_that_documents_hold() {
        for quantization in Quantization::ALL {
            assert_eq!(serde_json::to_value(quantization).unwrap(), quantization.as_str());
        }
    }
}
