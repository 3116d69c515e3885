//! What the Hub refuses, in its own words: the record names the cause, and what to do about it.

use std::{collections::BTreeMap, fs};

use e2e::hub::{Answer, Content, Fault, Hub, Repo, Step};
use futures_util::future::join_all;
use serde_json::json;
use shared::domain::{ArtifactKind, Destination, Export, FailureCode, Status};

use crate::{
    hub::{REPO, WRITER, export, files, hub, message},
    support::{BASE, World},
};

/// Buckets without the base model, which is read from the Hub.
fn world_without_base(hub: &Hub, token: Option<&'static str>) -> World {
    let world = World::with_hub(hub.endpoint(), token);
    fs::remove_dir_all(world.path("base-models/google")).unwrap();
    world
}

fn code(export: &Export) -> FailureCode {
    export.failure.as_ref().unwrap().code
}

/// The Hub's own message is in the record, in quotes.
fn quotes(export: &Export, answer: Answer) -> bool {
    let start: String = answer.message.chars().take(60).collect();
    message(export).contains(&format!("(the Hub: \"{start}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_base_model_names_the_true_cause() {
    let accept = format!("accept the license of {BASE}");
    let read = [
        (Step::Resolve, Answer::GATED, accept.as_str(), FailureCode::AccessDenied),
        (Step::Resolve, Answer::LICENSE, &accept, FailureCode::AccessDenied),
        (Step::Resolve, Answer::AWAITING_REVIEW, "wait until its authors", FailureCode::AccessDenied),
        (Step::Resolve, Answer::REJECTED, "another account", FailureCode::AccessDenied),
        (Step::Resolve, Answer::FINE_GRAINED, "read public gated repositories", FailureCode::AccessDenied),
        (Step::Info, Answer::INVALID_TOKEN, "rejected hf_token", FailureCode::AccessDenied),
        (Step::Info, Answer::NO_REPOSITORY, "does not exist", FailureCode::NotFound),
        (Step::Info, Answer::NO_CREDENTIALS, "or is private", FailureCode::NotFound),
        (Step::Tree, Answer::INVALID_TOKEN, "rejected hf_token", FailureCode::AccessDenied),
        (Step::Info, Answer::DISABLED, "has disabled access to base model", FailureCode::AccessDenied),
        (Step::Resolve, Answer::DISABLED, "has disabled access to base model", FailureCode::AccessDenied),
        (
            Step::Info,
            Answer::UNAVAILABLE,
            "answers with errors (503); try again in a few minutes",
            FailureCode::Interrupted,
        ),
    ];
    for (step, answer, expected, code_expected) in read {
        let hub = hub().await;
        hub.fail(step, Fault::Answer(answer), usize::MAX);
        let world = world_without_base(&hub, Some(WRITER));
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert_eq!((made.status, code(&made)), (Status::Failed, code_expected), "{}", message(&made));
        assert!(message(&made).contains(expected) && quotes(&made, answer), "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_files_that_is_refused_is_not_empty() {
    let hub = hub().await;
    let card = BTreeMap::from([("README.md".to_owned(), Content::regular("Mine"))]);
    hub.put(REPO, Repo { private: true, commits: 1, files: card, ..Repo::default() });
    let before = hub.repo(REPO);
    hub.fail(Step::Tree, Fault::Answer(Answer::NO_ENTRY), usize::MAX);
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!((made.status, hub.repo(REPO)), (Status::Failed, before), "{}", message(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_files_has_no_list_of_them() {
    let hub = hub().await;
    hub.put(REPO, Repo { private: true, commits: 1, ..Repo::default() });
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_names_the_true_cause() {
    for (answer, expected, code_expected) in [
        (Answer::STORAGE_LIMIT, "may not store more", FailureCode::InvalidInput),
        (Answer::PAYMENT_REQUIRED, "may not store more", FailureCode::InvalidInput),
        (Answer::TOO_LARGE, "refused the content", FailureCode::InvalidInput),
        (Answer::NO_WRITE_ACCESS, "write access", FailureCode::AccessDenied),
    ] {
        let hub = hub().await;
        hub.fail(Step::Batch, Fault::FileError(answer), usize::MAX);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!((made.status, code(&made)), (Status::Failed, code_expected), "{}", message(&made));
        let start: String = answer.message.chars().take(40).collect();
        let quoted = format!("(the Hub: \"adapter_config.json: {start}");
        assert!(message(&made).contains(expected) && message(&made).contains(&quoted), "{}", message(&made));
        assert_eq!(hub.asked(Step::Batch), 1, "it is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_names_the_true_cause() {
    let push = [
        (Step::Create, Answer::NO_WRITE_ACCESS, "write access", FailureCode::AccessDenied),
        (Step::Create, Answer::NO_CREDENTIALS, "rejected hf_token", FailureCode::AccessDenied),
        (Step::Batch, Answer::STORAGE_LIMIT, "may not store more", FailureCode::InvalidInput),
        (Step::Batch, Answer::STORAGE_PATTERNS, "may not store more", FailureCode::InvalidInput),
        (Step::Batch, Answer::PAYMENT_REQUIRED, "may not store more", FailureCode::InvalidInput),
        (Step::Batch, Answer::NO_WRITE_ACCESS, "write access", FailureCode::AccessDenied),
        (Step::Create, Answer::NO_NAMESPACE, "write access", FailureCode::AccessDenied),
        (Step::WriteToken, Answer::NO_WRITE_ACCESS, "write access", FailureCode::AccessDenied),
        (Step::WriteToken, Answer::INVALID_TOKEN, "rejected hf_token", FailureCode::AccessDenied),
        (Step::WriteToken, Answer::STORAGE_LIMIT, "may not store more", FailureCode::InvalidInput),
        (Step::Batch, Answer::DISABLED, "has disabled access", FailureCode::AccessDenied),
        (Step::Commit, Answer::COMMIT_IN_PROGRESS, "failed; export again", FailureCode::Interrupted),
        (Step::Commit, Answer::STORAGE_LIMIT, "may not store more", FailureCode::InvalidInput),
        (Step::Commit, Answer::SECRET_FOUND, "refused the content", FailureCode::InvalidInput),
        (Step::Commit, Answer::INVALID_CARD, "refused the content", FailureCode::InvalidInput),
        (Step::Commit, Answer::COMMIT_HAPPENED, "changed by another commit", FailureCode::Interrupted),
        (Step::Commit, Answer::INVALID_TOKEN, "rejected hf_token", FailureCode::AccessDenied),
    ];
    for (step, answer, expected, code_expected) in push {
        let hub = hub().await;
        hub.fail(step, Fault::Answer(answer), usize::MAX);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        if matches!(step, Step::Batch | Step::WriteToken) {
            fs::write(world.path("models/adapters/job-1/tokenizer.json"), vec![7; 11 << 20]).unwrap();
        }
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!((made.status, code(&made)), (Status::Failed, code_expected), "{}", message(&made));
        let text = message(&made);
        assert!(text.contains(expected) && text.contains(REPO) && quotes(&made, answer), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_fails_is_named_with_what_was_being_done() {
    let looked_at = "the repository ada/my-gemma could not be looked at: the Hugging Face Hub";
    let upload = "the upload to ada/my-gemma failed: the Hugging Face Hub";
    for (step, doing) in [(Step::Info, looked_at), (Step::Create, upload), (Step::Commit, upload)] {
        let hub = hub().await;
        hub.fail(step, Fault::Status(503), usize::MAX);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        let expected = format!("{doing} answers with errors (503); ");
        assert!(message(&made).starts_with(&expected), "{step:?}: {}", message(&made));
        assert_eq!(code(&made), FailureCode::Interrupted);
    }
    let world = World::with_hub("http://127.0.0.1:9", Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    let expected = format!("{looked_at} cannot be reached; try again in a few minutes");
    assert_eq!(message(&made), expected);
}

/// Files of that content that is no model's.
fn named(names: &[&str]) -> BTreeMap<String, Content> {
    names.iter().map(|name| ((*name).to_owned(), Content::regular("x"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_16_bit_sibling_that_is_no_model_is_absent_without_a_token_too() {
    let siblings: [Option<&[&str]>; 4] =
        [None, Some(&[]), Some(&["config.json", "tokenizer.json"]), Some(&["config.json", "model.gguf"])];
    for sibling in siblings {
        let hub = hub().await;
        hub.put("ada/micro-bnb-4bit", Repo { files: files("gemma3-4bit/base"), ..Repo::default() });
        let world = World::with_hub(hub.endpoint(), None);
        if let Some(names) = sibling {
            hub.put("ada/micro", Repo { files: named(names), ..Repo::default() });
            fs::create_dir_all(world.path("base-models/ada/micro")).unwrap();
            fs::write(world.path("base-models/ada/micro/config.json"), "{}").unwrap();
        }
        world.put_adapter("adapters/4bit/adapter");
        world.put_training_job("job-1", json!({"base_model_id": "ada/micro-bnb-4bit"}));
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert_eq!(made.status, Status::Completed, "{sibling:?}: {}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_model_says_what_it_has() {
    for (names, expected) in [
        (&["model-q4_0.gguf"][..], "GGUF files, but no config.json"),
        (&["config.json", "model-q4_0.gguf"], "GGUF files, but no weights as safetensors"),
        (&["adapter_config.json"], "an adapter, but no config.json"),
        (&["config.json", "pytorch_model.bin"], "weights as pickles (pytorch_model.bin)"),
        (&["config.json", "tokenizer.json"], "config.json, tokenizer.json, but no weights"),
        (&["README.md"], "README.md, but no config.json"),
        (&[], "no files"),
    ] {
        let hub = hub().await;
        hub.put(BASE, Repo { files: named(names), ..Repo::default() });
        let world = world_without_base(&hub, None);
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert_eq!(code(&made), FailureCode::InvalidInput, "{}", message(&made));
        assert!(
            message(&made).contains(expected) && message(&made).contains("set base_model_id"),
            "{}",
            message(&made)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_has_expired_is_asked_for_again() {
    let hub = hub().await;
    hub.put(BASE, hub.repo(BASE).unwrap().with_weights_in_storage());
    hub.fail(Step::Storage, Fault::Status(403), 2);
    let world = world_without_base(&hub, Some(WRITER));
    let made = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert_eq!(crate::exports::sha256_of(&world, "model.gguf"), crate::exports::reference());

    hub.fail(Step::Storage, Fault::Status(403), usize::MAX);
    let world = world_without_base(&hub, Some(WRITER));
    let made = export(&world, ArtifactKind::Gguf, &[Destination::Gcs]).await;
    assert_eq!(code(&made), FailureCode::Interrupted);
    assert!(!message(&made).contains("service account"), "{}", message(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_resolved_once() {
    let hub = hub().await;
    hub.put(BASE, hub.repo(BASE).unwrap().with_weights_in_storage());
    let mut world = world_without_base(&hub, Some(WRITER));
    // a file that is kept in memory is read by one request
    world.machine.memory = 1.0;
    let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    let files = hub.repo(BASE).unwrap().files.len();
    assert!(hub.asked(Step::Resolve) <= files + 1, "{} for {files} files", hub.asked(Step::Resolve));
    assert!(hub.asked(Step::Storage) > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_while_the_base_is_read_is_named() {
    for after in [1, 2] {
        let hub = hub().await;
        hub.put(BASE, hub.repo(BASE).unwrap().with_weights_in_storage());
        hub.fail_after(Step::Resolve, Fault::Answer(Answer::INVALID_TOKEN), after, usize::MAX);
        let world = world_without_base(&hub, Some(WRITER));
        let made = export(&world, ArtifactKind::Merged, &[Destination::Gcs]).await;
        assert_eq!(code(&made), FailureCode::AccessDenied, "{}", message(&made));
        assert!(message(&made).contains("was revoked"), "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_although_its_answer_was_lost_is_checked() {
    let hub = hub().await;
    hub.fail(Step::Commit, Fault::LosesAnswer, 1);
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert_eq!((hub.repo(REPO).unwrap().commits, hub.asked(Step::Commit)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_model_whose_push_failed_is_pushed_by_the_next_export() {
    let hub = hub().await;
    hub.put(BASE, hub.repo(BASE).unwrap().with_weights_in_storage());
    let world = world_without_base(&hub, Some(WRITER));
    hub.fail(Step::Commit, Fault::Answer(Answer::STORAGE_LIMIT), 1);
    let failed = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;
    assert_eq!(failed.status, Status::Failed);
    let (written, read) = (world.files("models/merged_models"), hub.asked(Step::Storage));
    assert!(!written.is_empty() && read > 0);

    let made = export(&world, ArtifactKind::Merged, &[Destination::HfHub]).await;
    assert_eq!(made.status, Status::Completed, "{}", message(&made));
    assert!(message(&made).contains("Reused the merged model"), "{}", message(&made));
    assert_eq!(world.files("models/merged_models"), written);
    assert_eq!(hub.asked(Step::Storage), read, "the weights of the base are not read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_published_says_where_it_would_be() {
    let (clean, hub) = (hub().await, hub().await);
    let world = World::with_hub(clean.endpoint(), Some(WRITER));
    assert_eq!(export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await.status, Status::Completed);
    let before_the_check = clean.asked(Step::Info);
    for fault in [Fault::LosesAnswer, Fault::Answer(Answer::STORAGE_LIMIT)] {
        hub.fail(Step::Commit, fault, 1);
        hub.fail_after(Step::Info, Fault::Answer(Answer::UNAVAILABLE), before_the_check, usize::MAX);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Failed);
        let expected = format!("the files may be at {}/{REPO} already", hub.endpoint());
        assert_eq!(message(&made).contains(&expected), fault == Fault::LosesAnswer, "{}", message(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_first_is_no_end() {
    for (step, fault) in [
        (Step::Commit, Fault::OtherCommit),
        (Step::Commit, Fault::Answer(Answer::COMMIT_HAPPENED)),
        (Step::Commit, Fault::Answer(Answer::COMMIT_IN_PROGRESS)),
        (Step::Create, Fault::Answer(Answer::CREATE_IN_PROGRESS)),
    ] {
        let hub = hub().await;
        hub.fail(step, fault, 2);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{fault:?}: {}", message(&made));
        let repo = hub.repo(REPO).unwrap();
        assert!(repo.private && repo.files.contains_key("adapter_config.json"), "{fault:?}");
        assert_eq!(repo.files.contains_key("other.txt"), fault == Fault::OtherCommit, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commits_of_somebody_else_are_no_push() {
    let hub = hub().await;
    hub.fail(Step::Commit, Fault::OtherCommit, usize::MAX);
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!((made.status, code(&made)), (Status::Failed, FailureCode::Interrupted));
    assert!(
        message(&made).contains("changed by another commit") && quotes(&made, Answer::COMMIT_HAPPENED),
        "{}",
        message(&made)
    );
    let names: Vec<_> = hub.repo(REPO).unwrap().files.into_keys().collect();
    assert_eq!(names, ["other.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_and_could_not_be_read_back_says_where_it_is() {
    for answer in [Answer::UNAVAILABLE, Answer::INVALID_TOKEN] {
        let hub = hub().await;
        // the list of a new repository is asked for after the push only
        hub.fail(Step::Tree, Fault::Answer(answer), usize::MAX);
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Failed);
        let expected = format!("the files are at {}/{REPO}, but could not be checked", hub.endpoint());
        assert!(message(&made).contains(&expected), "{}", message(&made));
        assert_eq!(hub.repo(REPO).unwrap().commits, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_may_be_somebody_elses_is_not_said_to_be_the_push() {
    let hub = hub().await;
    hub.fail(Step::Commit, Fault::OtherCommit, 1);
    hub.fail(Step::Tree, Fault::Answer(Answer::UNAVAILABLE), usize::MAX);
    let world = World::with_hub(hub.endpoint(), Some(WRITER));
    let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
    assert_eq!((made.status, code(&made)), (Status::Failed, FailureCode::Interrupted));
    let expected = format!("the files may be at {}/{REPO} already", hub.endpoint());
    assert!(message(&made).contains(&expected), "{}", message(&made));
    assert_eq!(hub.repo(REPO).unwrap().files.into_keys().collect::<Vec<_>>(), ["other.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_to_one_repository_at_the_same_time_all_complete() {
    let hub = hub().await;
    join_all((0..6).map(|_| async {
        let world = World::with_hub(hub.endpoint(), Some(WRITER));
        let made = export(&world, ArtifactKind::Adapter, &[Destination::HfHub]).await;
        assert_eq!(made.status, Status::Completed, "{}", message(&made));
    }))
    .await;
}
