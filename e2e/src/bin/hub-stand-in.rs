//! The fake Hugging Face Hub as a program, for the local stack: the user ada signs in there, as the public app `local-stack`.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::{collections::BTreeMap, future::pending};

use clap::Parser;
use e2e::hub::{Hub, HubUser, OAuthApp};

/// Serve a fake Hugging Face Hub on a free port of this machine until Ctrl-C
///
/// The user ada signs in there, as the public app local-stack. The first line has the variables that a local stack needs to use it.
#[derive(Debug, Parser)]
#[command(name = "hub-stand-in", version)]
struct Cli {}

#[tokio::main]
async fn main() {
    let Cli {} = Cli::parse();
    let hub = Hub::start([]).await;
    let app = OAuthApp {
        client_id: "local-stack".to_owned(),
        redirect_uri: "http://127.0.0.1/".to_owned(),
        scopes: vec!["openid", "profile", "contribute-repos", "write-repos"],
    };
    let organizations = BTreeMap::from([("lab".to_owned(), "write"), ("readers".to_owned(), "read")]);
    hub.register(app.clone(), HubUser { name: "ada".to_owned(), organizations });
    println!("HF_ENDPOINT={} HF_OAUTH_CLIENT_ID={}", hub.endpoint(), app.client_id);
    pending::<()>().await;
}
