//! The globs of `firebase.json`: `*` matches any text within a segment, `**` any number of segments.

use std::fmt;

/// A pattern over paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<GlobSegment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum GlobSegment {
    /// `**`
    Any,
    /// The literals between the stars of one segment.
    Pieces(Vec<String>),
}

/// A pattern with syntax that Hosting supports and this gateway does not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnsupportedGlob(String);

impl fmt::Display for UnsupportedGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the local gateway supports only `*` and `**` in globs: {}", self.0)
    }
}

impl std::error::Error for UnsupportedGlob {}

impl std::str::FromStr for Glob {
    type Err = UnsupportedGlob;

    fn from_str(text: &str) -> Result<Self, UnsupportedGlob> {
        if text.contains(['?', '[', ']', '{', '}', '(', ')', '!', '+', '@', '\\']) {
            return Err(UnsupportedGlob(text.to_owned()));
        }
        let segments = text.strip_prefix('/').unwrap_or(text).split('/');
        let segment = |segment: &str| match segment {
            "**" => GlobSegment::Any,
            pieces => GlobSegment::Pieces(pieces.split('*').map(str::to_owned).collect()),
        };
        Ok(Self(segments.map(segment).collect()))
    }
}

impl Glob {
    /// Whether the pattern matches that path, which has a leading slash and no query.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        segments_match(&self.0, &segments)
    }
}

fn segments_match(pattern: &[GlobSegment], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (None, Some(_)) | (Some((GlobSegment::Pieces(_), _)), None) => false,
        // At the end it matches one segment or more: `/a/**` does not match `/a`.
        (Some((GlobSegment::Any, [])), first) => first.is_some(),
        (Some((GlobSegment::Any, rest)), _) => (0..=path.len()).any(|n| segments_match(rest, &path[n..])),
        (Some((GlobSegment::Pieces(pieces), rest)), Some((segment, below))) => {
            pieces_match(pieces, segment) && segments_match(rest, below)
        }
    }
}

fn pieces_match(pieces: &[String], segment: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return segment.is_empty() };
    let Some(mut left) = segment.strip_prefix(first.as_str()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for piece in middle {
        let Some(at) = left.find(piece.as_str()) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        glob.parse::<Glob>().unwrap().matches(path)
    }

    #[test]
    fn a_pattern_without_stars_matches_itself_only() {
        assert!(matches("/exports", "/exports"));
        for path in ["/exports/", "/exports/1", "/export", "/Exports", "/", "/x/exports"] {
            assert!(!matches("/exports", path), "{path}");
        }
    }

    #[test]
    fn two_stars_match_everything_below() {
        for path in ["/exports/1", "/exports/1/2", "/exports/"] {
            assert!(matches("/exports/**", path), "{path}");
        }
        for path in ["/exports", "/exportsx/1", "/"] {
            assert!(!matches("/exports/**", path), "{path}");
        }
        for path in ["/", "/a", "/a/b.html"] {
            assert!(matches("**", path), "{path}");
        }
        assert!(matches("/a/**/z", "/a/z") && matches("/a/**/z", "/a/b/c/z") && !matches("/a/**/z", "/a/b"));
    }

    #[test]
    fn one_star_matches_within_a_segment() {
        assert!(matches("/exports/*", "/exports/1"));
        assert!(!matches("/exports/*", "/exports/1/2"));
        assert!(
            matches("**/*.js", "/a/app.js")
                && matches("**/*.js", "/app.js")
                && !matches("**/*.js", "/app.jsx")
        );
        assert!(matches("/a*b*c", "/abbcc") && !matches("/a*b*c", "/ac") && !matches("/ab*bc", "/abc"));
    }

    #[test]
    fn unsupported_syntax_is_rejected() {
        for glob in ["/@(a|b)", "/a?", "/{a,b}", "/[ab]", "!/a"] {
            assert!(glob.parse::<Glob>().is_err(), "{glob}");
        }
    }
}
