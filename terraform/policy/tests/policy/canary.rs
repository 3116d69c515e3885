//! Canaries: new revisions with a part of the traffic.

use std::fs;

use serde_json::Value;

use crate::{
    newcomer::{Newcomer, text},
    refusals::metrics_are_known_after,
    rehearsal::{read, rehearses},
};

/// What a service's revisions get of the traffic, and the job's image.
fn traffic(newcomer: &Newcomer) -> (Vec<(String, i64)>, String) {
    let services = newcomer.resources("google_cloud_run_v2_service");
    let create = services.iter().find(|service| service["name"] == "create").unwrap();
    let traffic = create["traffic"].as_array().unwrap().iter();
    let traffic = traffic.map(|part| {
        let revision = part["revision"].as_str().filter(|name| !name.is_empty()).unwrap_or("latest");
        (revision.to_owned(), part["percent"].as_i64().unwrap_or(0))
    });
    let image = newcomer.resources("google_cloud_run_v2_job")[0]["template"][0]["template"][0]["containers"]
        [0]["image"]
        .as_str()
        .unwrap()
        .to_owned();
    (traffic.collect(), image)
}

#[test]
fn a_canary_gets_its_share_after_its_test_and_never_without() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let early = newcomer.make("deploy TRAFFIC=10");
    assert!(!early.status.success() && text(&early).contains("nothing is deployed yet"), "{}", text(&early));
    let odd = newcomer.make("deploy TRAFFIC=0");
    assert!(!odd.status.success() && text(&odd).contains("a percentage from 1 to 100"), "{}", text(&odd));
    newcomer.succeeds("deploy");
    let none = newcomer.make("promote");
    assert!(!none.status.success() && text(&none).contains("no canary is deployed"), "{}", text(&none));
    let (before, old_job) = traffic(&newcomer);
    assert_eq!(before, [("latest".to_owned(), 100)]);
    let pages = newcomer.count("firebase deploy");

    version(&newcomer, "99.1.0");
    newcomer.succeeds("deploy TRAFFIC=10");
    let (canary, job) = traffic(&newcomer);
    assert_eq!(canary, [("create-00001".to_owned(), 90), ("latest".to_owned(), 10)]);
    assert_eq!(
        (&job, newcomer.count("firebase deploy")),
        (&old_job, pages),
        "job and pages follow at the end"
    );
    let requests: Vec<_> =
        newcomer.calls().into_iter().filter(|call| call.contains("https://canary---")).collect();
    let hosting: Value = serde_json::from_str(&read("hosting/firebase.json")).unwrap();
    for rewrite in hosting["hosting"]["rewrites"].as_array().unwrap() {
        let name = rewrite["run"]["serviceId"].as_str().unwrap();
        let to_it = requests.iter().filter(|call| call.contains(&format!("//canary---{name}-")));
        let (health, other): (Vec<_>, Vec<_>) = to_it.partition(|call| call.ends_with("/health"));
        assert!(!health.is_empty() && (name == "health" || !other.is_empty()), "{name}: {requests:?}");
    }
    let part = newcomer.make("promote TRAFFIC=50");
    assert!(!part.status.success() && text(&part).contains("all of the traffic"), "{}", text(&part));
    newcomer.succeeds("promote");
    let (all, new_job) = traffic(&newcomer);
    assert_eq!((all, newcomer.count("firebase deploy")), (vec![("latest".to_owned(), 100)], pages + 1));
    assert_ne!(new_job, old_job);

    version(&newcomer, "99.2.0");
    let broken = "https://canary---cancel-123456789012.us-central1.run.app/exports";
    let output = newcomer.make_with("deploy TRAFFIC=10", &[("BROKEN", Some(broken))]);
    let said = text(&output);
    let wrong = "POST https://canary---cancel-123456789012.us-central1.run.app/exports/smoke-test/cancel returned 500 instead of 401";
    assert!(!output.status.success() && said.contains(wrong), "{said}");
    assert_eq!(traffic(&newcomer), (withdrawn("create-00002"), new_job), "{said}");
    assert!(said.contains("what had the traffic has it still"), "{said}");
}

/// The shares of a canary that is not, or not yet, tested.
fn withdrawn(stable: &str) -> Vec<(String, i64)> {
    vec![(stable.to_owned(), 100), ("latest".to_owned(), 0)]
}

/// Makes another version of the working tree.
fn version(newcomer: &Newcomer, version: &str) {
    let file = newcomer.repository().join("Cargo.toml");
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.starts_with("version = ")).unwrap();
    fs::write(&file, text.replacen(line, &format!("version = \"{version}\""), 1)).unwrap();
}

fn is_not_promoted(newcomer: &Newcomer, why: &str) {
    let before = traffic(newcomer);
    let output = newcomer.make("promote");
    assert!(!output.status.success() && text(&output).contains(why), "{}", text(&output));
    assert_eq!(traffic(newcomer), before);
}

const UNTESTED: &str = "the canary has no traffic: it did not pass its smoke test, or was not tested";

/// The images are not the cause, so those from before would fail as well, in revisions that nobody has tested.
#[test]
fn a_canary_that_fails_by_its_settings_gets_no_traffic() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    version(&newcomer, "99.1.0");
    newcomer.settings(&["rust_log = \"broken\""]);
    let broken = [("BROKEN_SETTING", Some("broken"))];
    let output = newcomer.make_with("deploy TRAFFIC=10", &broken);
    let said = text(&output);
    assert!(!output.status.success() && said.contains("the smoke test failed"), "{said}");
    assert_eq!(traffic(&newcomer).0, withdrawn("create-00001"), "{said}");
    is_not_promoted(&newcomer, UNTESTED);

    // again, and then corrected: the revision from before the first canary is still the stable one
    assert!(!newcomer.make_with("deploy TRAFFIC=10", &broken).status.success());
    assert_eq!(traffic(&newcomer).0, withdrawn("create-00001"));
    newcomer.settings(&[]);
    newcomer.succeeds("deploy TRAFFIC=10");
    assert_eq!(traffic(&newcomer).0, [("create-00001".to_owned(), 90), ("latest".to_owned(), 10)]);
    newcomer.succeeds("promote");
}

/// A person approves the new revisions and their traffic. What takes the traffic back asks nothing.
#[test]
fn a_canary_that_was_not_tested_to_the_end_is_not_promoted() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    version(&newcomer, "99.1.0");
    let answers = newcomer.cloud().join("answers");
    let asked = [("APPROVE", None)];
    fs::write(&answers, "yes\nno\n").unwrap();
    let output = newcomer.make_with("deploy TRAFFIC=10", &asked);
    assert!(!output.status.success() && text(&output).contains("Apply cancelled"), "{}", text(&output));
    is_not_promoted(&newcomer, UNTESTED);

    let refused = newcomer.cloud().join("share-refused");
    fs::write(&refused, "get 10").unwrap();
    fs::write(&answers, "yes\nyes\nno\n").unwrap();
    let output = newcomer.make_with("deploy TRAFFIC=10", &asked);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("did not get their traffic: what had the traffic has it still"), "{said}");
    assert_eq!(newcomer.remembered("answers"), "no\n", "the third question was asked");
    assert_eq!(traffic(&newcomer).0, withdrawn("create-00001"), "{said}");
    is_not_promoted(&newcomer, UNTESTED);
    fs::remove_file(refused).unwrap();
    fs::remove_file(answers).unwrap();
    newcomer.succeeds("deploy TRAFFIC=10");
    newcomer.succeeds("promote");
}

/// Gives the traffic of `create` to revisions by hand: `REVISION PERCENT`, one a line.
fn moves_traffic(newcomer: &Newcomer, revisions: &str) {
    let folder = newcomer.cloud().join("moved");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("create"), revisions).unwrap();
}

#[test]
fn a_canary_leaves_the_traffic_where_it_was_moved_by_hand() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    version(&newcomer, "99.1.0");
    newcomer.succeeds("deploy");
    // 99.1.0 is bad: docs/OPERATIONS.md
    moves_traffic(&newcomer, "create-00001 100");
    version(&newcomer, "99.2.0");
    newcomer.succeeds("deploy TRAFFIC=10");
    assert_eq!(traffic(&newcomer).0, [("create-00001".to_owned(), 90), ("latest".to_owned(), 10)]);

    // the canary is bad as well
    moves_traffic(&newcomer, "create-00001 100");
    is_not_promoted(&newcomer, "the traffic of create was moved by hand (create-00001 has 100 %)");
    version(&newcomer, "99.3.0");
    newcomer.succeeds("deploy TRAFFIC=20");
    assert_eq!(traffic(&newcomer).0, [("create-00001".to_owned(), 80), ("latest".to_owned(), 20)]);

    moves_traffic(&newcomer, "create-00002 50\ncreate-00003 50");
    let output = newcomer.make("deploy TRAFFIC=10");
    let split = "the traffic of create was moved by hand (create-00002 has 50 %, create-00003 has 50 %): make rollback";
    assert!(!output.status.success() && text(&output).contains(split), "{}", text(&output));
    newcomer.succeeds("deploy");
    assert_eq!(traffic(&newcomer).0, [("latest".to_owned(), 100)]);
}

/// A promotion that did not end is repeated.
#[test]
fn a_promotion_continues_after_an_interruption() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    version(&newcomer, "99.1.0");
    newcomer.succeeds("deploy TRAFFIC=10");
    let refused = newcomer.cloud().join("share-refused");
    fs::write(&refused, "get 100").unwrap();
    assert!(!newcomer.make("promote").status.success());
    fs::remove_file(refused).unwrap();
    newcomer.succeeds("promote");
    for service in newcomer.resources("google_cloud_run_v2_service") {
        let shares = service["traffic"].as_array().unwrap();
        assert!(shares.len() == 1 && shares[0]["percent"] == 100, "{service}");
    }
}

#[test]
fn a_rollback_can_be_repeated_and_ends_a_canary() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    let first = traffic(&newcomer).1;
    let back = format!("rollback TAG={}", text(&newcomer.types("scripts/package version", &[])).trim());
    version(&newcomer, "99.1.0");
    newcomer.succeeds("deploy");
    assert_ne!(traffic(&newcomer).1, first);
    newcomer.succeeds(&back);
    assert_eq!(traffic(&newcomer), (vec![("latest".to_owned(), 100)], first.clone()));
    assert!(newcomer.succeeds(&back).contains("0 added, 0 changed, 0 destroyed"));

    version(&newcomer, "99.2.0");
    newcomer.succeeds("deploy TRAFFIC=10");
    newcomer.succeeds(&back);
    assert_eq!(traffic(&newcomer), (vec![("latest".to_owned(), 100)], first));
    is_not_promoted(&newcomer, "no canary is deployed");
    newcomer.succeeds("deploy TRAFFIC=10");
    newcomer.succeeds("deploy");
    assert_eq!(traffic(&newcomer).0, [("latest".to_owned(), 100)]);
    is_not_promoted(&newcomer, "no canary is deployed");
}

/// The digest of a function's image, of the version that the repository has now.
fn digest_of(newcomer: &Newcomer, function: &str) -> String {
    let digest = format!("printf %s \"{function}:$(scripts/package version)\" | sha256sum | cut -d ' ' -f 1");
    text(&newcomer.types(&digest, &[])).trim().to_owned()
}

#[test]
fn a_canary_that_does_not_start_gets_no_traffic() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    let job = traffic(&newcomer).1;
    version(&newcomer, "99.1.0");
    let broken = newcomer.cloud().join("not-starting");
    fs::write(&broken, digest_of(&newcomer, "create")).unwrap();
    let output = newcomer.make("deploy TRAFFIC=10");
    let said = text(&output);
    assert!(!output.status.success() && said.contains("is not ready and cannot serve traffic"), "{said}");
    assert!(said.contains("the new revisions were not deployed: no request of a user"), "{said}");
    assert_eq!(traffic(&newcomer).1, job, "{said}");
    for service in newcomer.resources("google_cloud_run_v2_service") {
        let name = service["name"].as_str().unwrap();
        // `create` is as before, the others have a new revision
        let first = &service["traffic"][0];
        let stable = if name == "create" { String::new() } else { format!("{name}-00001") };
        assert!(first["percent"] == 100 && first["revision"].as_str().unwrap_or("") == stable, "{service}");
    }
    assert_eq!(newcomer.calls().iter().filter(|call| call.contains("//canary---")).count(), 0, "{said}");
    is_not_promoted(&newcomer, "no canary is deployed");

    // the next version starts
    version(&newcomer, "99.2.0");
    newcomer.succeeds("deploy TRAFFIC=10");
    let services = newcomer.resources("google_cloud_run_v2_service");
    for service in services {
        let stable = format!("{}-00001", service["name"].as_str().unwrap());
        assert!(
            service["traffic"][0]["revision"] == stable && service["traffic"][0]["percent"] == 90,
            "{service}"
        );
    }
}

#[test]
fn a_canary_is_tested_before_its_alerts_are_waited_for() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    metrics_are_known_after(&newcomer, 1_000_000);
    let monitoring = "terraform/modules/monitoring/main.tf";
    newcomer.edit(monitoring, "auto_close = \"${24 * 3600}s\"", "auto_close = \"${12 * 3600}s\"");
    let waits = newcomer.count("sleep 60");
    let broken = "https://canary---health-123456789012.us-central1.run.app/health";
    let output = newcomer.make_with("deploy TRAFFIC=10", &[("BROKEN", Some(broken))]);
    let said = text(&output);
    assert!(!output.status.success() && said.contains("the smoke test failed"), "{said}");
    assert_eq!(newcomer.count("sleep 60"), waits, "a broken canary is ended at once");
    let output = newcomer.make("deploy TRAFFIC=10");
    let said = text(&output);
    let missing = "but alerts or objectives are missing: run make deploy TRAFFIC=10 again";
    assert!(!output.status.success() && said.contains(missing), "{said}");
    assert_eq!(traffic(&newcomer).0.last(), Some(&("latest".to_owned(), 10)), "{said}");
}

/// What is promoted is what was tested: the canary's version, with the settings of the canary.
#[test]
fn only_the_canary_is_promoted() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    version(&newcomer, "99.1.0");
    newcomer.succeeds("deploy TRAFFIC=10");
    let canary = traffic(&newcomer);
    let refuses = |newcomer: &Newcomer, said: &str| {
        let (applies, pages) =
            (newcomer.count("terraform -chdir=terraform apply"), newcomer.count("firebase deploy"));
        let output = newcomer.make("promote");
        assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
        assert_eq!(newcomer.count("terraform -chdir=terraform apply"), applies);
        assert_eq!((traffic(newcomer), newcomer.count("firebase deploy")), (canary.clone(), pages));
    };
    version(&newcomer, "99.2.0");
    refuses(
        &newcomer,
        "the canary is version 99.1.0-unknown, and this is 99.2.0-unknown: check out the commit",
    );
    version(&newcomer, "99.1.0");
    newcomer.settings(&["max_instances = 7"]);
    refuses(
        &newcomer,
        "make new revisions of module.function[\"cancel\"].google_cloud_run_v2_service.this, ",
    );
    // somebody deployed by hand
    newcomer.settings(&[]);
    let state = newcomer.repository().join("terraform/terraform.tfstate");
    let text = fs::read_to_string(&state).unwrap();
    let changed = text.replacen("\"RUST_LOG\"", "\"RUST_LOGS\"", 1);
    assert_ne!(text, changed);
    fs::write(&state, changed).unwrap();
    refuses(&newcomer, "this would not promote the canary, but make new revisions of module.function");
    fs::write(&state, text).unwrap();
    newcomer.succeeds("promote");
    assert_eq!(traffic(&newcomer).0, [("latest".to_owned(), 100)]);
}

/// The state of a version that had no function `cancel`.
fn forget_cancel(newcomer: &Newcomer) {
    let mut state = newcomer.state();
    let release = &mut state["outputs"]["release"];
    let images = release.pointer_mut("/value/images").and_then(Value::as_object_mut).unwrap();
    images.remove("cancel").unwrap();
    let of_cancel = |group: &Value| group["module"] == "module.function[\"cancel\"]";
    state["resources"].as_array_mut().unwrap().retain(|group| !of_cancel(group));
    for group in state["resources"].as_array_mut().unwrap() {
        group["instances"]
            .as_array_mut()
            .unwrap()
            .retain(|instance| !matches!(instance["index_key"].as_str(), Some("cancel" | "canceler/cancel")));
    }
    let file = newcomer.repository().join("terraform/terraform.tfstate");
    fs::write(file, serde_json::to_string(&state).unwrap()).unwrap();
}

#[test]
fn a_function_can_be_added_also_by_a_canary() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    forget_cancel(&newcomer);
    let plan = newcomer.succeeds("plan");
    assert!(plan.contains("module.function[\"cancel\"].google_cloud_run_v2_service.this"), "{plan}");

    let broken = "https://canary---cancel-123456789012.us-central1.run.app/health";
    let output = newcomer.make_with("deploy TRAFFIC=10", &[("BROKEN", Some(broken))]);
    assert!(!output.status.success() && text(&output).contains("the smoke test failed"), "{}", text(&output));
    assert!(newcomer.succeeds("plan").contains("No changes."));

    // the broken revision, which alone has the traffic of `cancel`, is not the stable one of the next canary
    newcomer.succeeds("deploy TRAFFIC=10");
    let share = |name: &str| {
        let services = newcomer.resources("google_cloud_run_v2_service");
        let service = services.into_iter().find(|service| service["name"] == name).unwrap();
        let traffic = service["traffic"].as_array().unwrap().iter();
        traffic.map(|part| part["percent"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((share("get"), share("cancel")), (vec![90, 10], vec![100]));
    newcomer.succeeds("promote");
    assert_eq!((share("get"), share("cancel")), (vec![100], vec![100]));
}
