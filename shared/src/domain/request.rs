//! `POST /exports`, from what arrives to what may be acted on.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{ArtifactKind, HubRepo, JobId};

/// Where an export goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Google Cloud Storage.
    Gcs,
    /// The Hugging Face Hub.
    HfHub,
}

/// One or both destinations, each once, in the order of [`Destination`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Destinations(Vec<Destination>);

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

/// How a GGUF file stores its matrices, in llama.cpp's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit brain floats.
    Bf16,
    /// Blocks of 32 bytes with one f16 scale.
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl Quantization {
    /// What an export gets that asks for none.
    pub const DEFAULT: Self = Self::Q8_0;
    /// Every type, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0];

    /// The name on the wire, in documents and in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
        }
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

/// The body as it may arrive: everything optional, blanks allowed, unknown fields ignored.
#[derive(Debug, Default, Deserialize)]
pub struct RawCreateExport {
    job_id: Option<String>,
    export_type: Option<String>,
    destination: Option<Vec<String>>,
    hf_token: Option<SecretString>,
    hf_repo_id: Option<String>,
    hf_private: Option<bool>,
    quantization: Option<String>,
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

impl TryFrom<RawCreateExport> for CreateExport {
    type Error = InvalidRequest;

    fn try_from(raw: RawCreateExport) -> Result<Self, InvalidRequest> {
        let job_id = raw.job_id.ok_or_else(|| InvalidRequest::new("job_id", "is required"))?;
        let job_id = job_id.parse::<JobId>().map_err(|e| InvalidRequest::new("job_id", e.to_string()))?;
        let kind = kind_named(raw.export_type.as_deref())?;
        let destinations = destinations_named(raw.destination)?;
        let hf_token = raw.hf_token.filter(|token| !token.expose_secret().trim().is_empty());
        let hf_repo = repo_named(raw.hf_repo_id.as_deref())?;
        if destinations.contains(Destination::HfHub) {
            if hf_repo.is_none() {
                return Err(InvalidRequest::new("hf_repo_id", "is required when destination names hf_hub"));
            }
            if hf_token.is_none() {
                return Err(InvalidRequest::new("hf_token", "is required when destination names hf_hub"));
            }
        }
        let quantization = quantization_for(kind, raw.quantization.as_deref())?;
        let hf_private = raw.hf_private.unwrap_or(true);
        Ok(Self { job_id, kind, destinations, hf_token, hf_repo, hf_private, quantization })
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
    let Some(names) = names else { return Ok(Destinations(vec![Destination::Gcs])) };
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
        (ArtifactKind::Gguf, Some(name)) => {
            Quantization::ALL.into_iter().find(|q| q.as_str() == name).map(Some).ok_or_else(|| {
                let all = Quantization::ALL.map(Quantization::as_str).join(", ");
                InvalidRequest::new(field, format!("must be one of {all}"))
            })
        }
    }
}
