//! The scripts read an environment's settings as Terraform does.

use std::fs;

use crate::{
    newcomer::{Newcomer, text},
    rehearsal::{PROJECT, rehearses},
};

/// A settings file, and the values of `name_prefix`, `region`, `seal_hub_tokens` and `manage_auth`.
const READ: [(&str, [&str; 4]); 12] = [
    ("", ["", "us-central1", "true", "false"]),
    ("name_prefix=\"a-\"", ["a-", "us-central1", "true", "false"]),
    ("  name_prefix\t=   \"a-\"  ", ["a-", "us-central1", "true", "false"]),
    (
        "name_prefix = \"a-\"\r\nregion = \"us-east1\"\r\nmanage_auth = true\r\n",
        ["a-", "us-east1", "true", "true"],
    ),
    ("seal_hub_tokens = false # not yet", ["", "us-central1", "false", "false"]),
    ("seal_hub_tokens = false // not yet", ["", "us-central1", "false", "false"]),
    ("seal_hub_tokens = false /* not\nyet */", ["", "us-central1", "false", "false"]),
    ("# seal_hub_tokens = false\n/*\nmanage_auth = true\n*/", ["", "us-central1", "true", "false"]),
    ("manage_auth = \"true\"", ["", "us-central1", "true", "true"]),
    ("name_prefix = (\n\"a-\"\n)", ["a-", "us-central1", "true", "false"]),
    ("alert_emails = [\n\"# a@b.dev\",\n]\nmanage_auth = 1 == 1", ["", "us-central1", "true", "true"]),
    (
        "rust_log = <<END\nname_prefix = \"b-\"\nEND\nname_prefix = \"a-\"",
        ["a-", "us-central1", "true", "false"],
    ),
];

#[test]
fn settings_are_read_as_terraform_reads_them() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::new();
    let read = |settings: &str| {
        fs::write(newcomer.repository().join("terraform/environments/staging.tfvars"), settings).unwrap();
        let script = "scripts/settings terraform/environments/staging.tfvars name_prefix region seal_hub_tokens manage_auth";
        newcomer.types(script, &[("PROJECT_ID", Some(PROJECT))])
    };
    for (settings, values) in READ {
        let output = read(settings);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), values.join("\n") + "\n", "{settings:?}");
    }
    for (settings, said) in [
        ("region = ", "Missing expression"),
        ("region = \"us-east1\"\nregion = \"us-east1\"", "Attribute redefined"),
        ("region = <<END\nus-east1\nEND\n", "region must support both Cloud Run and Firebase"),
        ("adapter_buckets = [\"example-adapters\"]", "names a placeholder"),
    ] {
        let output = read(settings);
        assert!(!output.status.success() && text(&output).contains(said), "{settings}: {}", text(&output));
        assert!(text(&output).contains("staging.tfvars is not valid: correct it"), "{}", text(&output));
        assert!(output.stdout.is_empty(), "{settings}");
    }
}

/// What exists is found, and everything is in one region, however the settings are written.
#[test]
fn a_deployment_follows_settings_in_any_form() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::new();
    let settings = "environment=\"staging\"\r\n  region = \"europe-west1\" # near\r\n\tmanage_auth=true\r\n\
                    deletion_protection = false\r\nname_prefix   =(\"odd-\")\r\n  github_repository= \"owner/name\" // ours\r\n\
                    github_repository_id = \"1\"\r\ngithub_owner_id = \"2\"\r\n";
    fs::write(newcomer.repository().join("terraform/environments/staging.tfvars"), settings).unwrap();
    let deploy = format!("firebase login; make lock; make deploy PROJECT_ID={PROJECT} ENVIRONMENT=staging");
    let output = newcomer.types(&deploy, &[]);
    assert!(output.status.success(), "{}", text(&output));
    for call in [
        "gcloud storage buckets create gs://demo-export-terraform-state --project demo-export --location europe-west1",
        "gcloud iam workload-identity-pools list --project demo-export --location global --show-deleted --filter name~/odd-export-github$",
        "gcloud kms keyrings list --project demo-export --location europe-west1 --filter name~/odd-export-service$",
        "docker push europe-west1-docker.pkg.dev/demo-export/odd-export-service/health:",
    ] {
        let found = newcomer.calls().iter().any(|found| found.starts_with(call));
        assert!(found, "{call} is not among\n{}", newcomer.calls().join("\n"));
    }
    assert!(newcomer.calls().iter().any(|call| call.contains("identitytoolkit.googleapis.com/admin/v2/")));
}
