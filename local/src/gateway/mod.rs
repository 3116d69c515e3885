//! The gateway, in place of Firebase Hosting. It applies the `hosting/firebase.json` that is deployed, in the order of
//! Hosting: reserved paths below `/__/`, static files, rewrites to functions, the page for 404. It also serves the API
//! description, which production does not.

mod api_docs;
mod glob;
mod hosting_rules;
pub(crate) mod loopback;
mod reverse_proxy;
mod static_files;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, Uri},
    middleware::from_fn,
    response::{IntoResponse, Response},
};

use self::{api_docs::ApiDocs, hosting_rules::HostingRules, reverse_proxy::ReverseProxy};

const FIREBASE_JSON: &str = include_str!("../../../hosting/firebase.json");

/// The path of the token issuer, which production has elsewhere.
const LOCAL: &str = "/__/local";

/// Routes requests to static files, the functions and the token issuer.
pub(crate) struct Gateway {
    api_docs: ApiDocs,
    hosting: HostingRules,
    proxy: ReverseProxy,
    services: BTreeMap<&'static str, SocketAddr>,
    issuer: SocketAddr,
}

impl Gateway {
    /// A gateway in front of those functions, with the rules of `firebase.json`.
    pub(crate) fn new(
        services: BTreeMap<&'static str, SocketAddr>,
        issuer: SocketAddr,
    ) -> anyhow::Result<Self> {
        let names: Vec<_> = services.keys().copied().collect();
        let hosting = HostingRules::parse(FIREBASE_JSON, &names)?;
        Ok(Self { api_docs: ApiDocs::new(), hosting, proxy: ReverseProxy::new()?, services, issuer })
    }

    async fn answer(&self, request: Request) -> Response {
        let uri = request.uri().clone();
        let path = uri.path();
        if path.starts_with("/__/") {
            return match path.strip_prefix(LOCAL) {
                Some(rest) => self.proxy.pass(self.issuer, &with_query(rest, &uri), request).await,
                None => static_files::not_found(),
            };
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let page = reads.then(|| static_files::get(path).or_else(|| self.api_docs.response(path))).flatten();
        let service = self.hosting.service(path).and_then(|name| self.services.get(name));
        let (mut response, from_service) = match (page, service) {
            (Some(page), _) => (page, false),
            (None, Some(to)) => (self.proxy.pass(*to, &with_query(path, &uri), request).await, true),
            (None, None) => (static_files::not_found(), false),
        };
        self.hosting.add_headers(path, from_service, response.headers_mut());
        api_docs::set_policy(path, response.headers_mut());
        response
    }
}

fn with_query(path: &str, uri: &Uri) -> String {
    uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// All routes of the gateway, and those of `downloads`.
pub(crate) fn router(gateway: Arc<Gateway>, downloads: Router) -> Router {
    let gateway = Router::new().fallback(answer).with_state(gateway);
    downloads.fallback_service(gateway).layer(from_fn(loopback::require))
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    gateway.answer(request).await.into_response()
}

#[cfg(test)]
mod tests;
