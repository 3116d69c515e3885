//! The table of calls in `docs/SECURITY.md`: it has exactly the calls of Google's APIs that functions and job make.
//!
//! Each runs with its real adapters in a process of its own, against a server that records the methods of gRPC. Calls by
//! HTTP follow from the adapters that `main.rs` names, and from the methods of the object store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::pending,
    process::Command,
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use job::{Buckets, Context, Execution, HubSettings, JobMachine, Locations, PROGRESS_INTERVAL, Planner};
use regex::Regex;
use serde_json::json;
use shared::{
    adapters::{
        cloud_run::CloudRunJobs,
        documents::{self, EXPORTS, TRAINING_JOBS},
        firestore::Firestore,
        kms::KmsKey,
        storage::Storage,
    },
    auth::Verifier,
    clock,
    config::{CloudRunConfig, FirestoreConfig, KmsConfig},
    domain::{CallerLimits, ExecutionName, Transition},
    ports::{EncryptionKey, Exports},
    service::hub_token::SealingLauncher,
    testing::{
        FakeLinks, FixedKeys, TokenSigner,
        encryption::FakeKms,
        fixtures,
        google::FakeGoogle,
        http::{request, send},
    },
};

use crate::{
    rehearsal::{read, root},
    rules::grants::{Row, rows},
};

/// Functions and job, and the folders of their `main.rs`.
const IDENTITIES: [(&str, &str); 6] = [
    ("list", "functions/list"),
    ("get", "functions/get"),
    ("create", "functions/create"),
    ("cancel", "functions/cancel"),
    ("plan", "functions/plan"),
    ("job", "job"),
];

/// The first word of a call, if it is the name of a method of gRPC.
fn rpc(call: &str) -> Option<String> {
    let name = Regex::new(r"^(?:[A-Z][a-z]+)+\b").unwrap();
    name.find(call).map(|found| found.as_str().to_owned())
}

/// Set in the process of an identity: who it is, and the URL of the recording server.
const PROCESS: (&str, &str) = ("CALLS_OF", "FAKE_GOOGLE");

#[tokio::test]
async fn the_table_has_the_calls_of_grpc_that_are_made() {
    if let (Ok(identity), Ok(endpoint)) = (std::env::var(PROCESS.0), std::env::var(PROCESS.1)) {
        return Process { endpoint }.run(&identity).await;
    }
    let mut documented: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for Row { identity, calls, .. } in rows() {
        documented.entry(identity).or_default().extend(calls.split(", ").filter_map(rpc));
    }
    for (identity, _) in IDENTITIES {
        let google = FakeGoogle::start().await;
        let export = fixtures::new_export(fixtures::EXPORT.parse().unwrap(), fixtures::JOB, clock::now());
        let launched = Transition::Launched(ExecutionName::new("run-1"));
        let export = export.apply(&launched, clock::now()).unwrap();
        google.put(fixtures::PROJECT, TRAINING_JOBS, fixtures::JOB, &fixtures::training_job(fixtures::ADA));
        google.put(fixtures::PROJECT, EXPORTS, fixtures::EXPORT, &documents::create(&export));
        let output = run_as(identity, &google.endpoint()).await;
        assert!(output.status.success(), "{identity}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(google.calls(), documented[identity], "calls of {identity}, and of its rows");
    }
}

async fn run_as(identity: &str, google: &str) -> std::process::Output {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "calls::the_table_has_the_calls_of_grpc_that_are_made", "--nocapture"]);
    process.env(PROCESS.0, identity).env(PROCESS.1, google);
    // Firestore's client needs no credentials there
    process.env("FIRESTORE_EMULATOR_HOST", google.trim_start_matches("http://"));
    tokio::task::spawn_blocking(move || process.output().unwrap()).await.unwrap()
}

/// Functions and job with the adapters of production.
struct Process {
    endpoint: String,
}

impl Process {
    /// Uses everything that has a row: also transitions that are refused, whose transactions are rolled back.
    async fn run(&self, identity: &str) {
        let path = format!("/exports/{}", fixtures::JOB);
        let export = json!({"job_id": fixtures::JOB, "export_type": "adapter", "hf_token": "hf_token"});
        let (nothing, by_id) = (json!(null), json!({"export_id": fixtures::EXPORT}));
        let requests = match identity {
            "list" => vec![("GET", "/exports".to_owned(), nothing, 200)],
            "get" => vec![
                ("GET", path.clone(), nothing.clone(), 200),
                ("GET", format!("{path}/history"), nothing.clone(), 200),
                ("GET", format!("{path}/history/{}", fixtures::EXPORT), nothing, 200),
            ],
            "create" => vec![("POST", "/exports".to_owned(), export, 200)],
            "cancel" => vec![
                ("POST", format!("{path}/cancel"), nothing, 200),
                ("POST", format!("{path}/cancel"), by_id, 409),
            ],
            // the adapter is missing
            "plan" => vec![("POST", "/plans".to_owned(), export, 422)],
            _ => return self.run_job().await,
        };
        let function = self.function(identity);
        for (method, path, body, status) in requests {
            let token = TokenSigner::first().token(fixtures::ADA);
            let mut request = request(method, &path, Some(&token));
            if !body.is_null() {
                request.headers_mut().insert("content-type", "application/json".parse().unwrap());
                *request.body_mut() = body.to_string().into();
            }
            let response = send(&function, request).await;
            assert_eq!(response.status.as_u16(), status, "{method} {path}: {}", response.body);
        }
    }

    fn function(&self, name: &str) -> axum::Router {
        let callers = Verifier::new(fixtures::PROJECT, Arc::new(FixedKeys::default()));
        let store = store();
        let (jobs, exports): (_, Arc<dyn Exports>) = (Arc::clone(&store) as _, store);
        let launcher = Arc::new(CloudRunJobs::new(CloudRunConfig {
            project_id: fixtures::PROJECT.to_owned(),
            region: "us-central1".to_owned(),
            job_name: "export-job".to_owned(),
            endpoint: self.endpoint.parse().ok(),
        }));
        match name {
            "list" => list::router(list::Context { callers, jobs }),
            "get" => get::router(get::Context { callers, jobs, exports, links: Arc::<FakeLinks>::default() }),
            "cancel" => cancel::router(cancel::Context { callers, jobs, exports, launcher }),
            "plan" => {
                let planner = Arc::new(Planner::new(nowhere(), JobMachine::default()));
                plan::router(plan::Context { callers, jobs, planner })
            }
            "create" => create::router(create::Context {
                callers,
                jobs,
                exports,
                launcher: Arc::new(SealingLauncher { launcher, key: self.key() }),
                retention_days: fixtures::RETENTION_DAYS,
                limits: CallerLimits { running: 9, daily: 9 },
                list: None,
            }),
            _ => panic!("which function is {name}?"),
        }
    }

    /// An export whose adapter is missing, and one that has ended.
    async fn run_job(&self) {
        for execution in ["run-1", "run-2"] {
            let store = store();
            let context = Context {
                training_jobs: Arc::clone(&store) as _,
                exports: store,
                token_key: Some(self.key()),
                locations: nowhere(),
                machine: JobMachine { verify_logits: Duration::ZERO, ..JobMachine::default() },
                progress_interval: PROGRESS_INTERVAL,
            };
            let execution = Execution {
                export: fixtures::EXPORT.parse().unwrap(),
                claim: fixtures::claim(execution),
                hf_token: Some(format!("sealed:v1:{}", BASE64_STANDARD.encode("hf_token")).into()),
            };
            job::run(context, execution, pending()).await;
        }
    }

    fn key(&self) -> Arc<dyn EncryptionKey> {
        let key = FakeKms::KEY.to_owned();
        Arc::new(KmsKey::new(KmsConfig { key, endpoint: self.endpoint.parse().ok() }))
    }
}

/// Buckets and a Hub that do not exist.
fn nowhere() -> Locations {
    let (folder, bucket) = (tempfile::tempdir().unwrap(), "file:///nowhere".to_owned());
    Locations {
        storage: Storage::folder(folder.path()).unwrap(),
        buckets: Buckets { raw: bucket.clone(), files: bucket },
        base_models: None,
        hub: HubSettings::at("http://127.0.0.1:1"),
    }
}

fn store() -> Arc<Firestore> {
    let project_id = fixtures::PROJECT.to_owned();
    Arc::new(Firestore::new(FirestoreConfig { project_id, database: "(default)".to_owned() }))
}

/// What a method of gRPC needs: all of the first, and one at least of the others.
///
/// <https://cloud.google.com/firestore/docs/security/iam>, <https://cloud.google.com/run/docs/reference/iam/permissions>
fn permissions_of_rpc(method: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match method {
        "GetDocument" => (&["datastore.entities.get"], &[]),
        "RunQuery" => (&["datastore.entities.get", "datastore.entities.list"], &[]),
        "Commit" => (&[], &["datastore.entities.create", "datastore.entities.update"]),
        "RunJob" => (&["run.jobs.run", "run.jobs.runWithOverrides"], &[]),
        "CancelExecution" => (&["run.executions.cancel"], &[]),
        "Encrypt" => (&["cloudkms.cryptoKeyVersions.useToEncrypt"], &[]),
        "Decrypt" => (&["cloudkms.cryptoKeyVersions.useToDecrypt"], &[]),
        other => panic!("which permissions does {other} need? docs/SECURITY.md lists them"),
    }
}

#[test]
fn each_row_has_the_permissions_of_its_calls_and_no_others() {
    for row in rows() {
        let needs: Vec<_> =
            row.calls.split(", ").filter_map(rpc).map(|call| permissions_of_rpc(&call)).collect();
        let has = |permission: &str| row.permissions.iter().any(|listed| listed == permission);
        for (all, one) in &needs {
            let enough = all.iter().all(|p| has(p)) && (one.is_empty() || one.iter().any(|p| has(p)));
            assert!(enough, "{}: {} needs more than {:?}", row.identity, row.calls, row.permissions);
        }
        let needed =
            |listed: &str| needs.iter().any(|(all, one)| all.contains(&listed) || one.contains(&listed));
        let unused = row.permissions.iter().find(|listed| !needs.is_empty() && !needed(listed));
        assert_eq!(unused, None, "{}: {}", row.identity, row.calls);
    }
}

/// The calls by HTTP of each adapter; those of the others are above, or need no permission.
fn calls_by_http(identity: &str, adapter: &str) -> &'static [&'static str] {
    match adapter {
        "cloud_run" | "firestore" | "kms" | "firebase_keys" | "identity_tokens" => &[],
        "list_service" => &["`list` over HTTP"],
        "download_links" => &["signBlob as itself", "the GET of a link, by its reader"],
        "storage" if identity == "plan" => &["read of the two buckets, and of adapters and base models"],
        "storage" => &["write, list, delete and read of its two buckets", "read of adapters and base models"],
        other => panic!("which calls does the adapter {other} make? They need rows in docs/SECURITY.md"),
    }
}

#[test]
fn the_table_has_the_calls_by_http_of_each_adapter() {
    let named = Regex::new(r"(?s)adapters::\{(.*?)\}, *\n").unwrap();
    let module = Regex::new(r"\b([a-z_]+)(::|,|$)").unwrap();
    for (identity, folder) in IDENTITIES {
        let main = read(&format!("{folder}/src/main.rs"));
        let adapters = named.captures(&main).unwrap_or_else(|| panic!("{identity} names no adapters"));
        let made: BTreeSet<_> = module
            .captures_iter(&adapters[1])
            .flat_map(|adapter| {
                calls_by_http(identity, adapter.get(1).unwrap().as_str())
                    .iter()
                    .map(|call| (*call).to_owned())
            })
            .collect();
        let documented: BTreeSet<_> = rows()
            .into_iter()
            .filter(|row| row.identity == identity && rpc(&row.calls).is_none())
            .map(|row| row.calls)
            .collect();
        assert_eq!(made, documented, "calls by HTTP of {identity}, and of its rows");
    }
}

/// What a method of the object store needs.
fn permissions_of(method: &str) -> &'static [&'static str] {
    match method {
        "get" | "get_opts" => &["storage.objects.get"],
        "list" => &["storage.objects.list"],
        "delete" => &["storage.objects.delete"],
        // to overwrite is to delete
        "put_opts" => &["storage.objects.create", "storage.objects.delete"],
        "BufWriter" => &["storage.objects.create", "storage.multipartUploads.create"],
        "abort" => &["storage.multipartUploads.abort"],
        other => panic!("which permission does {other} need? docs/SECURITY.md lists it"),
    }
}

#[test]
fn the_table_has_the_permissions_for_what_the_job_does_with_objects() {
    let method =
        Regex::new(r"\.store\s*\.(\w+)\(|(BufWriter)::|file\.(abort)\(|self\.folder\.(list)\(").unwrap();
    let code = ["job/src/bucket.rs", "bucket-snapshot/src/lib.rs", "job/src/upload.rs"].map(read).concat();
    let used = method.captures_iter(&code).flat_map(|found| {
        permissions_of(found.iter().skip(1).flatten().next().unwrap().as_str())
            .iter()
            .map(|p| (*p).to_owned())
    });
    let used: BTreeSet<_> = used.collect();
    let of_row = |calls: &str| {
        let row = rows().into_iter().find(|row| row.identity == "job" && row.calls == calls).unwrap();
        row.permissions.into_iter().collect::<BTreeSet<_>>()
    };
    assert_eq!(used, of_row("write, list, delete and read of its two buckets"));
    assert!(of_row("read of adapters and base models").is_subset(&used));
    // no other file of the job uses an object store
    for entry in fs::read_dir(root().join("job/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            // what is known of an object makes no call
            let text = fs::read_to_string(&path).unwrap().replace("use object_store::ObjectMeta;", "");
            let here = ["bucket.rs", "upload.rs"].iter().any(|name| path.ends_with(name));
            assert!(here || !text.contains("use object_store"), "{} uses an object store", path.display());
        }
    }
}
