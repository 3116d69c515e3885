//! The description as a page: no script, and nothing from elsewhere.

use maud::{DOCTYPE, Markup, html};

use super::{
    document::{Document, Message, Operation, Parameter, Path},
    schema::{self, prose},
};

/// The page about that API.
pub(super) fn of(api: &Document) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (api.info.title) " API" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                link rel="stylesheet" href="/docs.css";
            }
            body {
                header {
                    div.bar {
                        h1 { img src="/icon.svg" alt="" width="28" height="28"; (api.info.title) " API" }
                        a href="/openapi.json" { "openapi.json" }
                    }
                }
                main { (content(api)) }
            }
        }
    }
}

fn content(api: &Document) -> Markup {
    html! {
        p { (prose(&api.info.description)) }
        p.small { "Version " (api.info.version) ". " code { "cargo run -p local -- token" } " prints a token." }
        nav aria-label="Routes" { ul { @for (path, route) in &api.paths { (entries(path, route)) } } }
        @for (path, route) in &api.paths {
            @for (method, operation) in methods(route) { (section(method, path, operation)) }
        }
        h2.types { "Types" }
        @for (name, schema) in &api.components.schemas { (schema::card(name, schema)) }
    }
}

fn methods(route: &Path) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [("GET", &route.get), ("POST", &route.post)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn name(method: &str, path: &str) -> Markup {
    html! { span class={ "method " (method.to_ascii_lowercase()) } { (method) } " " code { (path) } }
}

fn entries(path: &str, route: &Path) -> Markup {
    html! {
        @for (method, operation) in methods(route) {
            li { a href={ "#" (operation.operation_id) } { (name(method, path)) } " " (operation.summary) }
        }
    }
}

fn section(method: &str, path: &str, operation: &Operation) -> Markup {
    html! {
        section.card id=(operation.operation_id) {
            h2 { (name(method, path)) }
            p.lead { (operation.summary) }
            p { (prose(&operation.description)) }
            @if !operation.parameters.is_empty() || operation.request_body.is_some() {
                h3 { "Takes" }
                dl {
                    @for parameter in &operation.parameters { (taken(parameter)) }
                    @if let Some(body) = &operation.request_body { (message(&html! { "body" }, body)) }
                }
            }
            h3 { "Answers" }
            dl { @for (status, answer) in &operation.responses { (message(&badge(status), answer)) } }
        }
    }
}

fn taken(parameter: &Parameter) -> Markup {
    html! {
        dt { code { (parameter.name) } }
        dd { (schema::brief(&parameter.schema)) ", in the " (parameter.place) }
    }
}

fn badge(status: &str) -> Markup {
    let kind = if status.starts_with('2') { "completed" } else { "failed" };
    html! { span class={ "status " (kind) } { (status) } }
}

fn message(title: &Markup, message: &Message) -> Markup {
    html! {
        dt { (title) }
        dd {
            (prose(&message.description))
            @for (kind, content) in &message.content {
                div.small { (schema::brief(&content.schema)) " as " code { (kind) } }
            }
        }
    }
}
