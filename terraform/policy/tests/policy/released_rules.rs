//! Security rules that an earlier version released with Terraform.

use std::fs;

use crate::{
    newcomer::{Newcomer, text},
    rehearsal::rehearses,
};

/// `modules/firestore/rules.tf` of that version.
const RULES: &str = r#"
resource "google_firebaserules_ruleset" "this" {
  project = var.project_id

  source {
    files {
      name    = "firestore.rules"
      content = file("${path.module}/firestore.rules")
    }
  }
}

resource "google_firebaserules_release" "this" {
  project      = var.project_id
  name         = "cloud.firestore"
  ruleset_name = google_firebaserules_ruleset.this.name
}
"#;

/// The repository at that version. Returns `terraform/main.tf` of this one.
fn go_back(newcomer: &Newcomer) -> String {
    let terraform = newcomer.repository().join("terraform");
    fs::write(terraform.join("modules/firestore/rules.tf"), RULES).unwrap();
    let main = fs::read_to_string(terraform.join("main.tf")).unwrap();
    let (before, removed) = main.split_once("# Earlier versions released the security rules here.").unwrap();
    assert_eq!(removed.matches("\nremoved {").count(), 2);
    fs::write(terraform.join("main.tf"), before).unwrap();
    main
}

/// Terraform cannot create a release where there is one, which is why it no longer does.
#[test]
fn terraform_does_not_release_over_a_release() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&["manage_rules = false"]);
    fs::write(newcomer.cloud().join("rules"), "of the Training Service").unwrap();
    go_back(&newcomer);
    let output = newcomer.make("deploy");
    let said = text(&output);
    assert!(!output.status.success() && said.contains("Requested entity already exists"), "{said}");
    assert!(said.contains("with module.firestore.google_firebaserules_release.this"), "{said}");
    assert_eq!(newcomer.remembered("rules"), "of the Training Service");
}

#[test]
fn a_release_of_an_earlier_version_is_forgotten_and_not_deleted() {
    if !rehearses() {
        return;
    }
    for destroys in [false, true] {
        let newcomer = Newcomer::with_settings(&["manage_rules = false"]);
        let main = go_back(&newcomer);
        newcomer.succeeds("deploy");
        assert_eq!(newcomer.resources("google_firebaserules_release").len(), 1);
        let terraform = newcomer.repository().join("terraform");
        fs::remove_file(terraform.join("modules/firestore/rules.tf")).unwrap();
        let mutant = main.replace("    destroy = false\n", "    destroy = true\n");
        fs::write(terraform.join("main.tf"), if destroys { mutant } else { main }).unwrap();
        newcomer.succeeds("deploy");
        for kind in ["google_firebaserules_release", "google_firebaserules_ruleset"] {
            assert!(newcomer.resources(kind).is_empty(), "{kind} is still in the state");
        }
        assert_eq!(newcomer.cloud().join("rules").exists(), !destroys, "destroy = {destroys}");
    }
}
