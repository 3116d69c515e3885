//! Types, in the words of JSON.

use maud::{Markup, html};

use super::document::Schema;

/// Everything about a type of the document.
pub(super) fn card(name: &str, schema: &Schema) -> Markup {
    html! {
        section.card.type id=(anchor(name)) {
            h3 { (name) }
            @if let Some(description) = &schema.description { p { (prose(description)) } }
            @if schema.properties.is_empty() && schema.all_of.is_empty() { p { (brief(schema)) } }
            @for part in &schema.all_of { @if part.refers_to().is_some() { p { "All of " (brief(part)) ", and" } } }
            (fields(schema))
            @for part in &schema.all_of { (fields(part)) }
        }
    }
}

fn anchor(name: &str) -> String {
    format!("type-{name}")
}

fn fields(schema: &Schema) -> Markup {
    html! {
        @if !schema.properties.is_empty() {
            dl {
                @for (name, field) in &schema.properties { (row(name, field, schema.required.contains(name))) }
            }
        }
    }
}

fn row(name: &str, field: &Schema, required: bool) -> Markup {
    html! {
        dt { code { (name) } @if !required { span.small { " optional" } } }
        dd {
            span.small { (brief(field)) }
            @if let Some(description) = described(field) { br; (prose(description)) }
        }
    }
}

/// A field that may be null has its description where its type is.
fn described(field: &Schema) -> Option<&str> {
    std::iter::once(field).chain(&field.one_of).find_map(|schema| schema.description.as_deref())
}

/// A type in a few words, with links to those that it is made of.
pub(super) fn brief(schema: &Schema) -> Markup {
    if let Some(name) = schema.refers_to() {
        return html! { a href={ "#" (anchor(name)) } { (name) } };
    }
    if let Some(items) = &schema.items {
        return html! { "array of " (brief(items)) };
    }
    let choice: Vec<_> = schema.any_of.iter().chain(&schema.one_of).collect();
    if !choice.is_empty() {
        return joined(choice, " or ");
    }
    // of an answer's problem: which one of all it is, is said in words
    if let Some(first) = schema.all_of.first() {
        return brief(first);
    }
    simple(schema)
}

fn joined(schemas: Vec<&Schema>, by: &str) -> Markup {
    html! { @for (n, schema) in schemas.into_iter().enumerate() { @if n > 0 { (by) } (brief(schema)) } }
}

/// A type that is not made of others, with its limits.
fn simple(schema: &Schema) -> Markup {
    html! {
        @if schema.values.is_empty() { (schema.kinds.names().join(" or ")) } @else { "one of" }
        @for value in &schema.values { " " code { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
        @if let Some(format) = &schema.format { " (" (format) ")" }
        @if let Some(most) = schema.max_length { ", at most " (most) " characters" }
        @if let Some(pattern) = &schema.pattern { ", " code.pattern { (pattern) } }
        @if let Some(default) = &schema.default { "; " code { (default) } " if left out" }
    }
}

/// Text in which `…` stands for code.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
