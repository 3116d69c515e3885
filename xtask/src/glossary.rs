//! The part of `docs/GLOSSARY.md` that names the exceptions: type names that may stand twice in a crate.
//!
//! Its section is "Names that stand twice", with a table of a row each: the crate, the name in backticks, the reason.

/// The heading of the section.
pub(crate) const HEADING: &str = "Names that stand twice";

/// A name that may stand twice in a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoubleName {
    pub(crate) package: String,
    pub(crate) name: String,
}

/// The rows of the section's table that give a reason.
pub(crate) fn double_names(glossary: &str) -> Vec<DoubleName> {
    section(glossary).filter_map(row).collect()
}

fn section(glossary: &str) -> impl Iterator<Item = &str> {
    let heading = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim() == HEADING);
    glossary
        .lines()
        .skip_while(move |line| heading(line) != Some(true))
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
}

fn row(line: &str) -> Option<DoubleName> {
    let cells: Vec<&str> = line.trim().strip_prefix('|')?.split('|').map(str::trim).collect();
    let [package, name, reason, ..] = cells.as_slice() else { return None };
    let name = name.strip_prefix('`')?.strip_suffix('`')?;
    let package = package.trim_matches('`');
    (!reason.is_empty()).then(|| DoubleName { package: package.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_section_with_a_reason_count() {
        let text = "
| engine | `Outside` | before the section |

## Names that stand twice

| crate | name | why |
| --- | --- | --- |
| engine | `Error` | one a library, one a reader |
| `job` | `Context` | of the run, of the push |
| job | `Silent` | |

## Next
| engine | `After` | after the section |
";
        let found: Vec<_> = double_names(text).into_iter().map(|row| (row.package, row.name)).collect();
        let row = |package: &str, name: &str| (package.to_owned(), name.to_owned());
        assert_eq!(found, [row("engine", "Error"), row("job", "Context")]);
    }
}
