//! Deployments that are interrupted, and repeated.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    newcomer::Newcomer,
    rehearsal::{PROJECT, terraform},
};

impl Newcomer {
    /// Presses Ctrl-C while Terraform works on a resource of that type, and returns what was printed.
    fn interrupts(&self, verb: &str, kind: &str) -> String {
        let slow = self.cloud().join("slow");
        let begun = self.cloud().join("begun");
        fs::write(&slow, kind).unwrap();
        // a shell in the background ignores the signal, and so does what it starts
        let script =
            format!("exec env --default-signal=INT make {verb} PROJECT_ID={PROJECT} ENVIRONMENT=staging");
        let mut command = self.command(&script, &[]);
        let printed = self.cloud().join("printed");
        let file = fs::File::create(&printed).unwrap();
        command.process_group(0).stdout(file.try_clone().unwrap()).stderr(file);
        let mut making = command.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while !begun.exists() {
            assert!(Instant::now() < end, "{verb} does not reach {kind}");
            thread::sleep(Duration::from_millis(20));
        }
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
    if !terraform() {
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
