//! Deployments that are interrupted, and repeated.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    newcomer::{Newcomer, text},
    rehearsal::{PROJECT, rehearses},
};

impl Newcomer {
    /// Waits until Terraform works on the resource that the file `slow` names.
    fn waits_for_the_slow_resource(&self) -> PathBuf {
        let begun = self.cloud().join("begun");
        let end = Instant::now() + Duration::from_secs(60);
        while !begun.exists() {
            assert!(Instant::now() < end, "nothing has begun to be slow");
            thread::sleep(Duration::from_millis(20));
        }
        begun
    }

    /// Presses Ctrl-C while Terraform works on a resource of that type, and returns what was printed.
    fn interrupts(&self, verb: &str, kind: &str) -> String {
        let slow = self.cloud().join("slow");
        fs::write(&slow, kind).unwrap();
        // a shell in the background ignores the signal, and so does what it starts
        let script =
            format!("exec env --default-signal=INT make {verb} PROJECT_ID={PROJECT} ENVIRONMENT=staging");
        let mut command = self.command(&script, &[]);
        let printed = self.cloud().join("printed");
        let file = fs::File::create(&printed).unwrap();
        command.process_group(0).stdout(file.try_clone().unwrap()).stderr(file);
        let mut making = command.spawn().unwrap();
        let begun = self.waits_for_the_slow_resource();
        // as a terminal does: to all processes of the group
        let sent = Command::new("kill").args(["-INT", "--", &format!("-{}", making.id())]).status().unwrap();
        assert!(sent.success());
        thread::sleep(Duration::from_secs(1));
        fs::remove_file(slow).unwrap();
        let ended = making.wait().unwrap();
        fs::remove_file(begun).unwrap();
        let said = fs::read_to_string(printed).unwrap();
        assert!(!ended.success(), "{verb} was not interrupted: {said}");
        said
    }
}

/// Terraform ends what it has begun, and saves the state. It needs somebody who reads its output until then.
#[test]
fn an_interrupted_deployment_is_in_the_state_and_continues() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    for kind in [
        "google_artifact_registry_repository",
        "google_service_account",
        "google_cloud_run_v2_service",
        "google_firebase_hosting_site",
    ] {
        let said = newcomer.interrupts("deploy", kind);
        assert!(said.contains("Interrupt received"), "{kind}: {said}");
        assert!(!newcomer.resources(kind).is_empty(), "{kind} is not in the state: {said}");
        assert_eq!(newcomer.count("firebase deploy"), 0, "{kind}: {said}");
    }
    newcomer.succeeds("deploy");
    newcomer.interrupts("destroy", "google_cloud_run_v2_job");
    newcomer.succeeds("destroy");
    newcomer.succeeds("deploy");
    assert!(newcomer.succeeds("deploy").contains("0 added, 0 changed, 0 destroyed"));
}

/// Two deployments at once: the second changes nothing.
#[test]
fn a_deployment_waits_for_the_end_of_another() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let slow = newcomer.cloud().join("slow");
    fs::write(&slow, "google_service_account").unwrap();
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| newcomer.make("deploy"));
        newcomer.waits_for_the_slow_resource();
        let second = newcomer.make("deploy");
        fs::remove_file(&slow).unwrap();
        (first.join().unwrap(), second)
    });
    let said = text(&second);
    let advice = "another run works with the state: wait for its end; if it was killed: scripts/cloud force-unlock ID, with the ID of the lock above\n";
    assert!(!second.status.success() && said.contains(advice), "{said}");
    assert!(first.status.success(), "{}", text(&first));
    assert!(newcomer.succeeds("deploy").contains("0 added, 0 changed, 0 destroyed"));
}

/// Terraform leaves the state in a file if it cannot save it, for example because its token has expired.
#[test]
fn a_state_that_was_not_saved_is_not_forgotten() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    let module = newcomer.repository().join("terraform");
    let mut state = newcomer.state();
    // a later state of the same deployment
    state["serial"] = (state["serial"].as_u64().unwrap() + 1).into();
    fs::write(module.join("errored.tfstate"), state.to_string()).unwrap();
    for verb in ["plan", "deploy", "deploy TRAFFIC=10", "promote", "rollback TAG=1", "destroy"] {
        let output = newcomer.make(verb);
        let said = "errored.tfstate is the state of a run that could not save it";
        assert!(!output.status.success() && text(&output).contains(said), "{verb}: {}", text(&output));
    }
    let environment = format!("export PROJECT_ID={PROJECT} ENVIRONMENT=staging");
    let push = "scripts/cloud state push errored.tfstate && rm terraform/errored.tfstate";
    let pushed = newcomer.types(&format!("{environment}; {push}"), &[]);
    assert!(pushed.status.success(), "{}", text(&pushed));
    assert!(newcomer.state()["serial"].as_u64() >= state["serial"].as_u64());
    newcomer.succeeds("deploy");
}

/// Another region would replace the registry and the buckets, with what is in them.
#[test]
fn a_deployment_stays_in_its_region() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    newcomer.settings(&["region = \"europe-west1\""]);
    let applies = newcomer.count("terraform -chdir=terraform apply");
    for verb in ["plan", "deploy", "deploy TRAFFIC=10", "promote", "rollback TAG=1"] {
        let output = newcomer.make(verb);
        let said =
            "this is deployed in us-central1, and a deployment cannot move: set region = \"us-central1\"";
        assert!(!output.status.success() && text(&output).contains(said), "{verb}: {}", text(&output));
    }
    assert_eq!(newcomer.count("terraform -chdir=terraform apply"), applies);
    newcomer.succeeds("destroy");
    // the key that stays is of the other region
    fs::remove_dir_all(newcomer.cloud().join("kms")).unwrap();
    newcomer.succeeds("deploy");
    assert_eq!(newcomer.resources("google_storage_bucket")[0]["location"], "europe-west1");
}
