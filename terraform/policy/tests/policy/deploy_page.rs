//! Runs `docs/DEPLOY.md` line by line on the machine of a [`Newcomer`].

use std::fs;

use serde_json::Value;

use crate::{
    newcomer::{Newcomer, PLAYED, text},
    rehearsal::{PROJECT, read, rehearses},
};

/// Commands in the page's text that other tests run: those of the deployment and of zips in this file, those of Lambda
/// in `aws.rs`, the others in `.ci/run`.
const RUN_ELSEWHERE: [&str; 8] = [
    "scripts/cloud output ",
    "make rollback",
    "make destroy",
    "make lambda PROJECT_ID=",
    "terraform init",
    "terraform apply",
    "make test-deployment",
    "make lint-terraform",
];

/// The blocks of the page as one script.
fn page() -> String {
    let page = read("docs/DEPLOY.md");
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let script: String = blocks.collect();
    script.replace("my-project", PROJECT).replace("my-adapters", "training-adapters")
}

#[test]
fn a_newcomer_gets_from_an_empty_project_to_a_first_export() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::new();
    let output = newcomer.types(&page(), &[]);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("deployed: https://demo-export.web.app"), "{said}");
    assert!(said.contains("training_jobs/job-1 is there"), "{said}");

    let calls = newcomer.calls();
    let at = |beginning: &str| {
        let found = calls.iter().position(|call| call.starts_with(beginning));
        found.unwrap_or_else(|| panic!("nobody called {beginning}:\n{}", calls.join("\n")))
    };
    let order = [
        "gcloud config set project demo-export",
        "gcloud auth application-default login",
        "terraform -chdir=terraform providers lock",
        "gcloud storage buckets create gs://demo-export-terraform-state",
        "cargo build --profile release --locked --target x86_64-unknown-linux-musl --no-default-features --package health",
        "docker build --file packaging/Dockerfile.prebuilt",
        "docker push us-central1-docker.pkg.dev/demo-export/export-service/health:",
        "firebase deploy --only hosting,firestore --project demo-export",
        "curl --fail --silent --show-error https://demo-export.web.app/health",
        "gcloud logging read --project demo-export",
    ];
    assert!(order.map(at).is_sorted(), "{}", calls.join("\n"));
    let count = |beginning: &str| calls.iter().filter(|call| call.starts_with(beginning)).count();
    assert_eq!(
        (count("docker build"), count("docker push"), count("gcloud storage buckets create")),
        (14, 14, 1)
    );

    // the pushed images are the deployed ones
    let images = newcomer.repository().join("terraform/environments/demo-export.release.tfvars.json");
    let images: Value = serde_json::from_str(&fs::read_to_string(images).unwrap()).unwrap();
    let state = newcomer.state().to_string();
    for (name, image) in images["images"].as_object().unwrap() {
        let image = image.as_str().unwrap();
        assert!(!image.ends_with(&"0".repeat(64)), "{name} was never pushed");
        assert_eq!(
            state.matches(&format!("\"image\":\"{image}\"")).count(),
            1,
            "{name} does not run {image}"
        );
    }
    let released: Value =
        serde_json::from_str(&fs::read_to_string(newcomer.cloud().join("firebase.json")).unwrap()).unwrap();
    assert_eq!(released["hosting"]["site"], PROJECT);
    assert_eq!(released["hosting"]["rewrites"].as_array().unwrap().len(), 5);

    // a second deploy changes nothing; a rollback to the running version works; destroy removes everything
    let again = newcomer.types("make deploy PROJECT_ID=demo-export ENVIRONMENT=staging", &[]);
    assert!(
        again.status.success() && text(&again).contains("0 added, 0 changed, 0 destroyed"),
        "{}",
        text(&again)
    );
    assert_eq!(
        newcomer.calls().iter().filter(|call| call.starts_with("docker push")).count(),
        21,
        "what is deployed is what this run pushed"
    );
    // nothing of the deployment is on this machine only
    let second_machine = "rm -r terraform/environments/*.json terraform/.terraform; make plan PROJECT_ID=demo-export ENVIRONMENT=staging";
    let plan = newcomer.types(second_machine, &[]);
    assert!(plan.status.success() && text(&plan).contains("No changes."), "{}", text(&plan));
    let url = newcomer.types(
        "scripts/cloud output url",
        &[("PROJECT_ID", Some(PROJECT)), ("ENVIRONMENT", Some("staging"))],
    );
    assert!(url.status.success() && text(&url).contains("https://demo-export.web.app"), "{}", text(&url));
    let version = text(&newcomer.types("scripts/package version", &[]));
    let back = format!("make rollback PROJECT_ID=demo-export ENVIRONMENT=staging TAG={version}");
    let back = newcomer.types(&back, &[]);
    assert!(
        back.status.success() && text(&back).contains("0 added, 0 changed, 0 destroyed"),
        "{}",
        text(&back)
    );
    let gone = newcomer.types("make destroy PROJECT_ID=demo-export ENVIRONMENT=staging", &[]);
    assert!(gone.status.success(), "{}", text(&gone));
    assert_eq!(newcomer.state()["resources"].as_array().unwrap().len(), 0);
}

/// The commands in the text of a page: code spans that begin with the name of a tool.
fn commands(text: &str) -> Vec<&str> {
    let tool = regex::Regex::new(
        r"^(make|scripts/\S+|terraform|gcloud|firebase|npm|apt-get|cargo|rustup|docker|podman|curl|git|export) ",
    );
    let (tool, blocks) = (tool.unwrap(), regex::Regex::new(r"(?s)```.*?```").unwrap());
    let prose: Vec<_> = blocks.split(text).collect();
    prose
        .into_iter()
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .filter(|c| tool.is_match(c))
        .collect()
}

/// Every block of the page is run above, and every command in its text is run or has a reason why it is not.
#[test]
fn every_command_of_the_page_is_run_or_says_why_not() {
    let page_text = read("docs/DEPLOY.md");
    let blocks = page_text.matches("```").count() / 2;
    assert_eq!(blocks, page_text.matches("```sh\n").count(), "a block that nobody runs");
    let (before, rest) = page_text.split_once("<!-- not run -->").unwrap();
    let (table, after) = rest.split_once("<!-- /not run -->").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let not_run: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    for played in PLAYED {
        assert!(
            not_run.iter().any(|c| c.split(' ').next() == Some(played)),
            "{played} is played, and the page is silent"
        );
    }
    let run = page();
    for command in commands(before).into_iter().chain(commands(after)) {
        let elsewhere = RUN_ELSEWHERE.iter().chain(&not_run).any(|beginning| command.starts_with(beginning));
        let known = run.contains(command) || elsewhere;
        assert!(known, "{command} is neither run nor said not to be");
    }
    assert_eq!(commands("`make x` ```sh\nmake y\n``` `z` `scripts/w v`"), ["make x", "scripts/w v"]);
}

#[test]
fn what_is_missing_is_said_before_anything_is_done() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::new();
    let project = ("PROJECT_ID", Some(PROJECT));
    for (verb, environment, said) in [
        ("deploy", vec![], "PROJECT_ID must be set"),
        ("plan", vec![project], "terraform/environments/production.tfvars is missing"),
        (
            "destroy",
            vec![project, ("ENVIRONMENT", Some("staging"))],
            "terraform/environments/staging.tfvars is missing",
        ),
        ("logs", vec![], "PROJECT_ID must be set"),
    ] {
        let output = newcomer.types(&format!("make {verb}"), &environment);
        assert!(!output.status.success() && text(&output).contains(said), "{verb}: {}", text(&output));
    }
    let staging = [project, ("ENVIRONMENT", Some("staging")), ("ENGINE", None)];
    let settings = "sed s/example-// terraform/environments/staging.tfvars.example >terraform/environments/staging.tfvars";
    assert!(newcomer.types(settings, &[]).status.success());
    for (tool, verbs, said) in [
        ("gcloud", "plan deploy destroy logs", "gcloud is not installed: https://"),
        ("terraform", "plan deploy destroy", "terraform is not installed: https://"),
        ("firebase", "deploy", "firebase is not installed: npm install"),
        ("docker podman", "deploy package", "no container engine works (tried docker podman"),
        ("curl", "deploy", "curl is not installed: https://"),
        ("musl-gcc", "deploy package", "musl-gcc is not installed: apt-get install musl-tools"),
        ("cargo", "deploy package", "cargo is not installed: https://rustup.rs"),
    ] {
        let path = newcomer.tools_without(tool);
        for verb in verbs.split(' ') {
            let output = newcomer.types(&format!("export PATH={}; make {verb}", path.display()), &staging);
            assert!(!output.status.success() && text(&output).contains(said), "{verb}: {}", text(&output));
        }
    }
    let path = newcomer.tools_without("podman");
    for (variable, verbs, said) in [
        (
            ("SIGNED_OUT", "print-access-token"),
            "plan deploy destroy logs",
            "nobody is signed in: gcloud auth login",
        ),
        (
            ("SIGNED_OUT", "application-default"),
            "plan deploy destroy",
            "Terraform has no credentials: gcloud auth",
        ),
        (("DAEMON_DOWN", "yes"), "deploy package", "no container engine works (tried docker podman"),
    ] {
        let environment = [&staging[..], &[(variable.0, Some(variable.1))]].concat();
        for verb in verbs.split(' ') {
            let output =
                newcomer.types(&format!("export PATH={}; make {verb}", path.display()), &environment);
            assert!(!output.status.success() && text(&output).contains(said), "{verb}: {}", text(&output));
        }
    }
    for verb in ["plan", "deploy", "promote", "destroy"] {
        let output = newcomer.types(&format!("export PATH={}; make {verb}", path.display()), &staging);
        let said =
            "terraform/.terraform.lock.hcl is missing, so the providers cannot be verified: run make lock";
        assert!(!output.status.success() && text(&output).contains(said), "{verb}: {}", text(&output));
    }
    let changes = newcomer
        .calls()
        .into_iter()
        .filter(|call| ["create", "apply", "push", "cargo build"].iter().any(|change| call.contains(change)));
    assert_eq!(changes.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Binaries are built on one kind of machine. What needs none works on others: docs/DEPLOY.md, Requirements.
#[test]
fn a_mac_is_told_what_it_cannot_build() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    let mac = "mkdir mac; printf '#!/bin/sh\necho Darwin arm64\n' >mac/uname; chmod +x mac/uname; export PATH=$PWD/mac:$PATH; ";
    let types = |verb: &str| {
        newcomer.types(&format!("{mac}make {verb} PROJECT_ID={PROJECT} ENVIRONMENT=staging; rm -r mac"), &[])
    };
    let calls = newcomer.calls().len();
    let output = types("deploy");
    let said =
        "binaries are built on x86_64 Linux, and this is Darwin arm64: use such a machine, or the workflow";
    assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
    let changes = newcomer.calls().split_off(calls).into_iter().filter(|call| call.contains(" apply "));
    assert_eq!(changes.count(), 0);
    fs::remove_dir_all(newcomer.repository().join("mac")).unwrap();
    let version = text(&newcomer.types("scripts/package version", &[]));
    for verb in ["plan", "logs", &format!("rollback TAG={}", version.trim())] {
        let output = types(verb);
        assert!(output.status.success(), "{verb}: {}", text(&output));
    }

    // what was built elsewhere is taken as it is
    let builds = newcomer.count("cargo build");
    fs::remove_file(newcomer.repository().join("target/package/ca-certificates.crt")).unwrap();
    let output = newcomer.make_with("deploy", &[("BUILT", Some("yes"))]);
    let said = "BUILT=yes, but target/package/ca-certificates.crt is missing";
    assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
    fs::write(newcomer.repository().join("target/package/ca-certificates.crt"), "").unwrap();
    let output = newcomer.make_with("deploy", &[("BUILT", Some("yes"))]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(newcomer.count("cargo build"), builds);
}

/// A file that git does not know can change what is built, such as a new build.rs.
#[test]
fn a_version_is_a_commit_and_nothing_else() {
    let newcomer = Newcomer::new();
    let commit =
        "git init --quiet && git add --all && git -c user.name=n -c user.email=e commit --quiet --message m";
    fs::write(newcomer.repository().join(".gitignore"), read(".gitignore") + "/terraform/*_override.tf\n")
        .unwrap();
    assert!(newcomer.types(commit, &[]).status.success());
    let is_dirty = || text(&newcomer.types("scripts/package version", &[])).contains("-dirty");
    assert!(!is_dirty());
    let written = ["gha-creds-0123abcd.json", "terraform/.terraform.lock.hcl", ".first-export.demo-export"];
    for file in written {
        fs::write(newcomer.repository().join(file), "").unwrap();
        assert!(!is_dirty(), "{file}");
    }
    for file in ["functions/get/build.rs", ".cargo/config.toml", "hosting/public/new.html"] {
        let path = newcomer.repository().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        assert!(is_dirty(), "{file}");
        fs::remove_file(path).unwrap();
    }
    assert!(!is_dirty());
    fs::write(newcomer.repository().join("Cargo.toml"), "").unwrap();
    assert!(is_dirty());
}

#[test]
fn lambda_zips_hold_the_binary_and_whom_to_ask_for_an_account() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::new();
    let script = "make lambda PROJECT_ID=demo-export PROJECT_NUMBER=123456789012 >&2
        python3 -c 'import zipfile; zip = zipfile.ZipFile(\"target/lambda/arm64/get.zip\"); print(zip.namelist(), oct(zip.getinfo(\"google.json\").external_attr >> 16)); print(zip.read(\"google.json\").decode())'";
    let output = newcomer.types(script, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let (names, config) = said.split_once('\n').unwrap();
    assert_eq!(names, "['bootstrap', 'google.json'] 0o644", "Lambda runs the function as somebody else");
    let config: Value = serde_json::from_str(config).unwrap();
    let account = "export-get@demo-export.iam.gserviceaccount.com:generateAccessToken";
    assert!(config["service_account_impersonation_url"].as_str().unwrap().ends_with(account), "{config}");
    assert!(
        config["audience"].as_str().unwrap().ends_with("/workloadIdentityPools/export-aws/providers/lambda"),
        "{config}"
    );
    for arch in ["arm64", "x86_64"] {
        for function in ["health", "list", "create", "get", "cancel", "plan"] {
            assert!(newcomer.repository().join(format!("target/lambda/{arch}/{function}.zip")).exists());
        }
    }
    let builds: Vec<_> =
        newcomer.calls().into_iter().filter(|call| call.starts_with("cargo lambda build")).collect();
    assert!(
        builds.len() == 2 && builds[0].contains("--arm64") && builds[1].contains("--x86-64"),
        "{builds:?}"
    );
}

/// The table of costs on the page is consistent.
#[test]
fn the_costs_add_up() {
    let page = read("docs/DEPLOY.md");
    let rows: Vec<Vec<f64>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| what | an export"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|').skip(1);
            cells.map(|cell| cell.trim().trim_matches('*').replace(',', "").parse().unwrap()).collect()
        })
        .collect();
    let (total, parts) = rows.split_last().unwrap();
    assert_eq!(parts.len(), 6);
    for column in 0..4 {
        let sum: f64 = parts.iter().map(|row| row[column]).sum();
        let rounding = [0.0005, 0.02, 0.02, 0.02][column];
        assert!(
            (sum - total[column]).abs() <= rounding,
            "column {column}: {sum} instead of {}",
            total[column]
        );
    }
    // each row is its price times the exports, except for the price tiers of downloads
    for row in &parts[..5] {
        for (column, exports) in [(2, 1_000.0), (3, 100_000.0)] {
            let expected = row[0] * exports;
            assert!((row[column] - expected).abs() <= expected * 0.07, "{row:?}");
        }
    }
    let tiers = 1024.0 * 0.12 + 9.0 * 1024.0 * 0.11 + (100_000.0 - 10.0 * 1024.0) * 0.08;
    assert!((parts[5][3] - tiers).abs() < 0.01, "{tiers}");
}

/// Five places check each minute, in a month of 730 hours.
#[test]
fn the_cost_of_an_idle_month_is_computed() {
    let requests = 5.0 * 60.0 * 730.0;
    let cost = requests * (0.0000004 + 0.1 * (0.000024 + 0.25 * 0.0000025));
    let page = read("docs/DEPLOY.md");
    for expected in [
        "keeps an instance of `health` warm: 219,000 requests, each billed as 100 ms, cost 219,000 ×"
            .to_owned(),
        format!("(0.0000004 + 0.1 × (0.000024 + 0.25 × 0.0000025)) = {cost:.2}."),
    ] {
        assert!(page.contains(&expected), "the page must contain {expected:?}");
    }
    assert_eq!(requests, 219_000.0);
}
