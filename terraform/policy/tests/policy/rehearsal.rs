//! Runs the real Terraform on a copy of `terraform/` with the fake providers, and reads the state after an apply.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{LazyLock, OnceLock},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::plugin::{self, cloud::Cloud};

pub(crate) const PROJECT: &str = "demo-export";

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether deployments are rehearsed: in CI and with `REHEARSE_DEPLOYMENT` (`make test-deployment`), where Terraform must be installed.
/// Otherwise the calling test is skipped with a message, because all of them take minutes.
pub(crate) fn rehearses() -> bool {
    let is_asked = ["CI", "REHEARSE_DEPLOYMENT"].iter().any(|variable| env::var_os(variable).is_some());
    if is_asked {
        let is_there = Command::new("terraform").arg("version").output().is_ok();
        assert!(is_there, "terraform is not installed: https://developer.hashicorp.com/terraform/install");
    } else {
        // Not `eprintln!`: the test runner captures its output if the test passes.
        let _ =
            writeln!(io::stderr(), "SKIPPED: a rehearsal of the deployment; make test-deployment runs it");
    }
    is_asked
}

/// The settings of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Settings {
    Staging,
    /// With the placeholders filled in.
    Production,
    /// Production, with every optional part enabled.
    Everything,
}

impl Settings {
    pub(crate) const ALL: [Self; 3] = [Self::Staging, Self::Production, Self::Everything];

    fn arguments(self) -> Vec<String> {
        let file = if self == Self::Staging { "staging" } else { "production" };
        let mut arguments = vec![
            format!("-var-file=environments/{file}.tfvars.example"),
            format!("-var=project_id={PROJECT}"),
        ];
        let digest = "0123456789abcdef".repeat(4);
        let image = |name: &str| {
            format!(
                "\"{name}\"=\"us-central1-docker.pkg.dev/{PROJECT}/export-service/{name}@sha256:{digest}\""
            )
        };
        let images = ["health", "list", "create", "get", "cancel", "plan", "export-job"].map(image).join(",");
        arguments.push(format!("-var=images={{{images}}}"));
        if self == Self::Staging {
            arguments.push("-var=adapter_buckets=[]".to_owned());
        } else {
            for setting in [
                "adapter_buckets=[\"training-adapters\"]",
                "base_models_uri=gs://base-models",
                "alert_emails=[\"oncall@demo.dev\"]",
                "github_repository=owner/export-service",
            ] {
                arguments.push(format!("-var={setting}"));
            }
        }
        if self == Self::Everything {
            for setting in [
                "create_database=true",
                "create_firebase_project=true",
                "manage_auth=true",
                "manage_rules=true",
                "hosting_release=terraform",
                "hosting_site_id=demo-export-site",
                "kms_key_name=projects/keys/locations/us-central1/keyRings/exports/cryptoKeys/models",
                "firestore_kms_key_name=projects/keys/locations/us/keyRings/exports/cryptoKeys/records",
                "app_check={app_id=\"1:123456789012:web:0123abcd\",api_key=\"key\",site_key=\"site\"}",
                "hub_client_id=01234567-89ab-cdef-0123-456789abcdef",
                "budget={billing_account=\"01AB23-45CD67-89EF01\",monthly_amount=100}",
            ] {
                arguments.push(format!("-var={setting}"));
            }
        }
        arguments
    }
}

/// A copy of the files that Terraform reads.
pub(crate) struct Copy {
    folder: TempDir,
    root_module: &'static str,
}

impl Copy {
    /// Of the service itself.
    pub(crate) fn new() -> Self {
        static INITIALIZED: LazyLock<TempDir> = LazyLock::new(|| initialized("terraform"));
        Self::of(INITIALIZED.path(), "terraform")
    }

    /// Of the example on AWS.
    pub(crate) fn aws() -> Self {
        static INITIALIZED: LazyLock<TempDir> = LazyLock::new(|| {
            let folder = initialized("terraform/examples/aws");
            let packages = folder.path().join("target/lambda/arm64");
            fs::create_dir_all(&packages).unwrap();
            for name in ["health", "list", "create", "get", "cancel", "plan"] {
                fs::write(packages.join(format!("{name}.zip")), name).unwrap();
            }
            folder
        });
        Self::of(INITIALIZED.path(), "terraform/examples/aws")
    }

    fn of(initialized: &Path, root_module: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(initialized, folder.path());
        Self { folder, root_module }
    }

    /// Replaces a text that must occur exactly once.
    pub(crate) fn edit(self, file: &str, from: &str, to: &str) -> Self {
        let path = self.folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(text.matches(from).count(), 1, "{file} must hold {from:?} once");
        fs::write(path, text.replace(from, to)).unwrap();
        self
    }

    /// The state after `terraform apply`.
    pub(crate) fn apply(&self, arguments: &[String]) -> Result<Deployment, String> {
        self.change("apply", arguments)
    }

    /// With these settings.
    pub(crate) fn deploy(&self, settings: Settings) -> Result<Deployment, String> {
        self.apply(&settings.arguments())
    }

    /// What `deploy` would make, in half the time: by a plan, with providers that foresee what the cloud computes.
    pub(crate) fn foresee(&self, settings: Settings) -> Result<Deployment, String> {
        static PROVIDERS: LazyLock<String> = LazyLock::new(plugin::start_foreseeing);
        let run = |verb: &str, arguments: &[String]| said(run(&self.module(), &PROVIDERS, verb, arguments));
        run("plan", &[settings.arguments(), vec!["-out=plan".to_owned()]].concat())?;
        let plan = run("show", &["-json".to_owned(), "plan".to_owned()])?;
        Ok(Deployment::planned(&serde_json::from_str(&plan).unwrap()))
    }

    /// With these settings, and some others.
    pub(crate) fn deploy_with(&self, settings: Settings, others: &[String]) -> Result<Deployment, String> {
        self.apply(&[&settings.arguments(), others].concat())
    }

    /// The state after `terraform destroy`.
    pub(crate) fn destroy(&self, settings: Settings) -> Result<Deployment, String> {
        self.change("destroy", &settings.arguments())
    }

    /// The output of `terraform plan`.
    pub(crate) fn plan(&self, settings: Settings) -> Result<String, String> {
        self.run("plan", &settings.arguments())
    }

    fn change(&self, verb: &str, arguments: &[String]) -> Result<Deployment, String> {
        self.run(verb, &[&["-auto-approve".to_owned()], arguments].concat())?;
        let state = fs::read_to_string(self.module().join("terraform.tfstate")).unwrap();
        Ok(Deployment::new(&serde_json::from_str(&state).unwrap()))
    }

    fn run(&self, verb: &str, arguments: &[String]) -> Result<String, String> {
        said(run(&self.module(), providers(), verb, arguments))
    }

    fn module(&self) -> PathBuf {
        self.folder.path().join(self.root_module)
    }

    /// `terraform validate`.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.run("validate", &[]).map(drop)
    }
}

fn initialized(root_module: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["terraform", "hosting"] {
        copy(&root().join(part), &folder.path().join(part));
    }
    let module = folder.path().join(root_module);
    fs::write(module.join("backend_override.tf"), "terraform {\n  backend \"local\" {}\n}\n").unwrap();
    let output = run(&module, providers(), "init", &[]);
    assert!(output.status.success(), "terraform init: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// The fake providers of a cloud that refuses nothing, as a value of `TF_REATTACH_PROVIDERS`.
pub(crate) fn providers() -> &'static str {
    static PROVIDERS: OnceLock<String> = OnceLock::new();
    PROVIDERS.get_or_init(|| plugin::start(&Cloud::without_memory()))
}

/// What a program printed, or its errors if it failed.
fn said(output: Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn run(folder: &Path, providers: &str, verb: &str, arguments: &[String]) -> Output {
    let mut command = Command::new("terraform");
    command.current_dir(folder).arg(verb).arg("-no-color").args(arguments);
    if !["validate", "show"].contains(&verb) {
        command.arg("-input=false");
    }
    // a short-lived process collects little garbage; none at all would take more time for memory
    command.env("GOGC", "400");
    command.env("TF_REATTACH_PROVIDERS", providers);
    command.env("CHECKPOINT_DISABLE", "1").env_remove("TF_WORKSPACE").env_remove("TF_CLI_CONFIG_FILE");
    command.env_remove("TF_DATA_DIR");
    command.output().unwrap()
}

/// Copies the files of a deployment, without packages, tests and state.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        // A state or .terraform folder of the original belongs to a real deployment.
        let real = name == ".terraform"
            || name.to_string_lossy().starts_with("terraform.tfstate")
            || name == ".terraform.lock.hcl";
        if name == "policy" || name == "node_modules" || (from.starts_with(root()) && real) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Resources and outputs after an apply.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) resources: Vec<Resource>,
    pub(crate) outputs: Value,
}

#[derive(Debug)]
pub(crate) struct Resource {
    /// The address in the code, for messages: `module.job.google_service_account.this`.
    pub(crate) address: String,
    pub(crate) kind: String,
    pub(crate) values: Value,
}

impl Deployment {
    fn new(state: &Value) -> Self {
        let mut resources = Vec::new();
        for group in state["resources"].as_array().unwrap() {
            if group["mode"] != "managed" {
                continue;
            }
            let kind = group["type"].as_str().unwrap();
            for instance in group["instances"].as_array().unwrap() {
                let module = group["module"].as_str().map(|m| format!("{m}.")).unwrap_or_default();
                let key = instance.get("index_key").map(|k| format!("[{k}]")).unwrap_or_default();
                let name = group["name"].as_str().unwrap();
                resources.push(Resource {
                    address: format!("{module}{kind}.{name}{key}"),
                    kind: kind.to_owned(),
                    values: instance["attributes"].clone(),
                });
            }
        }
        Self { resources, outputs: state["outputs"].clone() }
    }

    /// From the JSON of a plan: <https://developer.hashicorp.com/terraform/internals/json-format#values-representation>.
    fn planned(plan: &Value) -> Self {
        fn add(module: &Value, to: &mut Vec<Resource>) {
            let list = |name: &str| module[name].as_array().into_iter().flatten();
            to.extend(list("resources").filter(|resource| resource["mode"] == "managed").map(|resource| {
                Resource {
                    address: resource["address"].as_str().unwrap().to_owned(),
                    kind: resource["type"].as_str().unwrap().to_owned(),
                    values: resource["values"].clone(),
                }
            }));
            list("child_modules").for_each(|module| add(module, to));
        }
        let mut resources = Vec::new();
        add(&plan["planned_values"]["root_module"], &mut resources);
        Self { resources, outputs: plan["planned_values"]["outputs"].clone() }
    }

    /// All of that type.
    pub(crate) fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.resources.iter().filter(move |resource| resource.kind == kind)
    }
}

impl Resource {
    /// The value at that path (`template.0.service_account`), null when there is none.
    pub(crate) fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.values, |value, step| match step.parse::<usize>() {
            Ok(index) => value.get(index).unwrap_or(&Value::Null),
            Err(_) => value.get(step).unwrap_or(&Value::Null),
        })
    }

    /// The same as text.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }
}
