//! The common crate of the Export Service: domain model, use cases, ports, HTTP layer and adapters. The functions
//! (`health`, `list`, `create`, `get`, `cancel`, `plan`) only connect these parts; the export job and the local stack use them too.
//!
//! # A request
//!
//! `POST /exports` in the function `create`, from the socket to the response:
//!
//! ```text
//!   client
//!     │ HTTP                                          AWS Lambda event
//!     ▼                                                     │
//!   serve::run ── timeouts, graceful shutdown ◄── lambda_http ┘
//!     ▼
//!   http::envelope ── request id, log line, Cache-Control, 500 after a panic
//!     ▼
//!   http::Caller ──────► auth::Verifier ──────► ports::TokenKeys ◄── adapters::firebase_keys
//!     ▼ 401 before the body is read
//!   http::ExportRequest ── 408, 413, 415 ──► domain::CreateExport (400 if invalid)
//!     ▼
//!   service::create ──► ports::TrainingJobs, ports::Exports ◄── adapters::firestore
//!     │   403, 404, 400   └► ports::JobLauncher               ◄── adapters::cloud_run
//!     ▼
//!   api::ExportStarted, or domain::Error ──► api::Problem (RFC 9457)
//! ```
//!
//! The job then claims the export, and reports progress and completion with `Exports::apply`. It applies a
//! [`domain::Transition`] to the stored [`domain::Export`].
//!
//! # Modules
//!
//! A module uses only modules above it in this table:
//!
//! | module | contents |
//! | --- | --- |
//! | [`clock`] | the current time, in the precision of the stores |
//! | [`config`] | settings from environment variables |
//! | [`domain`] | ids, training jobs, exports and their state machine, validation of requests; no I/O |
//! | [`rsa_key`] | public keys that verify the signatures of tokens |
//! | [`ports`] | traits for external systems: stores, launcher, token keys, download links |
//! | [`telemetry`] | log lines and the tags of a request |
//! | [`auth`] | verification of Firebase ID tokens |
//! | [`service`] | the use cases `create`, `cancel`, `plan`, `get`, `history` and `list`, on domain and ports |
//! | [`api`] | the wire format: response bodies, problem details, OpenAPI |
//! | [`http`] | extractors, middleware, body limits |
//! | [`serve`] | the HTTP server, and Lambda |
//! | [`adapters`] | implementations of the ports with cloud SDKs; document formats; forwarding to `list` |
//! | `testing` | feature `testing`: in-memory adapters, fake servers, fixtures, the conformance suite for stores |

pub mod adapters;
pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod ports;
pub mod rsa_key;
pub mod serve;
pub mod service;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
