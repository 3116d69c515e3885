//! All checks over all crates.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::circles::{Circle, circles_of};
use crate::declarations::{Declaration, declarations_of};
use crate::glossary::{self, DoubleName};
use crate::module_graph::ModuleGraph;
use crate::module_tree::{SourceModule, parse_crate};
use crate::retired_names::objection;
use crate::type_names::{one_word_percent, one_word_types, types, unexplained_doubles};
use crate::workspace::{Package, Workspace};

/// The share of one-word type names, in percent, that a package of [`LIMITED`] stays below.
const ONE_WORD_LIMIT: f64 = 45.0;
const LIMITED: [&str; 3] = ["engine", "shared", "job"];

/// What the checks found.
#[derive(Debug, Default)]
pub(crate) struct StructureReport {
    /// What each package declares.
    packages: Vec<PackageNames>,
    /// Texts for a person: what is wrong, where, what to do.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug)]
struct PackageNames {
    package: String,
    declarations: Vec<Declaration>,
}

/// Checks the source of every package; fails if it cannot be read or parsed.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<StructureReport> {
    let glossary = fs::read_to_string(workspace.folder.join("docs/GLOSSARY.md")).unwrap_or_default();
    let explained = glossary::double_names(&glossary);
    let mut report = StructureReport::default();
    for package in &workspace.packages {
        let crates = parse_package(package, &workspace.folder)?;
        report.add(&package.name, &crates, &explained);
    }
    Ok(report)
}

fn parse_package(package: &Package, folder: &Path) -> anyhow::Result<Vec<Vec<SourceModule>>> {
    let relative = |mut module: SourceModule| {
        module.file = module.file.strip_prefix(folder).unwrap_or(&module.file).to_owned();
        module
    };
    let parse = |root| anyhow::Ok(parse_crate(root)?.into_iter().map(relative).collect());
    package.root_files().map(|root| parse(root)).collect()
}

impl StructureReport {
    fn add(&mut self, package: &str, crates: &[Vec<SourceModule>], explained: &[DoubleName]) {
        for modules in crates {
            self.check_modules(package, modules);
        }
        let declarations: Vec<_> = crates.iter().flat_map(|modules| declarations_of(modules)).collect();
        self.check_type_names(package, &declarations, explained);
        self.check_retired(package, &declarations);
        self.packages.push(PackageNames { package: package.to_owned(), declarations });
    }

    fn check_modules(&mut self, package: &str, modules: &[SourceModule]) {
        let graph = ModuleGraph::of(modules);
        self.violations.extend(circles_of(&graph).iter().map(|circle| circle_text(package, &graph, circle)));
        for (module, site) in &graph.uses_of_root {
            self.violations.push(format!(
                "{package}: the module `{module}` uses what the root of the crate declares; \
                 move that to a module\n  {site}"
            ));
        }
    }

    fn check_type_names(&mut self, package: &str, declarations: &[Declaration], explained: &[DoubleName]) {
        let percent = one_word_percent(declarations);
        if LIMITED.contains(&package) && percent >= ONE_WORD_LIMIT {
            self.violations.push(format!(
                "{package}: {percent:.0} % of the type names are one word, and {ONE_WORD_LIMIT} % is the limit; \
                 see them with: cargo run --package xtask -- structure --list"
            ));
        }
        for (name, places) in unexplained_doubles(package, declarations, explained) {
            self.violations.push(format!(
                "{package}: {} types are called `{name}`; rename them, or give the reason in docs/GLOSSARY.md \
                 under \"{}\"{}",
                places.len(),
                glossary::HEADING,
                lines(places),
            ));
        }
    }

    fn check_retired(&mut self, package: &str, declarations: &[Declaration]) {
        for declaration in declarations {
            if let Some(objection) = objection(package, declaration) {
                self.violations.push(format!("{package}: {objection}{}", lines([declaration])));
            }
        }
    }

    /// A line for each package, and with `list` one for each of its one-word type names.
    pub(crate) fn summary(&self, list: bool) -> String {
        let mut text = "type names of one word".to_owned();
        for PackageNames { package, declarations } in &self.packages {
            let (one_word, all) = (one_word_types(declarations).count(), types(declarations).count());
            let percent = one_word_percent(declarations);
            _ = write!(text, "\n  {package:<8} {one_word:>4} of {all:>4}  {percent:>3.0} %");
            if list {
                text.push_str(&lines(one_word_types(declarations)));
            }
        }
        text
    }
}

fn circle_text(package: &str, graph: &ModuleGraph, circle: &Circle) -> String {
    let mut text = format!("{package}: modules use each other in a circle");
    for (user, used) in circle.iter().zip(circle.iter().cycle().skip(1)) {
        _ = write!(text, "\n  {user} uses {used}  {}", graph.uses[user][used]);
    }
    text
}

fn lines<'a>(declarations: impl IntoIterator<Item = &'a Declaration>) -> String {
    declarations.into_iter().fold(String::new(), |mut text, declared| {
        _ = write!(text, "\n  {}:{}: {}", declared.file.display(), declared.line, declared.name);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::crate_of;

    fn report(package: &str, files: &[(&str, &str)], explained: &[DoubleName]) -> StructureReport {
        let mut report = StructureReport::default();
        report.add(package, &[crate_of(files)], explained);
        report
    }

    #[test]
    fn a_circle_is_printed_with_one_use_of_each_edge() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::FileName;"),
            ("b.rs", "pub struct FileName;\nfn f() { crate::a::g() }"),
        ];
        let expected = "local: modules use each other in a circle\
            \n  a uses b  a.rs:1: crate::b::FileName\
            \n  b uses a  b.rs:2: crate::a::g";
        assert_eq!(report("local", &files, &[]).violations, [expected]);
    }

    #[test]
    fn a_use_of_the_root_is_a_violation() {
        let files = [("lib.rs", "mod a; pub struct RunContext;"), ("a.rs", "use crate::RunContext;")];
        let expected = "job: the module `a` uses what the root of the crate declares; move that to a module\
            \n  a.rs:1: crate::RunContext";
        assert_eq!(report("job", &files, &[]).violations, [expected]);
    }

    #[test]
    fn one_word_names_are_limited_in_some_packages_and_counted_in_all() {
        let files = [("lib.rs", "struct Index; struct TensorMap;")];
        let limited = report("engine", &files, &[]);
        assert!(limited.violations[0].starts_with("engine: 50 % of the type names are one word"));
        let free = report("bench", &files, &[]);
        assert!(free.violations.is_empty());
        assert_eq!(free.summary(false), "type names of one word\n  bench       1 of    2   50 %");
        assert!(free.summary(true).ends_with("\n  lib.rs:1: Index"));
    }

    #[test]
    fn a_double_name_is_a_violation_until_the_glossary_gives_the_reason() {
        let files = [("lib.rs", "mod a { struct RunContext; }\nmod b { struct RunContext; }")];
        let violations = report("job", &files, &[]).violations;
        assert!(violations[0].starts_with("job: 2 types are called `RunContext`; rename them"));
        assert!(violations[0].ends_with("\n  lib.rs:1: RunContext\n  lib.rs:2: RunContext"));
        let row = DoubleName { package: "job".to_owned(), name: "RunContext".to_owned() };
        assert!(report("job", &files, &[row]).violations.is_empty());
    }

    #[test]
    fn a_retired_name_is_a_violation() {
        let violations =
            report("job", &[("lib.rs", "struct Shelf; struct TwoWords; struct MoreWords;")], &[]);
        let expected = "job: `Shelf` is a retired name; write ArtifactFolder\n  lib.rs:1: Shelf";
        assert_eq!(violations.violations, [expected]);
    }
}
