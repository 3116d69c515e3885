//! "Sign in with Hugging Face": OAuth 2 with OpenID Connect for public apps, which have no secret and need PKCE
//! (<https://huggingface.co/docs/hub/oauth>).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::{Access, Answer, HubRef, HubState, access::Token};

/// How long a token is valid, in seconds.
const LIFETIME: u32 = 8 * 60 * 60;

/// A public app.
#[derive(Debug, Clone)]
pub struct OAuthApp {
    /// The client id.
    pub client_id: String,
    /// The page that the Hub returns to. Without a port, a loopback address stands for each of its ports.
    pub redirect_uri: String,
    /// The scopes that the app may ask for.
    pub scopes: Vec<&'static str>,
}

/// Who uses the browser.
#[derive(Debug, Clone)]
pub struct HubUser {
    /// The user's name.
    pub name: String,
    /// The user's organizations, and the role in each.
    pub organizations: BTreeMap<String, &'static str>,
}

#[derive(Default)]
pub(super) struct OAuth(Mutex<Issued>);

#[derive(Default)]
struct Issued {
    app: Option<(OAuthApp, HubUser)>,
    codes: HashMap<String, Code>,
    tokens: HashMap<String, Token>,
}

/// What a code stands for; each is used once.
struct Code {
    redirect_uri: String,
    challenge: String,
    scope: String,
    organizations: Vec<String>,
}

impl OAuth {
    pub(super) fn register(&self, app: OAuthApp, user: HubUser) {
        self.lock().app = Some((app, user));
    }

    pub(super) fn token(&self, token: &str) -> Option<Token> {
        self.lock().tokens.get(token).cloned()
    }

    fn app(&self) -> Option<(OAuthApp, HubUser)> {
        self.lock().app.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type FormFields = HashMap<String, String>;

pub(super) fn router() -> Router<Arc<HubState>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/oauth/token", post(token))
        .route("/oauth/userinfo", get(user_info))
        .layer(from_fn(allow_other_origins))
        .route("/oauth/authorize", get(ask).post(decide))
}

/// Pages of every origin may request the metadata, tokens and who signed in.
async fn allow_other_origins(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type"),
    );
    response
}

async fn metadata(State(state): HubRef) -> Response {
    let at = |path: &str| format!("{}/oauth/{path}", state.endpoint);
    Json(json!({
        "issuer": state.endpoint, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "userinfo_endpoint": at("userinfo"), "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
    }))
    .into_response()
}

/// What the Hub displays to the user, who is not sent anywhere.
type Refusal = (StatusCode, &'static str);

/// A request of an app, if it is valid.
fn requested(state: &HubState, asked: &FormFields) -> Result<(OAuthApp, HubUser), Refusal> {
    let refuse = |text: &'static str| (StatusCode::BAD_REQUEST, text);
    let get = |name: &str| asked.get(name).map_or("", String::as_str);
    let (app, user) = state.oauth.app().ok_or_else(|| refuse("Invalid client_id"))?;
    if get("client_id") != app.client_id {
        return Err(refuse("Invalid client_id"));
    }
    if !is_registered(&app.redirect_uri, get("redirect_uri")) {
        return Err(refuse("Invalid redirect_uri"));
    }
    if get("response_type") != "code"
        || get("code_challenge_method") != "S256"
        || get("code_challenge").len() != 43
    {
        return Err(refuse("Public apps need response_type=code and a code_challenge with S256"));
    }
    if !get("scope").split(' ').all(|scope| app.scopes.contains(&scope)) {
        return Err(refuse("Invalid scope"));
    }
    Ok((app, user))
}

/// Exactly the registered address, or at any port of a loopback address that was registered without one (RFC 8252).
fn is_registered(registered: &str, asked: &str) -> bool {
    let (Ok(url), Ok(mut other)) = (Url::parse(registered), Url::parse(asked)) else { return false };
    let is_loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    if is_loopback && url.port().is_none() {
        return other.set_port(None).is_ok() && url == other;
    }
    registered == asked
}

/// The page that asks the user.
async fn ask(
    State(state): HubRef,
    uri: Uri,
    Query(asked): Query<FormFields>,
) -> Result<impl IntoResponse, Refusal> {
    let (app, user) = requested(&state, &asked)?;
    let organizations: String = user
        .organizations
        .keys()
        .map(|name| format!("<label><input type=checkbox name=org value={name}> {name}</label>"))
        .collect();
    let query = uri.query().unwrap_or_default().replace('&', "&amp;").replace('"', "&quot;");
    Ok(Html(format!(
        "<!doctype html><html lang=en><link rel=icon href=data:,><title>Authorize {0}</title><h1>{0} asks for access to the account of {1}</h1>\
         <form method=post action=\"/oauth/authorize?{query}\"><fieldset><legend>Organizations</legend>{organizations}</fieldset>\
         <button name=decision value=allow>Authorize</button> <button name=decision value=deny>Cancel</button></form>",
        app.client_id, user.name
    )))
}

/// The user's decision, with which the browser returns to the app.
async fn decide(
    State(state): HubRef,
    Query(asked): Query<FormFields>,
    body: String,
) -> Result<Redirect, Refusal> {
    let (_, user) = requested(&state, &asked)?;
    let decision: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let invalid = |_| (StatusCode::BAD_REQUEST, "Invalid redirect_uri");
    let mut back = Url::parse(&asked["redirect_uri"]).map_err(invalid)?;
    let of_app = asked.get("state").map_or("", String::as_str);
    if !decision.contains(&("decision".to_owned(), "allow".to_owned())) {
        let refused =
            [("error", "access_denied"), ("error_description", "The user denied access"), ("state", of_app)];
        back.query_pairs_mut().extend_pairs(refused);
        return Ok(Redirect::to(back.as_str()));
    }
    let allowed =
        decision.into_iter().filter(|(name, _)| name == "org").map(|(_, organization)| organization);
    let code = Code {
        redirect_uri: asked["redirect_uri"].clone(),
        challenge: asked["code_challenge"].clone(),
        scope: asked["scope"].clone(),
        organizations: allowed.filter(|name| user.organizations.contains_key(name)).collect(),
    };
    let name = Uuid::new_v4().simple().to_string();
    back.query_pairs_mut().extend_pairs([("code", name.as_str()), ("state", of_app)]);
    state.oauth.lock().codes.insert(name, code);
    Ok(Redirect::to(back.as_str()))
}

/// A token for a code and the text that its challenge was made of.
async fn token(State(state): HubRef, Form(sent): Form<FormFields>) -> Response {
    let get = |name: &str| sent.get(name).map_or("", String::as_str);
    let refuse = |error: &str, description: &str| {
        let answer = json!({ "error": error, "error_description": description });
        (StatusCode::BAD_REQUEST, Json(answer)).into_response()
    };
    let app = state.oauth.app().filter(|(app, _)| app.client_id == get("client_id"));
    let Some((_, user)) = app else { return refuse("invalid_client", "client is invalid") };
    if get("grant_type") != "authorization_code" {
        return refuse("unsupported_grant_type", "unsupported grant_type requested");
    }
    let code = state.oauth.lock().codes.remove(get("code"));
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(get("code_verifier")));
    let code = code.filter(|code| code.redirect_uri == get("redirect_uri") && code.challenge == challenge);
    let Some(code) = code else { return refuse("invalid_grant", "grant request is invalid") };
    let token = format!("hf_oauth_{}", Uuid::new_v4().simple());
    let answer =
        json!({ "access_token": token, "token_type": "bearer", "expires_in": LIFETIME, "scope": code.scope });
    let access = Access { user: user.name, write: true, licenses: true };
    let scopes = code.scope.split(' ').map(str::to_owned).collect();
    let issued = Token { access, scopes: Some(scopes), organizations: code.organizations };
    state.oauth.lock().tokens.insert(token, issued);
    Json(answer).into_response()
}

async fn user_info(State(state): HubRef, headers: HeaderMap) -> Result<Response, Answer> {
    let token = state.caller(&headers)?.ok_or(Answer::NO_CREDENTIALS)?;
    let Some((_, user)) = state.oauth.app() else { return Err(Answer::INVALID_TOKEN) };
    let organization = |(name, role): (&String, &&str)| {
        let mut found = json!({ "sub": format!("id-of-{name}"), "name": name, "preferred_username": name, "isEnterprise": false });
        if token.organizations.contains(name) {
            found["roleInOrg"] = json!(role);
        }
        found
    };
    let organizations: Vec<Value> = user.organizations.iter().map(organization).collect();
    let name = &user.name;
    let answer = json!({
        "sub": format!("id-of-{name}"), "name": name, "preferred_username": name, "isPro": false, "orgs": organizations,
    });
    Ok(Json(answer).into_response())
}
