//! The globs of `firebase.json`: `*` is anything within a segment, `**` is any number of segments.

use std::fmt;

/// A pattern over paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`
    Any,
    /// Literal pieces between the stars of one segment.
    Pieces(Vec<String>),
}

/// A pattern that uses more than stars. Hosting knows more; what is not applied here must not be in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the local gateway knows `*` and `**` only, not {}", self.0)
    }
}

impl std::error::Error for Unsupported {}

impl std::str::FromStr for Glob {
    type Err = Unsupported;

    fn from_str(text: &str) -> Result<Self, Unsupported> {
        if text.contains(['?', '[', ']', '{', '}', '(', ')', '!', '+', '@', '\\']) {
            return Err(Unsupported(text.to_owned()));
        }
        let segments = text.strip_prefix('/').unwrap_or(text).split('/');
        let segment = |segment: &str| match segment {
            "**" => Segment::Any,
            pieces => Segment::Pieces(pieces.split('*').map(str::to_owned).collect()),
        };
        Ok(Self(segments.map(segment).collect()))
    }
}

impl Glob {
    /// Whether that path, with its leading slash and without its query, fits.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        segments_fit(&self.0, &segments)
    }
}

fn segments_fit(pattern: &[Segment], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (None, Some(_)) | (Some((Segment::Pieces(_), _)), None) => false,
        // At the end it stands for one segment or more: `/a/**` is what lies below `/a/`.
        (Some((Segment::Any, [])), first) => first.is_some(),
        (Some((Segment::Any, rest)), _) => (0..=path.len()).any(|n| segments_fit(rest, &path[n..])),
        (Some((Segment::Pieces(pieces), rest)), Some((segment, below))) => {
            pieces_fit(pieces, segment) && segments_fit(rest, below)
        }
    }
}

fn pieces_fit(pieces: &[String], segment: &str) -> bool {
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

    fn fits(glob: &str, path: &str) -> bool {
        glob.parse::<Glob>().unwrap().fits(path)
    }

    #[test]
    fn a_pattern_without_stars_fits_itself_only() {
        assert!(fits("/exports", "/exports"));
        for path in ["/exports/", "/exports/1", "/export", "/Exports", "/", "/x/exports"] {
            assert!(!fits("/exports", path), "{path}");
        }
    }

    #[test]
    fn two_stars_fit_everything_below() {
        for path in ["/exports/1", "/exports/1/2", "/exports/"] {
            assert!(fits("/exports/**", path), "{path}");
        }
        for path in ["/exports", "/exportsx/1", "/"] {
            assert!(!fits("/exports/**", path), "{path}");
        }
        for path in ["/", "/a", "/a/b.html"] {
            assert!(fits("**", path), "{path}");
        }
        assert!(fits("/a/**/z", "/a/z") && fits("/a/**/z", "/a/b/c/z") && !fits("/a/**/z", "/a/b"));
    }

    #[test]
    fn one_star_stays_within_its_segment() {
        assert!(fits("/exports/*", "/exports/1"));
        assert!(!fits("/exports/*", "/exports/1/2"));
        assert!(fits("**/*.js", "/a/app.js") && fits("**/*.js", "/app.js") && !fits("**/*.js", "/app.jsx"));
        assert!(fits("/a*b*c", "/abbcc") && !fits("/a*b*c", "/ac") && !fits("/ab*bc", "/abc"));
    }

    #[test]
    fn what_is_not_applied_here_is_refused() {
        for glob in ["/@(a|b)", "/a?", "/{a,b}", "/[ab]", "!/a"] {
            assert!(glob.parse::<Glob>().is_err(), "{glob}");
        }
    }
}
