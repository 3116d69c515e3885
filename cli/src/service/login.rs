//! `gemma-export login` and `gemma-export logout`

use std::io::{self, IsTerminal as _, Read as _};

use reqwest::Url;
use serde_json::json;

use super::client::{ApiRequest, ServiceClient, http_client};
use super::session::{Session, address, given_token, service};
use super::sign_ins::{SignIn, SignIns};
use super::{firebase, until_interrupted};
use crate::args::{LoginArgs, LogoutArgs};
use crate::failure::Failure;
use crate::terminal::{Summary, Terminal};
use crate::{runtime, secret_line, signals};

/// The longest token or link that is read.
const LONGEST: u64 = 16 << 10;

const INTERRUPTED: &str = "interrupted: you are not signed in";

pub(crate) fn login(args: &LoginArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let (service, runtime) = (service(&args.service)?, runtime::start()?);
    let sign_in = match &args.email {
        Some(email) => {
            let api_key = until_interrupted(&runtime, INTERRUPTED, async {
                let http = http_client()?;
                let api_key = firebase::api_key(&http, &service).await?;
                firebase::send_link(&http, &api_key, &service, email).await?;
                Ok(api_key)
            })?;
            terminal.note(&format!("a link was sent to {email}: do not open it, but copy its address"));
            let link = read_secret("the address of the link: ")?;
            until_interrupted(&runtime, INTERRUPTED, async {
                Ok(firebase::sign_in(&http_client()?, &api_key, email, &link).await?)
            })?
        }
        None if args.token_stdin || !io::stdin().is_terminal() => given_token(&read_stdin()?)?,
        None => given_token(&read_secret("ID token: ")?)?,
    };
    let client = ServiceClient::new(Session::new(service.clone(), sign_in.clone()), terminal)?;
    let first_page = ApiRequest::get(["exports"]).query("page_size", 1);
    until_interrupted(&runtime, INTERRUPTED, async { Ok(client.send(&first_page).await?) })?;
    keep(&service, sign_in)
}

fn keep(service: &Url, sign_in: SignIn) -> Result<Summary, Failure> {
    let address = address(service);
    let lifetime = match sign_in {
        SignIn::IdToken { .. } => ", until the token expires (an hour after it was issued)",
        SignIn::Firebase { .. } => "",
    };
    SignIns::read()?.set(&address, sign_in)?;
    Ok(Summary {
        lines: vec![format!("signed in to {address}{lifetime}")],
        next_steps: vec!["gemma-export jobs".to_owned()],
        figures: json!({ "service": address }),
        ..Summary::default()
    })
}

pub(crate) fn logout(args: &LogoutArgs) -> Result<Summary, Failure> {
    let address = address(&service(&args.service)?);
    let removed = SignIns::read()?.remove(&address)?;
    let line = match removed {
        true => format!("the sign-in to {address} is removed from this machine"),
        false => format!("there is no sign-in to {address}"),
    };
    Ok(Summary {
        lines: vec![line],
        figures: json!({ "service": address, "removed": removed }),
        ..Summary::default()
    })
}

/// A line from the terminal, which does not show it; from standard input where that is no terminal.
fn read_secret(prompt: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return read_stdin();
    }
    signals::begin_prompt(INTERRUPTED);
    secret_line::read(prompt)
        .map_err(|error| Failure::input(format!("cannot read from the terminal: {error}")))
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| Failure::input(format!("cannot read standard input: {error}")))?;
    Ok(text)
}
