//! What the scripts advise about an error of the cloud.

use std::fs;

use crate::{
    newcomer::{Newcomer, text},
    rehearsal::rehearses,
};

/// A type whose creation is refused, how, and what is advised.
const REFUSED: [(&str, &str, &str); 4] = [
    (
        "google_storage_bucket",
        "googleapi: Error 409: The requested bucket name is not available. The bucket namespace is shared by all users.",
        "another project has a bucket's name: run make destroy, if nothing is deployed yet, then set another name_prefix",
    ),
    (
        "google_firebase_hosting_site",
        "googleapi: Error 400: Invalid name: `demo-export` is reserved by another project; try something like `demo-export-1`",
        "another project has the Hosting site's name, or it was deleted: set another hosting_site_id",
    ),
    (
        "google_artifact_registry_repository",
        "googleapi: Error 409: the repository already exists",
        "a name is in use by something that is not part of this deployment: rename that, or, if nothing is deployed yet, run make destroy, then set name_prefix",
    ),
    (
        "google_project_iam_custom_role",
        "googleapi: Error 400: You can't create a role_id (a) which has been marked for deletion",
        "a custom role was destroyed more than 7 days ago, and its id is reserved for 30 more: run make destroy, then set another name_prefix",
    ),
];

const DATABASE: &str = "the database is there already: set create_database = false to use it as it is, or firestore_database to the id of a new one";

fn refuse(newcomer: &Newcomer, kind: &str, error: &str) {
    let folder = newcomer.cloud().join("refused");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(kind), error).unwrap();
}

/// The lines of advice, without the name of the script.
fn advice(said: &str) -> Vec<&str> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("./scripts/cloud: "));
    lines.filter_map(|line| line.strip_suffix(", in terraform/environments/staging.tfvars")).collect()
}

#[test]
fn each_error_gets_its_own_advice() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let registry = REFUSED[2];
    refuse(&newcomer, registry.0, registry.1);
    let said = text(&newcomer.make("deploy"));
    assert_eq!(advice(&said), [registry.2], "{said}");
    fs::remove_file(newcomer.cloud().join("refused").join(registry.0)).unwrap();

    // all of the others at once; the second deployment was not the database's first
    fs::write(newcomer.cloud().join("database"), "ACTIVE").unwrap();
    let others = [REFUSED[0], REFUSED[1], REFUSED[3]];
    for (kind, error, _) in others {
        refuse(&newcomer, kind, error);
    }
    let said = text(&newcomer.make("deploy"));
    let mut expected: Vec<_> = others.iter().map(|refused| refused.2).chain([DATABASE]).collect();
    expected.sort_unstable();
    assert_eq!(advice(&said), expected, "{said}");
    assert!(!said.contains("alerts or objectives are missing"), "{said}");
    assert_eq!((newcomer.count("sleep 60"), newcomer.count("firebase deploy")), (0, 0));

    // nothing is known about these, and their text is shown
    for (kind, _, _) in others {
        fs::remove_file(newcomer.cloud().join("refused").join(kind)).unwrap();
    }
    newcomer.settings(&["create_database = false"]);
    let denied = "googleapi: Error 403: Permission monitoring.alertPolicies.create denied";
    refuse(&newcomer, "google_monitoring_alert_policy", denied);
    let output = newcomer.make("deploy");
    let said = text(&output);
    assert!(!output.status.success() && said.contains(denied), "{said}");
    let incomplete = "but monitoring is incomplete: correct the errors above, then run make deploy again";
    assert!(said.contains(incomplete) && !said.contains("again in a few minutes"), "{said}");
    assert_eq!(advice(&said), Vec::<&str>::new(), "{said}");
    assert_eq!(newcomer.count("firebase deploy"), 1, "pages do not wait for alerts");
}
