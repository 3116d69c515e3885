//! Equal exports at the same time, each requested from the running stack and run as a process of its own.

use std::{
    collections::BTreeSet,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    kill::exports,
    process::{StackProcess, folder},
};

const JOB: &str = "ada-sonnets-1b";
const COUNT: usize = 40;
const LONGEST: Duration = Duration::from_secs(240);

#[tokio::test]
async fn forty_equal_requests_complete_with_one_artifact() {
    for (kind, variants) in [("merged", 2), ("gguf", 1)] {
        let temp = folder();
        // a comparison of predictions would take longer than all else
        let stack = StackProcess::serve_with(temp.path(), &[("VERIFY_LOGITS", "0")], Stdio::inherit());
        let stack = Arc::new(stack);
        let mut requests = JoinSet::new();
        for _ in 0..COUNT {
            let stack = Arc::clone(&stack);
            requests.spawn(async move { stack.export(JOB, kind).await });
        }
        let ids: BTreeSet<String> = requests.join_all().await.into_iter().collect();
        assert_eq!(ids.len(), COUNT);

        let start = Instant::now();
        while exports(temp.path()).values().any(|export| export["status"] == "running") {
            assert!(start.elapsed() < LONGEST, "{kind}: still running");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let ended = exports(temp.path());
        let first: &Value = &ended[ids.first().unwrap()]["artifacts"];
        assert_eq!(first.as_array().unwrap().len(), variants);
        for export in ids.iter().map(|id| &ended[id]) {
            assert_eq!(export["status"], "completed", "{kind}: {export}");
            assert_eq!(export["artifacts"], *first, "{kind}");
            assert_eq!(export["failure"], json!(null));
        }
    }
}
