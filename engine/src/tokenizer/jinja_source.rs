//! The source of a template for minijinja, where Jinja's syntax or its meaning differ.

use std::ops::Range;

use minijinja::machinery::{Token, WhitespaceConfig, tokenize};
use minijinja::syntax::SyntaxConfig;

/// The function around the list of each loop, and the filter before those of lists.
pub(super) const ITERABLE: &str = "__iterable";

/// The filters of Jinja that take a list.
const FILTERS_OF_LISTS: [&str; 15] = [
    "batch", "count", "first", "groupby", "join", "last", "length", "list", "max", "min", "reverse", "slice",
    "sort", "sum", "unique",
];

/// A token, and where it is.
type Located<'a> = (Token<'a>, Range<usize>);

/// Text in place of another.
type Edit = (Range<usize>, String);

/// - `{% generation %}`, with which transformers marks answers, prints its content and nothing else.
/// - `"%s" % x` is `"%s" | format(x)`. Only texts in the template itself are formatted, so that `%` of numbers stays.
/// - The list of a loop is the argument of the function [`ITERABLE`], and that of a filter goes through it.
///
/// An invalid template stays invalid.
pub(super) fn for_minijinja(template: &str) -> String {
    let whitespace =
        WhitespaceConfig { trim_blocks: true, lstrip_blocks: true, ..WhitespaceConfig::default() };
    let tokens = tokenize(template, false, SyntaxConfig, whitespace).map(|token| {
        token.map(|(token, span)| (token, span.start_offset as usize..span.end_offset as usize))
    });
    let Ok(tokens) = tokens.collect::<Result<Vec<Located<'_>>, _>>() else { return template.to_owned() };
    let mut edits: Vec<Edit> = (0..tokens.len()).flat_map(|at| edits_at(&tokens[at..])).collect();
    edits.sort_by_key(|(range, _)| range.start);
    let (mut source, mut end) = (String::new(), 0);
    for (range, text) in edits {
        source.push_str(&template[end..range.start]);
        source.push_str(&text);
        end = range.end;
    }
    source + &template[end..]
}

/// What changes because of the first of these tokens.
fn edits_at(tokens: &[Located<'_>]) -> Vec<Edit> {
    match tokens {
        [(Token::BlockStart, _), (Token::Ident("generation"), block), ..] => {
            vec![(block.clone(), "if true".to_owned())]
        }
        [(Token::BlockStart, _), (Token::Ident("endgeneration"), block), ..] => {
            vec![(block.clone(), "endif".to_owned())]
        }
        [(Token::BlockStart, _), (Token::Ident("for"), _), rest @ ..] => loop_edits(rest),
        [(Token::Str(_) | Token::String(_), _), (Token::Mod, operator), rest @ ..] => {
            format_edits(operator, rest)
        }
        [(Token::Pipe, operator), (Token::Ident(filter), _), ..] if FILTERS_OF_LISTS.contains(filter) => {
            vec![insertion(operator.start, &format!("| {ITERABLE} "))]
        }
        _ => Vec::new(),
    }
}

/// The list of a loop, of which the tokens behind `for` are given.
fn loop_edits(tokens: &[Located<'_>]) -> Vec<Edit> {
    let Some(start) = position(tokens, |token| matches!(token, Token::Ident("in"))) else {
        return Vec::new();
    };
    let list = &tokens[start + 1..];
    let is_end = |token: &Token<'_>| matches!(token, Token::Ident("if" | "recursive") | Token::BlockEnd);
    match position(list, is_end).map(|end| &list[..end]) {
        Some([(_, first), .., (_, last)] | [(_, first @ last)]) => {
            vec![insertion(first.start, &format!("{ITERABLE}((")), insertion(last.end, "))")]
        }
        Some([]) | None => Vec::new(),
    }
}

/// The operator `%` behind a text, and the tokens behind it.
fn format_edits(operator: &Range<usize>, tokens: &[Located<'_>]) -> Vec<Edit> {
    let length = operand_length(tokens);
    match tokens.get(..length) {
        // several values, or one
        Some([(Token::ParenOpen, _), ..]) if length == primary_length(tokens) => {
            vec![(operator.clone(), "| format".to_owned())]
        }
        Some([.., (_, last)]) => {
            vec![(operator.clone(), "| format(".to_owned()), insertion(last.end, ")")]
        }
        Some([]) | None => Vec::new(),
    }
}

fn insertion(at: usize, text: &str) -> Edit {
    (at..at, text.to_owned())
}

/// The number of tokens of the operand at the start: what is before the next operator.
fn operand_length(tokens: &[Located<'_>]) -> usize {
    let mut length =
        tokens.iter().take_while(|(token, _)| matches!(token, Token::Minus | Token::Plus)).count();
    length += primary_length(&tokens[length..]);
    loop {
        length += match &tokens[length.min(tokens.len())..] {
            [(Token::Dot | Token::Pipe, _), ..] => 2,
            rest @ [(Token::ParenOpen | Token::BracketOpen, _), ..] => primary_length(rest),
            _ => return length,
        };
    }
}

/// The number of tokens of a name, a literal or brackets with their content.
fn primary_length(tokens: &[Located<'_>]) -> usize {
    match tokens {
        [(token, _), rest @ ..] if depth_change(token) == 1 => {
            position(rest, |token| depth_change(token) == -1).map_or(1, |end| end + 2)
        }
        _ => 1,
    }
}

/// The position of the first such token outside of brackets.
fn position(tokens: &[Located<'_>], is_found: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0;
    tokens.iter().position(|(token, _)| {
        let is_there = depth == 0 && is_found(token);
        depth += depth_change(token);
        is_there
    })
}

/// How many brackets a token opens; -1 where it closes one.
fn depth_change(token: &Token<'_>) -> i32 {
    let opens = matches!(token, Token::ParenOpen | Token::BracketOpen | Token::BraceOpen);
    let closes = matches!(token, Token::ParenClose | Token::BracketClose | Token::BraceClose);
    i32::from(opens) - i32::from(closes)
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        for (template, expected) in [
            ("{%- generation -%} a {% endgeneration %}", "{%- if true -%} a {% endif %}"),
            (r#"{{ "%s" % (a, b) }}"#, r#"{{ "%s" | format (a, b) }}"#),
            (r#"{{ "%s" % a.b[0](c) | trim ~ d }}"#, r#"{{ "%s" | format( a.b[0](c) | trim) ~ d }}"#),
            (r#"{{ "%s" % (a).b }}"#, r#"{{ "%s" | format( (a).b) }}"#),
            ("{% for a in b if c %}", "{% for a in __iterable((b)) if c %}"),
            (
                "{% for a, b in (c if d in e) recursive %}",
                "{% for a, b in __iterable(((c if d in e))) recursive %}",
            ),
            (
                r#"{% for a in "%s" % b %}{{ a|join }}"#,
                r#"{% for a in __iterable(("%s" | format( b))) %}{{ a| __iterable |join }}"#,
            ),
        ] {
            assert_eq!(for_minijinja(template), expected);
        }
        for template in [
            "{{ a % 2 }}{{ 7 % (3) }}",
            r#"{{ "{% for a in b %}" }}{# {% for a in b %} #}{% raw %}{{ "%s" % a }}{% endraw %}"#,
            "{{ a | trim | upper }}",
            "{% for %}",
            "{% for a in %}",
            r#"{{ "unclosed }}"#,
        ] {
            assert_eq!(for_minijinja(template), template);
        }
        for invalid in [r#"{{ "%s" % }}"#, r#"{{ "%s" % ("#, r#"{{ "%s" % - "#, r#"{{ "%s" % a | "#] {
            assert!(Environment::new().template_from_str(&for_minijinja(invalid)).is_err(), "{invalid}");
        }
    }
}
