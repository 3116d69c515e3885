//! The gateway, in place of Firebase Hosting. It applies the `hosting/firebase.json` that is deployed, in the order of
//! Hosting: reserved paths below `/__/`, static files, rewrites to functions, the page for 404. It also serves the API
//! description, which production does not.

mod api_docs;
mod glob;
mod hosting_rules;
mod hub_sign_in;
pub(crate) mod loopback;
mod reverse_proxy;
mod static_files;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::Method,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};

use shared::http::limit_sizes;

pub(crate) use self::hub_sign_in::HubSignIn;
use self::{hosting_rules::HostingRules, reverse_proxy::ReverseProxy};

const FIREBASE_JSON: &str = include_str!("../../../hosting/firebase.json");

/// The path of the token issuer, which production has elsewhere.
const LOCAL: &str = "/__/local";

/// The settings of App Check, which a local stack does not require.
const APP_CHECK: &str = "/app-check.json";

/// Routes requests to static files, the functions and the token issuer.
pub(crate) struct Gateway {
    hosting: HostingRules,
    hub_sign_in: Option<HubSignIn>,
    proxy: ReverseProxy,
    services: BTreeMap<&'static str, SocketAddr>,
    issuer: SocketAddr,
}

impl Gateway {
    /// A gateway in front of those functions, with the rules of `firebase.json`.
    pub(crate) fn new(
        services: BTreeMap<&'static str, SocketAddr>,
        issuer: SocketAddr,
        hub_sign_in: Option<HubSignIn>,
    ) -> anyhow::Result<Self> {
        let names: Vec<_> = services.keys().copied().collect();
        let mut hosting = HostingRules::parse(FIREBASE_JSON, &names)?;
        if let Some(hub) = &hub_sign_in {
            hosting.connect_to(&hub.origin()?)?;
        }
        Ok(Self { hosting, hub_sign_in, proxy: ReverseProxy::new()?, services, issuer })
    }

    /// The page's files, its settings, or the API description.
    fn page(&self, path: &str) -> Option<Response> {
        static_files::get(path).or_else(|| self.settings(path)).or_else(|| api_docs::response(path))
    }

    /// The settings of the page: `null` where the stack has none, so that the browser logs no 404.
    fn settings(&self, path: &str) -> Option<Response> {
        match path {
            hub_sign_in::PATH => Some(Json(&self.hub_sign_in).into_response()),
            APP_CHECK => Some(Json(()).into_response()),
            _ => None,
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let uri = request.uri().clone();
        let path = uri.path();
        if path.starts_with("/__/") {
            let rest = path.strip_prefix(LOCAL).filter(|rest| rest.starts_with('/'));
            return match rest {
                Some(rest) => self.proxy.pass(self.issuer, rest, request).await,
                None => static_files::not_found(),
            };
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let page = reads.then(|| self.page(path)).flatten();
        let service = self.hosting.service(path).and_then(|name| self.services.get(name));
        match (page, service) {
            (Some(page), _) => page,
            (None, Some(to)) => self.proxy.pass(*to, path, request).await,
            (None, None) => static_files::not_found(),
        }
    }
}

/// All routes of the gateway, and those of `downloads`.
pub(crate) fn router(gateway: Arc<Gateway>, downloads: Router) -> Router {
    let headers = from_fn_with_state(Arc::clone(&gateway), add_headers);
    let gateway = Router::new().fallback(answer).with_state(gateway);
    downloads
        .fallback_service(gateway)
        .layer(from_fn(loopback::require))
        .layer(from_fn(limit_sizes))
        .layer(headers)
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    gateway.answer(request).await.into_response()
}

/// Adds the headers of `firebase.json` to every response, refusals and files of the buckets included.
async fn add_headers(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    gateway.hosting.add_headers(&path, response.headers_mut());
    api_docs::set_policy(&path, response.headers_mut());
    response
}

#[cfg(test)]
mod tests;
